import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { noise } from '../support/cli.ts'
import { fetchAll, useServers } from '../support/download.ts'
import { type Answer, type Certificate, cutAfter, makeCertificate, sendFile } from '../support/web.ts'

const FILE = noise(100_000, 1)

const servers = useServers()
const { started, startedProxy } = servers

const file: Answer = (request, response) => sendFile(FILE, request, response)
const redirect =
  (location: string | undefined, status = 302): Answer =>
  (_, response) =>
    void response.writeHead(status, location === undefined ? {} : { location }).end('over there')

let trusted: Certificate

beforeAll(() => {
  trusted = makeCertificate(servers.dir, 'trusted')
})

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])('with %i is followed, here and to another server', async (status) => {
    const there = await started(file)
    const here = await started((request, response, turn) =>
      redirect(request.url === '/a' ? 'b?x=1' : `${there.url}/c`, status)(request, response, turn),
    )
    expect((await fetchAll(`${here.url}/a`)).bytes.equals(FILE)).toBe(true)
    expect([...here.requests, ...there.requests].map(({ url }) => url)).toEqual(['/a', '/b?x=1', '/c'])
  })

  test('is followed anew when the connection is lost, and asked there for the rest', async () => {
    const there = await started((request, response, turn) =>
      sendFile(FILE, request, turn === 0 ? cutAfter(30_000, response) : response),
    )
    const here = await started(redirect(there.url))
    expect((await fetchAll(here.url)).bytes.equals(FILE)).toBe(true)
    expect([here.requests.length, there.requests[1]?.headers.range]).toEqual([2, 'bytes=30000-'])
  })

  test('does not carry the password to another server', async () => {
    const there = await started(file)
    const here = await started((request, response, turn) =>
      redirect(turn === 0 ? `${here.url}/next` : there.url)(request, response, turn),
    )
    await fetchAll(here.url.replace('//', '//ci:hunter2@'))
    const sent = [...here.requests, ...there.requests].map(({ headers }) => headers.authorization)
    expect(sent).toEqual([`Basic ${btoa('ci:hunter2')}`, `Basic ${btoa('ci:hunter2')}`, undefined])
  })

  test('in a circle ends after ten', async () => {
    const web = await started(
      (_, response) => void response.writeHead(302, { location: '/again?key=hunter2' }).end(),
    )
    const { error } = await fetchAll(web.url)
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining('more than 10 times'),
    })
    expect(error.message).not.toContain('hunter2')
    expect(web.requests).toHaveLength(11)
    await web.quiet()
  })

  test.each([
    ['to nowhere', undefined, /where to/],
    ['to no address', 'http://[', /where to/],
    ['to a file', 'file:///etc/shadow', /file:/],
  ])('%s is refused', async (_, location, message) => {
    const web = await started(redirect(location))
    const { error } = await fetchAll(web.url)
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringMatching(message) })
    expect(web.requests).toHaveLength(1)
  })

  test('from https:// to http:// is refused, the other way it is followed', async () => {
    const plain = await started(file)
    const secure = await started(
      (request, response, turn) =>
        request.url === '/down'
          ? redirect(plain.url)(request, response, turn)
          : file(request, response, turn),
      trusted,
    )
    const up = await started(redirect(secure.url))
    const down = await fetchAll(`${secure.url}/down`, { ca: trusted.cert })
    expect(down.error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringContaining('http:') })
    expect(plain.requests).toHaveLength(0)
    expect((await fetchAll(up.url, { ca: trusted.cert })).bytes.equals(FILE)).toBe(true)
  })

  test('that goes on talking is not listened to', async () => {
    const there = await started(file)
    const here = await started(
      (_, response) => void response.writeHead(302, { location: there.url }).write('blah'),
    )
    expect((await fetchAll(here.url)).bytes.equals(FILE)).toBe(true)
    await here.quiet()
  })
})

