import { once } from 'node:events'
import { createConnection } from 'node:net'

/** Resolves once a TCP connection was accepted. */
export async function connect(address: string, port: number, timeoutMs: number): Promise<void> {
  const socket = createConnection({ host: address, port })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) })
  } finally {
    socket.destroy()
  }
}

/** Status code of a GET, redirects not followed. */
export async function httpStatus(url: string, timeoutMs: number): Promise<number> {
  const client = url.startsWith('https:') ? await import('node:https') : await import('node:http')
  const request = client.get(url, { timeout: timeoutMs, signal: AbortSignal.timeout(timeoutMs) })
  const [response] = await once(request, 'response')
  response.destroy()
  return response.statusCode
}
