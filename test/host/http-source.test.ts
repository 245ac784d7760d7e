import { describe, expect, test } from 'vitest'
import { httpSource } from '../../src/host/http-source.ts'
import { noise } from '../support/cli.ts'
import { fetchAll, useServers } from '../support/download.ts'
import { type Answer, type Cut, cut, cutAfter, type FileOptions, sendFile } from '../support/web.ts'

const FILE = noise(300_000, 1)
const OTHER = noise(300_000, 2)
const DATE = 'Wed, 25 Nov 2026 10:00:00 GMT'
const LATER = 'Wed, 25 Nov 2026 11:00:00 GMT'

const { started } = useServers()

/** The file, cut after so many bytes as long as `times` says. */
function cutFile(bytes: number, times: number, options?: FileOptions): Answer {
  return (request, response, turn) =>
    sendFile(FILE, request, turn < times ? cutAfter(bytes, response) : response, options)
}

describe('a download', () => {
  test('brings the file as it is, and asks for it as it is', async () => {
    const web = await started((request, response) => sendFile(FILE, request, response))
    const { bytes, error } = await fetchAll(`${web.url}/web.bundle?token=1`)
    expect(error).toBeUndefined()
    expect(bytes.equals(FILE)).toBe(true)
    expect(web.requests).toHaveLength(1)
    expect(web.requests[0]).toMatchObject({ method: 'GET', url: '/web.bundle?token=1' })
    expect(web.requests[0]?.headers).toMatchObject({ 'accept-encoding': 'identity' })
    expect(web.requests[0]?.headers).not.toHaveProperty('range')
    await web.quiet()
  })

  test('of unknown length ends where the server ends it', async () => {
    const web = await started((_, response) => void response.writeHead(200, { etag: '"one"' }).end(FILE))
    expect((await fetchAll(web.url)).bytes.equals(FILE)).toBe(true)
  })

  test('that is packed on the way is refused: its bytes would not be those of the file', async () => {
    const web = await started(
      (_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(FILE),
    )
    const { error, bytes } = await fetchAll(web.url)
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringContaining('gzip') })
    expect([bytes.length, web.requests.length]).toEqual([0, 1])
  })

  test.each([
    ['ftp://web.example/x'],
    ['https://'],
    ['web.example/x'],
    ['https://ci:hunter2@web example/x?token=hunter2'],
  ])('from %s is refused before anything is done', (url) => {
    const clock = { monotonicMs: () => 0, sleep: async () => undefined }
    expect(() => httpSource(url, { clock })).toThrow(expect.objectContaining({ code: 'USAGE' }))
    expect(() => httpSource(url, { clock })).not.toThrow(/hunter2/)
  })
})

