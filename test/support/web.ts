import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'

/** What a server does with one request; `turn` counts them from 0. */
export type Answer = (request: IncomingMessage, response: ServerResponse, turn: number) => void

export interface Web {
  /** Without a slash at the end. */
  url: string
  port: number
  requests: IncomingMessage[]
  /** Connections that nobody has closed yet. */
  sockets: Set<Socket>
  /** Resolves once both sides have let go of every connection. */
  quiet(): Promise<void>
  close(): void
}

/** A certificate for 127.0.0.1 and its key, as files. */
export interface Certificate {
  cert: string
  key: string
}

/** A real server on this machine. */
export async function serve(answer: Answer, certificate?: Certificate): Promise<Web> {
  const requests: IncomingMessage[] = []
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push(request)
    answer(request, response, requests.length - 1)
  }
  const server =
    certificate === undefined
      ? createServer(listener)
      : createSecureServer(
          { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) },
          listener,
        )
  const web = await listen(server)
  return { ...web, requests, url: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${web.port}` }
}

async function listen(server: Server): Promise<Omit<Web, 'requests' | 'url'>> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async quiet() {
      while (sockets.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

export interface FileOptions {
  etag?: string
  modified?: string
  /** Knows no ranges. */
  whole?: boolean
}

/** As a good server gives a file: ranges, and conditions on them. */
export function sendFile(
  content: Buffer,
  request: IncomingMessage,
  response: ServerResponse,
  options: FileOptions = { etag: '"one"' },
): void {
  const { etag, modified, whole = false } = options
  const marks = { ...(etag && { etag }), ...(modified && { 'last-modified': modified }) }
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN)
  const condition = request.headers['if-range']
  const isSame = condition === undefined || condition === etag || condition === modified
  if (whole || Number.isNaN(start) || !isSame) {
    response.writeHead(200, { ...marks, 'content-length': content.length }).end(content)
  } else if (start >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
  } else {
    const rest = content.subarray(start)
    const range = `bytes ${start}-${content.length - 1}/${content.length}`
    response.writeHead(206, { ...marks, 'content-range': range, 'content-length': rest.length }).end(rest)
  }
}

/** How a connection can be lost. */
export type Cut = 'end' | 'destroy' | 'reset'

/** Lets through that many bytes of the body, and then cuts the connection. */
export function cutAfter(bytes: number, response: ServerResponse, how: Cut = 'end'): ServerResponse {
  const end = (content?: unknown): ServerResponse => {
    if (Buffer.isBuffer(content)) response.write(content.subarray(0, bytes), () => cut(response, how))
    return response
  }
  return Object.assign(response, { end })
}

export function cut({ socket }: ServerResponse, how: Cut): void {
  if (how === 'reset') socket?.resetAndDestroy()
  else if (how === 'end') socket?.end()
  else socket?.destroy()
}

export interface WebProxy extends Web {
  /** Method and target of each request. */
  asked: string[]
}

/**
 * A proxy as they stand at the edge of networks: CONNECT for https, whole addresses for http, which it answers itself.
 * `refuse` gives the status of a refusal, or 0 for no answer at all.
 */
export async function serveProxy(refuse?: (turn: number) => number | undefined): Promise<WebProxy> {
  const asked: string[] = []
  const requests: IncomingMessage[] = []
  const refused = (request: IncomingMessage): number | undefined => {
    requests.push(request)
    asked.push(`${request.method} ${request.url}`)
    return refuse?.(requests.length - 1)
  }
  const server = createServer((request, response) => {
    response.writeHead(refused(request) ?? 200, { 'content-length': 12 }).end('by the proxy')
  })
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    const status = refused(request)
    if (status === 0) return void socket.resume().on('end', () => socket.destroy())
    if (status !== undefined) return void socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
    const [host = '', port] = (request.url ?? '').split(':')
    const onward = connect(Number(port), host, () => socket.write('HTTP/1.1 200 OK\r\n\r\n'))
    onward.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.on('close', () => onward.destroy())
    socket.pipe(onward).pipe(socket)
  })
  const web = await listen(server)
  return { ...web, requests, asked, url: `http://127.0.0.1:${web.port}` }
}

/** A certificate that signs itself, so that its own file is the file of its CA. */
export function makeCertificate(
  dir: string,
  name: string,
  options: { host?: string; days?: number } = {},
): Certificate {
  const { host = 'IP:127.0.0.1', days = 30 } = options
  const [key, request, cert] = ['key', 'csr', 'crt'].map((kind) => join(dir, `${name}.${kind}`)) as [
    string,
    string,
    string,
  ]
  const openssl = (...args: string[]): unknown => execFileSync('openssl', args, { stdio: 'pipe' })
  const alternative = ['-addext', `subjectAltName=${host}`]
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-new', ...curve, '-keyout', key, '-out', request, '-subj', `/CN=${name}`, ...alternative)
  openssl(
    'x509',
    '-req',
    '-in',
    request,
    '-signkey',
    key,
    '-out',
    cert,
    '-days',
    `${days}`,
    '-copy_extensions',
    'copy',
  )
  return { cert, key }
}
