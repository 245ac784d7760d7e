import { describe, expect, test, vi } from 'vitest'
import { httpSource } from '../../src/host/http-source.ts'
import { realHost } from '../../src/host/real-host.ts'
import { noise } from '../support/cli.ts'
import { fetchAll, useServers } from '../support/download.ts'
import { type Answer, cut, cutAfter, sendFile } from '../support/web.ts'

const FILE = noise(300_000, 1)
const MARKS = { etag: '"one"', 'content-length': FILE.length }

const { started, startedProxy } = useServers()

const file: Answer = (request, response) => sendFile(FILE, request, response)

/** Other answers at first, then the file. */
function first(...answers: Answer[]): Answer {
  return (request, response, turn) => (answers[turn] ?? file)(request, response, turn)
}

const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(code, headers).end('not now')

const DROP: Answer = (_, response) => cut(response, 'destroy')

describe('a server that says "not now"', () => {
  test.each([408, 429, 500, 502, 503, 504])('with %i is asked again', async (code) => {
    const web = await started(first(status(code)))
    const { bytes, waits, notices } = await fetchAll(web.url)
    expect(bytes.equals(FILE)).toBe(true)
    expect([web.requests.length, waits.length]).toEqual([2, 1])
    expect(notices).toEqual([expect.stringContaining(`the server answered ${code}`)])
  })

  test.each([
    ['seconds', { 'retry-after': '7' }, 7000],
    [
      'a date, by its own clock',
      { 'retry-after': 'Wed, 01 Jan 2020 00:00:09 GMT', date: 'Wed, 01 Jan 2020 00:00:00 GMT' },
      9000,
    ],
    ['more than anybody waits', { 'retry-after': '86400' }, 120_000],
  ])('is given the time it asks for: %s', async (_, headers, expected) => {
    const web = await started(first(status(503, headers)))
    const { waits, bytes } = await fetchAll(web.url)
    expect(waits).toEqual([expected])
    expect(bytes.equals(FILE)).toBe(true)
  })

  test.each([['0'], ['soon'], ['Wed, 01 Jan 2020 00:00:00 GMT']])(
    'is never asked at once: %s',
    async (text) => {
      const web = await started(first(status(503, { 'retry-after': text })))
      const [wait] = (await fetchAll(web.url)).waits
      expect(wait).toBeGreaterThanOrEqual(500)
      expect(wait).toBeLessThanOrEqual(1000)
    },
  )

  test('ten times in a row fails the download; the pauses grow, and are never quite the same', async () => {
    const web = await started(status(503))
    const { error, waits } = await fetchAll(`${web.url}/web.bundle`)
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(
        /web\.bundle stopped at 0 B, 10 times in a row; lastly: the server answered 503/,
      ),
      hint: expect.stringContaining('run the command again'),
    })
    expect(web.requests).toHaveLength(10)
    const most = [1, 2, 4, 8, 16, 30, 30, 30, 30].map((seconds) => seconds * 1000)
    expect(waits).toHaveLength(most.length)
    for (const [index, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual((most[index] ?? 0) / 2)
      expect(wait).toBeLessThanOrEqual(most[index] ?? 0)
    }
    expect(waits.filter((wait, index) => wait === most[index])).not.toEqual(most)
  })
})

describe('a server that says no', () => {
  test.each([
    [400, /run the command again/],
    [401, /USER:PASSWORD/],
    [403, /refuses/],
    [404, /look at the address/],
    [410, /run the command again/],
    [204, /run the command again/],
    [304, /run the command again/],
  ])('with %i is not asked again', async (code, hint) => {
    const web = await started((_, response) => void response.writeHead(code).end())
    const { error, bytes } = await fetchAll(web.url)
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining(`status ${code}`),
      hint: expect.stringMatching(hint),
    })
    expect([bytes.length, web.requests.length]).toEqual([0, 1])
  })

  test('in the middle ends the download there', async () => {
    const web = await started((request, response, turn) =>
      turn === 0 ? sendFile(FILE, request, cutAfter(1000, response)) : status(404)(request, response, turn),
    )
    const { error, bytes } = await fetchAll(web.url)
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringContaining('404') })
    expect(bytes.equals(FILE.subarray(0, 1000))).toBe(true)
  })

  test('never gets name, password or query into a message', async () => {
    for (const answer of [status(404), status(503), DROP]) {
      const web = await started(answer)
      const address = `${web.url.replace('//', '//ci:hunter2@')}/web.bundle?token=hunter3`
      const { error, notices } = await fetchAll(address, { patience: { attempts: 2 } })
      expect(error.code).toBe('DOWNLOAD_FAILED')
      expect(error.message).toContain(`${web.url}/web.bundle`)
      expect([error.message, error.hint, ...notices].join()).not.toMatch(/hunter/)
      expect(web.requests[0]).toMatchObject({ url: '/web.bundle?token=hunter3' })
      expect(web.requests[0]?.headers.authorization).toBe(`Basic ${btoa('ci:hunter2')}`)
    }
  })
})