describe('a connection that is lost', () => {
  test.each([
    [1, 20],
    [100, 20],
    [4096, 20],
    [14_999, 20],
    [70_000, 4],
  ])('after every %i bytes, %i times, costs no byte and brings no wrong one', async (bytes, times) => {
    const web = await started(cutFile(bytes, times))
    const fetched = await fetchAll(web.url, { patience: { floorBytes: 1 } })
    expect(fetched.error).toBeUndefined()
    expect(fetched.bytes.equals(FILE)).toBe(true)
    // What has arrived is never asked for again.
    expect(web.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      ...Array.from({ length: times }, (_, turn) => `bytes=${bytes * (turn + 1)}-`),
    ])
    expect(new Set(web.requests.slice(1).map(({ headers }) => headers['if-range']))).toEqual(
      new Set(['"one"']),
    )
    expect(fetched.notices).toHaveLength(times)
  })

  const ways = (['end', 'destroy', 'reset'] as Cut[]).flatMap((how) =>
    ['close', 'keep-alive'].flatMap((connection) =>
      [true, false].map((length) => ({ how, connection, length })),
    ),
  )
  test.each(ways)('by $how ($connection, length: $length) while the reader is slow', async (way) => {
    const content = noise(3_000_000, 3)
    const web = await started((request, response, turn) => {
      response.setHeader('connection', way.connection)
      if (turn > 0) return sendFile(content, request, response)
      response.writeHead(200, { etag: '"one"', ...(way.length && { 'content-length': content.length }) })
      response.write(content.subarray(0, 2_000_000))
      setTimeout(() => cut(response, way.how), 30)
    })
    const pieces: Buffer[] = []
    const clock = { monotonicMs: () => performance.now(), sleep: async () => undefined }
    for await (const piece of httpSource(web.url, { clock })) {
      pieces.push(Buffer.from(piece))
      if (pieces.length < 8) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(Buffer.concat(pieces).equals(content)).toBe(true)
    expect(web.requests).toHaveLength(2)
  })

  test('goes on by the date where there is no ETag, or only a weak one', async () => {
    for (const marks of [{ modified: DATE }, { modified: DATE, etag: 'W/"one"' }]) {
      const web = await started(cutFile(50_000, 1, marks))
      expect((await fetchAll(web.url)).bytes.equals(FILE)).toBe(true)
      expect(web.requests[1]?.headers).toMatchObject({ range: 'bytes=50000-', 'if-range': DATE })
    }
  })

  test.each([
    ['ETag', { etag: '"one"' }],
    ['date', { modified: DATE }],
  ])(
    'at a server that knows no ranges: what is there is passed over, as the %s is the same',
    async (_, marks) => {
      const web = await started((request, response, turn) => {
        const most = [50_000, 120_000, 30_000, 299_999][turn]
        sendFile(FILE, request, most === undefined ? response : cutAfter(most, response), {
          ...marks,
          whole: true,
        })
      })
      const { bytes, error } = await fetchAll(web.url)
      expect(error).toBeUndefined()
      expect(bytes.equals(FILE)).toBe(true)
      expect(web.requests).toHaveLength(5)
    },
  )

  test('at a server without any mark is the end: the rest could be of another file', async () => {
    const web = await started(cutFile(50_000, 1, {}))
    const { bytes, error } = await fetchAll(web.url)
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(/neither ETag nor Last-Modified/),
    })
    expect(bytes.equals(FILE.subarray(0, 50_000))).toBe(true)
    expect(web.requests).toHaveLength(1)
  })

  test('before the first byte is no more than a new start, also without a mark', async () => {
    const web = await started((request, response, turn) =>
      turn === 0 ? cut(response, 'destroy') : sendFile(FILE, request, response, {}),
    )
    expect((await fetchAll(web.url)).bytes.equals(FILE)).toBe(true)
  })

  test('behind the last byte of a file whose length nobody said is its end', async () => {
    const web = await started((request, response, turn) => {
      if (turn > 0) return sendFile(FILE, request, response)
      response.writeHead(200, { etag: '"one"' })
      response.write(FILE, () => cut(response, 'end'))
    })
    const { bytes, error } = await fetchAll(web.url)
    expect(error).toBeUndefined()
    expect(bytes.equals(FILE)).toBe(true)
    expect(web.requests[1]?.headers.range).toBe('bytes=300000-')
  })
})

