import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest'
import { type Download, httpSource } from '../../src/host/http-source.ts'
import { type Answer, type Certificate, serve, serveProxy, type Web, type WebProxy } from './web.ts'

interface Servers {
  /** A folder for certificates. */
  dir: string
  started(answer: Answer, certificate?: Certificate): Promise<Web>
  startedProxy(refuse?: (turn: number) => number | undefined): Promise<WebProxy>
}

/** For a file of tests: servers that end with their test, and an environment without proxies. */
export function useServers(): Servers {
  const open: Web[] = []
  const servers: Servers = {
    dir: '',
    async started(answer, certificate) {
      const web = await serve(answer, certificate)
      open.push(web)
      return web
    },
    async startedProxy(refuse) {
      const proxy = await serveProxy(refuse)
      open.push(proxy)
      return proxy
    },
  }
  beforeAll(() => {
    servers.dir = mkdtempSync(join(tmpdir(), 'pine-web-'))
  })
  afterAll(() => rmSync(servers.dir, { recursive: true, force: true }))
  beforeEach(() => {
    for (const name of ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']) {
      vi.stubEnv(name, '')
      vi.stubEnv(name.toUpperCase(), '')
    }
  })
  afterEach(() => {
    for (const server of open.splice(0)) server.close()
    vi.unstubAllEnvs()
  })
  return servers
}

export interface Fetched {
  bytes: Buffer
  /** What ended it, where it was not the end of the file. */
  error: any
  /** How long it would have waited between connections. */
  waits: number[]
  notices: string[]
}

/** Fetches all there is. Time passes, but waiting for the next try takes none. */
export async function fetchAll(url: string, more: Partial<Download> = {}): Promise<Fetched> {
  const pieces: Buffer[] = []
  const fetched: Fetched = { bytes: Buffer.alloc(0), error: undefined, waits: [], notices: [] }
  const sleep = async (ms: number): Promise<void> => void fetched.waits.push(ms)
  const notice = (text: string): void => void fetched.notices.push(text)
  try {
    const clock = { monotonicMs: () => performance.now(), sleep }
    for await (const piece of httpSource(url, { clock, notice, ...more })) pieces.push(Buffer.from(piece))
  } catch (error) {
    fetched.error = error
  }
  return { ...fetched, bytes: Buffer.concat(pieces) }
}