describe('a server with TLS', () => {
  test('whose CA is given is trusted, through lost connections as well', async () => {
    const web = await started(
      (request, response, turn) =>
        sendFile(FILE, request, turn === 0 ? cutAfter(30_000, response) : response),
      trusted,
    )
    const { bytes, error } = await fetchAll(web.url, { ca: trusted.cert })
    expect(error).toBeUndefined()
    expect(bytes.equals(FILE)).toBe(true)
    expect(web.requests).toHaveLength(2)
  })

  test.each<[string, () => Certificate, RegExp]>([
    ['whose CA nobody knows', () => trusted, /self-signed certificate \(DEPTH_ZERO_SELF_SIGNED_CERT\)/],
    [
      'with the name of another one',
      () => makeCertificate(servers.dir, 'other', { host: 'DNS:other.example' }),
      /altnames.*\(ERR_TLS_CERT_ALTNAME_INVALID\)/,
    ],
    [
      'with a certificate that is out of date',
      () => makeCertificate(servers.dir, 'old', { days: 0 }),
      /expired \(CERT_HAS_EXPIRED\)/,
    ],
  ])('%s is refused, named with the reason, and not tried again', async (what, certificate, message) => {
    const used = certificate()
    const web = await started(file, used)
    const { error, waits, bytes } = await fetchAll(web.url, what.includes('nobody') ? {} : { ca: used.cert })
    expect(error).toMatchObject({
      code: 'TLS_FAILED',
      message: expect.stringMatching(message),
      hint: expect.stringContaining('--ca'),
    })
    expect(error.message).toContain(`127.0.0.1:${web.port}`)
    expect([bytes.length, waits.length, web.requests.length]).toEqual([0, 0, 0])
    await web.quiet()
  })

  test('is trusted by the CA that is given alone', async () => {
    const web = await started(file, trusted)
    const other = makeCertificate(servers.dir, 'another')
    expect((await fetchAll(web.url, { ca: other.cert })).error).toMatchObject({ code: 'TLS_FAILED' })
  })

  test('that speaks none is refused', async () => {
    const web = await started(file)
    const { error, waits } = await fetchAll(web.url.replace('http:', 'https:'))
    expect(error).toMatchObject({
      code: 'TLS_FAILED',
      message: expect.stringContaining(`127.0.0.1:${web.port}`),
    })
    expect(waits).toEqual([])
  })

  test('that hangs up while it says hello is tried again', async () => {
    const web = await started(file, trusted)
    let calls = 0
    const { sockets } = web
    sockets.add = (socket) => {
      if (calls++ === 0) socket.destroy()
      return Set.prototype.add.call(sockets, socket)
    }
    const { bytes, waits } = await fetchAll(web.url, { ca: trusted.cert })
    expect(bytes.equals(FILE)).toBe(true)
    expect(waits).toHaveLength(1)
  })

  test('whose CA is in no file, or in a file that holds none, is not asked', async () => {
    const web = await started(file, trusted)
    const empty = join(servers.dir, 'empty.pem')
    writeFileSync(empty, 'not a certificate\n')
    expect((await fetchAll(web.url, { ca: empty })).error).toMatchObject({ code: 'USAGE' })
    expect((await fetchAll(web.url, { ca: `${empty}.not` })).error).toMatchObject({ code: 'FILE_NOT_FOUND' })
    expect(web.sockets.size).toBe(0)
  })
})

