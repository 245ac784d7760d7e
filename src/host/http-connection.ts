import { on, once } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { ConnectionOptions } from 'node:tls'
import { connectionLost, Interruption, noAnswer } from './http-failure.ts'
import type { Patience } from './http-patience.ts'
import { proxyAgent } from './http-proxy.ts'

export interface HttpRequest {
  headers: Readonly<Record<string, string>>
  /** Trusted in place of Node's own certificates. */
  ca: Buffer | undefined
  patience: Patience
  signal: AbortSignal | undefined
}

/** An answer, its body not yet read. Whoever asked closes it; its connection serves nothing else. */
export interface HttpAnswer {
  readonly url: URL
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** The next piece of the body; undefined at its end. Throws `Interruption`. */
  read(): Promise<Buffer | undefined>
  close(): void
}

/** Pieces of up to 64 KiB that wait for their reader. They have arrived, and are not lost with the connection. */
const WAITING = { highWaterMark: 4, lowWaterMark: 1 }

/** Asks with GET; redirects are an answer. Throws `Interruption`, `TLS_FAILED` or `DOWNLOAD_FAILED`. */
export async function askOnce(url: URL, request: HttpRequest): Promise<HttpAnswer> {
  const { patience, signal } = request
  const stop = new AbortController()
  const ended = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  const failed = (error: unknown, meaning: (error: unknown) => unknown): unknown => {
    const reason = ended.aborted ? ended.reason : meaning(error)
    stop.abort()
    return reason
  }
  const within = async <T>(timeMs: number, awaited: Promise<T>): Promise<T> => {
    const tooLong = new Interruption(`nothing came for ${timeMs / 1000} s`, { stalled: true })
    const timer = setTimeout(() => stop.abort(tooLong), timeMs)
    return await awaited.finally(() => clearTimeout(timer))
  }

  const response = await within(patience.answerMs, send(url, request, ended)).catch((error) => {
    throw failed(error, (cause) => noAnswer(cause, url))
  })
  const pieces = on(response, 'data', { ...WAITING, close: ['end'], signal: ended })
  return {
    url,
    status: response.statusCode ?? 0,
    headers: response.headers,
    async read() {
      const next = await within(patience.stallMs, pieces.next()).catch((error) => {
        throw failed(error, connectionLost)
      })
      return next.done ? undefined : next.value[0]
    },
    close: () => stop.abort(),
  }
}

async function send(url: URL, { headers, ca }: HttpRequest, ended: AbortSignal): Promise<IncomingMessage> {
  const isSecure = url.protocol === 'https:'
  const client = isSecure ? await import('node:https') : await import('node:http')
  const trust = isSecure ? await trustIn(url, ca) : {}
  const agent = (await proxyAgent(url, ended)) ?? false
  const request = client.get(url, { agent, headers, signal: ended, ...trust })
  // It is told of the end of its connection even after it was answered; an error that nobody hears ends the process.
  request.on('error', () => undefined)
  const [response] = await once(request, 'response', { signal: ended })
  return response
}

/** With a check of the name of our own: behind https-proxy-agent an IP address would pass with a certificate for localhost. */
async function trustIn({ hostname }: URL, ca: Buffer | undefined): Promise<ConnectionOptions> {
  const { checkServerIdentity } = await import('node:tls')
  const name = hostname.replace(/^\[|\]$/g, '')
  return {
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
    ...(ca && { ca }),
  }
}