describe('a server that cannot be reached', () => {
  test('is tried again', async () => {
    const web = await started(file)
    web.close()
    const { error, waits } = await fetchAll(web.url)
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringContaining('ECONNREFUSED') })
    expect(waits).toHaveLength(9)
  })

  test('as its name is not known is tried again', async () => {
    const { error, waits } = await fetchAll('http://nowhere.invalid/x', { patience: { attempts: 2 } })
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining('nowhere.invalid'),
    })
    expect(waits).toHaveLength(1)
  })

  test('as it hangs up at once, or speaks something else, is tried again', async () => {
    const web = await started(first(DROP, (_, response) => void response.socket?.end('SSH-2.0-OpenSSH\r\n')))
    const { bytes, waits } = await fetchAll(web.url)
    expect(bytes.equals(FILE)).toBe(true)
    expect(waits).toHaveLength(2)
  })
})

describe('progress', () => {
  test('makes up for any number of lost connections', async () => {
    const web = await started((request, response) => sendFile(FILE, request, cutAfter(10_000, response)))
    const { bytes, waits, error } = await fetchAll(web.url, { patience: { attempts: 3, floorBytes: 20_000 } })
    expect(error).toBeUndefined()
    expect(bytes.equals(FILE)).toBe(true)
    expect(waits).toHaveLength(29)
    // After 20,000 bytes it counts from one again: never a pause of 4 s.
    expect(Math.max(...waits)).toBeLessThanOrEqual(2000)
  })

  test('of a few bytes for each connection is none', async () => {
    const web = await started((request, response) => sendFile(FILE, request, cutAfter(10, response)))
    const { bytes, error } = await fetchAll(web.url)
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining('100 B of 293 KiB'),
    })
    expect(bytes).toHaveLength(100)
    expect(web.requests).toHaveLength(10)
  })

  test('is not to get once more what is there already', async () => {
    const marks = { etag: '"one"', whole: true }
    const web = await started((request, response) =>
      sendFile(FILE, request, cutAfter(200_000, response), marks),
    )
    const { bytes, error } = await fetchAll(web.url, { patience: { attempts: 3 } })
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED' })
    expect(bytes.equals(FILE.subarray(0, 200_000))).toBe(true)
    expect(web.requests).toHaveLength(3)
  })
})