describe('a proxy', () => {
  test.each(['https_proxy', 'HTTPS_PROXY', 'all_proxy'])(
    'that %s names leads to https:// in a tunnel',
    async (name) => {
      const web = await started(file, trusted)
      const proxy = await startedProxy()
      vi.stubEnv(name, proxy.url.replace('//', '//me:hunter2@'))
      const { bytes, error } = await fetchAll(web.url, { ca: trusted.cert })
      expect(error).toBeUndefined()
      expect(bytes.equals(FILE)).toBe(true)
      expect(proxy.asked).toEqual([`CONNECT 127.0.0.1:${web.port}`])
      expect(proxy.requests[0]?.headers['proxy-authorization']).toBe(`Basic ${btoa('me:hunter2')}`)
      expect(web.requests[0]?.headers).not.toHaveProperty('proxy-authorization')
      await Promise.all([web.quiet(), proxy.quiet()])
    },
  )

  test('makes nobody trusted that was not, nor under another name', async () => {
    const local = makeCertificate(servers.dir, 'local', { host: 'DNS:localhost' })
    const proxy = await startedProxy()
    vi.stubEnv('https_proxy', proxy.url)
    for (const [certificate, ca] of [
      [trusted, undefined],
      [local, local.cert],
    ] as const) {
      const web = await started(file, certificate)
      expect((await fetchAll(web.url, { ca })).error).toMatchObject({ code: 'TLS_FAILED' })
      expect(web.requests).toHaveLength(0)
    }
  })

  test.each(['http_proxy', 'HTTP_PROXY'])('that %s names is asked for http:// itself', async (name) => {
    const proxy = await startedProxy()
    vi.stubEnv(name, proxy.url)
    const { bytes } = await fetchAll('http://updates.example/web.bundle?x=1')
    expect(bytes.toString()).toBe('by the proxy')
    expect(proxy.asked).toEqual(['GET http://updates.example/web.bundle?x=1'])
    await proxy.quiet()
  })

  test.each(['127.0.0.1', '*', 'example.com, 127.0.0.1'])(
    'is not asked for what no_proxy names: %s',
    async (hosts) => {
      const web = await started(file)
      const proxy = await startedProxy()
      vi.stubEnv('http_proxy', proxy.url)
      vi.stubEnv('no_proxy', hosts)
      expect((await fetchAll(web.url)).bytes.equals(FILE)).toBe(true)
      expect(proxy.asked).toEqual([])
    },
  )

  test.each([
    { scheme: 'https', status: 407, times: 1, message: /status 407/, hint: /https_proxy/ },
    { scheme: 'https', status: 403, times: 1, message: /status 403/, hint: /refuses/ },
    { scheme: 'https', status: 503, times: 2, message: /answered 503/, hint: /run the command again/ },
    { scheme: 'http', status: 407, times: 1, message: /status 407/, hint: /https_proxy/ },
    { scheme: 'http', status: 502, times: 2, message: /answered 502/, hint: /run the command again/ },
  ])(
    'that refuses $scheme with $status is asked $times times',
    async ({ scheme, status, times, ...said }) => {
      const proxy = await startedProxy(() => status)
      vi.stubEnv(`${scheme}_proxy`, proxy.url)
      const { error } = await fetchAll(`${scheme}://updates.example/x`, { patience: { attempts: 2 } })
      expect(error).toMatchObject({
        code: 'DOWNLOAD_FAILED',
        message: expect.stringMatching(said.message),
        hint: expect.stringMatching(said.hint),
      })
      expect(proxy.asked).toHaveLength(times)
      await proxy.quiet()
    },
  )

  test('that cannot be reached is tried again', async () => {
    const proxy = await startedProxy()
    proxy.close()
    for (const scheme of ['http', 'https']) {
      vi.stubEnv(`${scheme}_proxy`, proxy.url)
      const { error, waits } = await fetchAll(`${scheme}://updates.example/x`, { patience: { attempts: 3 } })
      expect(error).toMatchObject({
        code: 'DOWNLOAD_FAILED',
        message: expect.stringContaining('ECONNREFUSED'),
      })
      expect(waits).toHaveLength(2)
    }
  })

  test.each(['socks5://me:hunter2@127.0.0.1:1080', 'http://me:hunter2@'])(
    'with an address that is none is named: %s',
    async (address) => {
      vi.stubEnv('https_proxy', address)
      const { error } = await fetchAll('https://updates.example/x')
      expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', hint: expect.stringContaining('https_proxy') })
      expect(error.message).toContain('updates.example')
      expect(error.message).not.toContain('hunter2')
    },
  )
})
