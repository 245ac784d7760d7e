import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkHealth } from '../../src/agent/health.ts'
import { PineError } from '../../src/core/error.ts'
import { parseSettings, type Settings } from '../../src/model/settings.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop
let servers: Server[]

beforeEach(() => {
  shop = openWorkshop()
  servers = []
})
afterEach(() => {
  shop.close()
  for (const server of servers) server.close()
})

type Health = Settings['health']

const NOTHING_ELSE = { live: false, network: false }

function health(parts: Partial<Health>): Health {
  const quiet = { systemd: false, settle: 0, timeout: 2, directories: [] }
  return { ...parseSettings([]).health, ...quiet, ...parts }
}

function script(folder: string, name: string, body: string): string {
  mkdirSync(shop.path(folder), { recursive: true })
  writeFileSync(shop.path(`${folder}/${name}`), `#!/bin/sh\n${body}\n`)
  chmodSync(shop.path(`${folder}/${name}`), 0o755)
  return shop.path(folder)
}

async function listen(server: Server): Promise<number> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

describe('scripts of health.d', () => {
  test('all well: healthy, each with its time', async () => {
    const directories = [script('d', '10-a', 'exit 0'), script('d', '20-b', 'exit 0')].slice(0, 1)
    const report = await checkHealth(shop.host, health({ directories }), NOTHING_ELSE)
    expect(report).toMatchObject({ healthy: true, reason: '' })
    expect(report.checks.map(({ name }) => name)).toEqual(['10-a', '20-b'])
  })

  test('one fails: its own words are the reason', async () => {
    const directories = [script('d', '10-a', 'echo "queue is stuck"; exit 3')]
    const report = await checkHealth(shop.host, health({ directories }), NOTHING_ELSE)
    expect(report).toMatchObject({ healthy: false, reason: expect.stringContaining('queue is stuck') })
  })

  test.each(['exec sleep 60', 'sleep 60', 'sleep 60 & wait'])(
    'one that hangs in "%s" is ended by its timeout',
    async (body) => {
      const directories = [script('d', '10-a', body)]
      const report = await checkHealth(shop.host, health({ directories, timeout: 0.2 }), NOTHING_ELSE)
      expect(report.reason).toContain('did not end within 0.2 s')
    },
  )

  test('one that is not executable counts as failed, not as absent', async () => {
    const directories = [script('d', '10-a', 'exit 0')]
    chmodSync(shop.path('d/10-a'), 0o644)
    expect((await checkHealth(shop.host, health({ directories }), NOTHING_ELSE)).healthy).toBe(false)
  })

  test('the operator\u2019s script takes the place of the release\u2019s one of the same name', async () => {
    const directories = [script('usr', '10-a', 'exit 1'), script('etc', '10-a', 'exit 0')]
    expect((await checkHealth(shop.host, health({ directories }), NOTHING_ELSE)).healthy).toBe(true)
  })

  test('a service that needs a moment is asked again until it settles', async () => {
    const directories = [
      script('d', '10-a', `echo x >> ${shop.path('asked')}; test $(wc -l < ${shop.path('asked')}) -ge 2`),
    ]
    expect((await checkHealth(shop.host, health({ directories, settle: 5 }), NOTHING_ELSE)).healthy).toBe(
      true,
    )
    expect(readFileSync(shop.path('asked'), 'utf8')).toBe('x\nx\n')
  })
})

describe('ports', () => {
  test('tcp: an open port is healthy, a closed one is not', async () => {
    const port = await listen(createServer())
    expect((await checkHealth(shop.host, health({ tcp: [`127.0.0.1:${port}`] }), NOTHING_ELSE)).healthy).toBe(
      true,
    )
    const report = await checkHealth(shop.host, health({ tcp: ['127.0.0.1:1'] }), NOTHING_ELSE)
    expect(report.reason).toContain('tcp 127.0.0.1:1')
  })

  test('http: 200 is healthy, 503 is not', async () => {
    let status = 200
    const server = createHttpServer((_, response) => response.writeHead(status).end())
    const http = [`http://127.0.0.1:${await listen(server)}/health`]
    expect((await checkHealth(shop.host, health({ http }), NOTHING_ELSE)).healthy).toBe(true)
    status = 503
    expect((await checkHealth(shop.host, health({ http }), NOTHING_ELSE)).reason).toContain('answered 503')
  })
})

describe('systemd', () => {
  const withUnits = (listed: string) => ({ ...shop.host, exec: async () => listed })

  test('no failed units: healthy', async () => {
    expect((await checkHealth(withUnits(''), health({ systemd: true }), NOTHING_ELSE)).healthy).toBe(true)
  })

  test('failed units are named', async () => {
    const listed = 'nginx.service loaded failed failed A web server\nfoo.mount loaded failed failed Foo\n'
    const report = await checkHealth(withUnits(listed), health({ systemd: true }), NOTHING_ELSE)
    expect(report.reason).toBe('systemd: failed units: nginx.service, foo.mount')
  })
})

describe('the state partition', () => {
  const full = new PineError('IO_FAILED', 'cannot write: EROFS: read-only file system')

  test('that can be written is healthy', async () => {
    const report = await checkHealth(shop.host, health({}), { live: true, network: false })
    expect(report.checks).toMatchObject([{ name: 'state', healthy: true }])
  })

  test('that has turned read-only is not', async () => {
    const host = { ...shop.host, replaceFile: () => Promise.reject(full) }
    expect((await checkHealth(host, health({}), { live: true, network: false })).reason).toContain(
      'read-only file system',
    )
  })
})