describe('a file that is replaced in the middle of its download', () => {
  const marks = { etag: '"one"' }
  const range = (from: number, total: number) => `bytes ${from}-${total - 1}/${total}`
  const half: Answer = (request, response) => sendFile(FILE, request, cutAfter(100_000, response), marks)

  test.each<[string, number, Record<string, string>]>([
    ['is sent whole, with another ETag', 200, { etag: '"two"', 'content-length': '300000' }],
    ['is sent whole, with another length', 200, { etag: '"one"', 'content-length': '300001' }],
    ['is sent whole, without an ETag', 200, { 'last-modified': DATE }],
    ['is sent whole, with an ETag that became a weak one', 200, { etag: 'W/"one"' }],
    ['goes on with another ETag', 206, { etag: '"two"', 'content-range': range(100_000, 300_000) }],
    ['goes on without an ETag', 206, { 'content-range': range(100_000, 300_000) }],
    ['goes on with another length', 206, { etag: '"one"', 'content-range': range(100_000, 300_001) }],
    ['is shorter now', 416, { 'content-range': 'bytes */50000' }],
    ['is shorter now, by how much is not said', 416, {}],
  ])('and %s', async (_, status, headers) => {
    const web = await started((request, response, turn) => {
      if (turn === 0) return half(request, response, turn)
      response.writeHead(status, headers).end(OTHER.subarray(status === 200 ? 0 : 100_000))
    })
    const { bytes, error } = await fetchAll(web.url)
    expect(error).toMatchObject({
      code: 'DOWNLOAD_CHANGED',
      message: expect.stringContaining('replaced'),
      hint: expect.stringContaining('run the command again'),
    })
    expect(bytes.equals(FILE.subarray(0, 100_000))).toBe(true)
    expect(web.requests).toHaveLength(2)
  })

  test.each<[string, number, string | undefined]>([
    ['goes on', 206, undefined],
    ['goes on, which is said again', 206, LATER],
    ['is sent whole', 200, LATER],
  ])('is known by its date, too: %s', async (_, status, modified) => {
    const web = await started((request, response, turn) => {
      if (turn === 0) return sendFile(FILE, request, cutAfter(100_000, response), { modified: DATE })
      const headers = {
        'content-range': range(100_000, 300_000),
        ...(modified && { 'last-modified': modified }),
      }
      response.writeHead(status, headers).end(FILE.subarray(status === 200 ? 0 : 100_000))
    })
    const { bytes, error } = await fetchAll(web.url)
    if (modified === undefined) return expect(bytes.equals(FILE)).toBe(true)
    expect(error).toMatchObject({ code: 'DOWNLOAD_CHANGED', message: expect.stringContaining(LATER) })
    expect(bytes.equals(FILE.subarray(0, 100_000))).toBe(true)
  })

  test('by a good server comes with its new ETag, and is not mixed with the old one', async () => {
    const web = await started((request, response, turn) =>
      turn === 0 ? half(request, response, turn) : sendFile(OTHER, request, response, { etag: '"two"' }),
    )
    const { bytes, error } = await fetchAll(web.url)
    expect(error).toMatchObject({ code: 'DOWNLOAD_CHANGED', message: expect.stringMatching(/"one".*"two"/) })
    expect(bytes.equals(FILE.subarray(0, 100_000))).toBe(true)
  })
})

describe('a part that is sent', () => {
  /** The second answer: bytes 100,000 and on were asked for. */
  async function answered(range: string | undefined, content: Buffer, status = 206) {
    const web = await started((request, response, turn) => {
      if (turn !== 1) return sendFile(FILE, request, turn === 0 ? cutAfter(100_000, response) : response)
      response
        .writeHead(status, { etag: '"one"', ...(range !== undefined && { 'content-range': range }) })
        .end(content)
    })
    return { ...(await fetchAll(web.url)), requests: web.requests.length }
  }

  test.each([
    ['starts before what was asked for', 'bytes 99999-299999/300000'],
    ['starts behind what was asked for', 'bytes 100001-299999/300000'],
    ['starts below zero', 'bytes -100000-299999/300000'],
    ['ends before it starts', 'bytes 100000-99999/300000'],
    ['ends behind the file', 'bytes 100000-300000/300000'],
    ['is garbled', 'bytes 1e5-299999/300000'],
    ['is counted in something else', 'lines 100000-299999/300000'],
    ['is several parts', undefined],
  ])('and %s is refused', async (_, range) => {
    const { bytes, error, requests } = await answered(range, OTHER.subarray(100_000))
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringMatching(/byte|part/) })
    expect(bytes.equals(FILE.subarray(0, 100_000))).toBe(true)
    expect(requests).toBe(2)
  })

  test('may be shorter than what was asked for: the rest is asked for again', async () => {
    const { bytes, requests } = await answered('bytes 100000-149999/300000', FILE.subarray(100_000, 150_000))
    expect([bytes.equals(FILE), requests]).toEqual([true, 3])
  })

  test('may be longer than it says: what follows is not read', async () => {
    const content = Buffer.concat([FILE.subarray(100_000, 150_000), OTHER.subarray(0, 50_000)])
    const { bytes, requests } = await answered('bytes 100000-149999/300000', content)
    expect([bytes.equals(FILE), requests]).toEqual([true, 3])
  })

  test('need not say how long the file is', async () => {
    expect((await answered('bytes 100000-299999/*', FILE.subarray(100_000))).bytes.equals(FILE)).toBe(true)
  })

  test('though the whole file was asked for is refused', async () => {
    const web = await started(
      (_, response) =>
        void response.writeHead(206, { 'content-range': 'bytes 1-299999/300000' }).end(FILE.subarray(1)),
    )
    const { bytes, error } = await fetchAll(web.url)
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringContaining('206') })
    expect(bytes).toHaveLength(0)
  })
})