describe('a server that stalls', () => {
  const patience = { answerMs: 150, stallMs: 150 }
  const silent: Answer = () => undefined
  const half: Answer = (_, response) => void response.writeHead(200, MARKS).write(FILE.subarray(0, 150_000))
  /** One answer to who wants it all, another to who wants the rest. */
  const byRange =
    (whole: Answer, rest: Answer): Answer =>
    (request, response, turn) =>
      (request.headers.range === undefined ? whole : rest)(request, response, turn)

  test('before it answers, or in the middle, is left, and asked again', async () => {
    const web = await started(first(silent, byRange(half, file)))
    const { bytes, notices } = await fetchAll(web.url, { patience })
    expect(bytes.equals(FILE)).toBe(true)
    for (const where of ['0 B', '146 KiB of 293 KiB'])
      expect(notices).toContainEqual(expect.stringContaining(`stopped at ${where}: nothing came for 0.15 s`))
    expect(web.requests.at(-1)?.headers.range).toBe('bytes=150000-')
    await web.quiet()
  })

  test('always fails the download', async () => {
    const web = await started(byRange(half, silent))
    const { error, bytes } = await fetchAll(web.url, { patience: { ...patience, attempts: 3 } })
    expect(error).toMatchObject({
      code: 'DOWNLOAD_STALLED',
      hint: expect.stringContaining('run the command again'),
    })
    expect(bytes.equals(FILE.subarray(0, 150_000))).toBe(true)
    await web.quiet()
  })

  test('is not one whose reader takes its time', async () => {
    const large = noise(20_000_000, 1)
    const web = await started((request, response) => sendFile(large, request, response))
    const { monotonicMs, sleep } = realHost()
    const pieces: Buffer[] = []
    const patience = { stallMs: 500, windowMs: 500 }
    for await (const piece of httpSource(web.url, { clock: { monotonicMs, sleep }, patience })) {
      pieces.push(Buffer.from(piece))
      if (pieces.length <= 2) await sleep(700)
    }
    expect(Buffer.concat(pieces).equals(large)).toBe(true)
    expect(web.requests).toHaveLength(1)
  })

  /** One byte every 5 ms until the connection is closed. */
  const drip: Answer = (_, response) => {
    response.writeHead(200, MARKS)
    let sent = 0
    const timer = setInterval(() => void response.write(FILE.subarray(sent, ++sent)), 5)
    response.on('close', () => clearInterval(timer))
  }

  test('by sending a byte now and then is left as well', async () => {
    const web = await started(first(drip))
    const { bytes, notices } = await fetchAll(web.url, { patience: { windowMs: 200 } })
    expect(bytes.equals(FILE)).toBe(true)
    expect(notices).toContainEqual(expect.stringMatching(/only \d+ B came in 0.2 s/))
    await web.quiet()
  })

  test('by sending a byte now and then, always, fails the download', async () => {
    const web = await started(drip)
    const { error } = await fetchAll(web.url, { patience: { windowMs: 100, attempts: 3 } })
    expect(error).toMatchObject({ code: 'DOWNLOAD_STALLED' })
    expect(web.requests).toHaveLength(3)
    await web.quiet()
  })

  test('may be the proxy', async () => {
    const proxy = await startedProxy(() => 0)
    vi.stubEnv('https_proxy', proxy.url)
    const { error } = await fetchAll('https://127.0.0.1:1/x', { patience: { answerMs: 500, attempts: 2 } })
    expect(error).toMatchObject({ code: 'DOWNLOAD_STALLED' })
    expect(new Set(proxy.asked)).toEqual(new Set(['CONNECT 127.0.0.1:1']))
    await proxy.quiet()
  })
})

test('what a slow reader does not take is left on the server', async () => {
  const mib = Buffer.alloc(1024 * 1024)
  let sent = 0
  const web = await started((_, response) => {
    response.writeHead(200, { etag: '"one"', 'content-length': 200 * mib.length })
    const more = (): void => {
      if (sent++ < 200) response.write(mib, more)
    }
    more()
  })
  const { monotonicMs, sleep } = realHost()
  for await (const piece of httpSource(web.url, { clock: { monotonicMs, sleep } })) {
    expect(piece.length).toBeGreaterThan(0)
    for (let before = -1; before < sent; await sleep(300)) before = sent
    // What the kernel keeps for both ends, and a little of ours.
    expect(sent).toBeLessThan(50)
    break
  }
  await web.quiet()
})

describe('whoever stops reading', () => {
  const endless: Answer = (_, response) => {
    response.writeHead(200, { etag: '"one"' })
    const more = (): boolean => response.write(FILE)
    response.on('drain', more)
    more()
  }

  test('of an endless file leaves no connection behind', async () => {
    const web = await started(endless)
    const { monotonicMs, sleep } = realHost()
    let bytes = 0
    for await (const piece of httpSource(web.url, { clock: { monotonicMs, sleep } })) {
      bytes += piece.length
      if (bytes > 1_000_000) break
    }
    await web.quiet()
    expect(web.requests).toHaveLength(1)
  })

  const held: Answer = (_, response) => void response.writeHead(200, MARKS).write(FILE.subarray(0, 1000))
  test.each<[string, Answer]>([
    ['for an answer', () => undefined],
    ['for the next bytes', held],
    ['for the next try', status(503, { 'retry-after': '100' })],
  ])('by a signal while it waits %s is not kept waiting', async (_, answer) => {
    const stop = new AbortController()
    const web = await started((request, response, turn) => {
      answer(request, response, turn)
      setTimeout(() => stop.abort(), 50)
    })
    const { monotonicMs, sleep } = realHost()
    const source = httpSource(web.url, { clock: { monotonicMs, sleep }, signal: stop.signal })
    const reading = (async () => {
      for await (const piece of source) expect(piece.length).toBe(1000)
    })()
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    expect(web.requests).toHaveLength(1)
    await web.quiet()
  })
})
