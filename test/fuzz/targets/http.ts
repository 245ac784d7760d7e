import { type FileMark, type Reading, readingOf } from '../../../src/host/http-answer.ts'
import { Interruption } from '../../../src/host/http-failure.ts'
import { parseHttpUrl, redirectTarget } from '../../../src/host/http-url.ts'
import { mutateJson } from '../json.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'
import { mutateLines } from '../text.ts'

/** The head of an answer to a request for what is behind `position`, where `before` is what is known of the file. */
interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly position: number
  readonly before: FileMark | undefined
}

const DATE = 'Mon, 01 Dec 2025 10:00:00 GMT'
const MARKED = { etag: '"a1"', 'last-modified': DATE }
const BEFORE = { etag: '"a1"', modified: DATE, bytes: 5000 }
const RANGE = { ...MARKED, 'content-length': '4000', 'content-range': 'bytes 1000-4999/5000' }
const ANSWERS = [
  { status: 200, headers: { ...MARKED, 'content-length': '5000' }, position: 0 },
  { status: 200, headers: { ...MARKED, 'content-length': '5000' }, position: 1000, before: BEFORE },
  { status: 206, headers: RANGE, position: 1000, before: BEFORE },
  { status: 206, headers: { 'content-range': 'bytes 7-7/*' }, position: 7, before: { modified: DATE } },
  { status: 416, headers: { 'content-range': 'bytes */5000' }, position: 5000, before: { etag: '"a1"' } },
]
const URL_ = new URL('https://updates.example/web.bundle')

/** Undefined for what `node:http` would not pass on. */
function answerIn(input: Buffer): Answer | undefined {
  const { status, headers, position, before } = objectIn(input.toString())
  const texts = Object.entries(typeof headers === 'object' ? { ...headers } : {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  const isAsked = Number.isSafeInteger(position) && Number(position) >= 0
  const length = texts.find(([name]) => name === 'content-length')?.[1] ?? '0'
  if (!Number.isInteger(status) || !isAsked || !/^\d{1,15}$/.test(length)) return undefined
  const mark = markIn(before)
  return {
    ...{ status: Number(status), headers: Object.fromEntries(texts) },
    ...{ position: mark === undefined ? 0 : Number(position), before: mark },
  }
}

function objectIn(text: string): Record<string, unknown> {
  try {
    return { ...JSON.parse(text) }
  } catch {
    return {}
  }
}

function markIn(before: unknown): FileMark | undefined {
  if (typeof before !== 'object' || before === null) return undefined
  const { etag, modified, bytes }: Record<string, unknown> = { ...before }
  const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined)
  const length = Number.isSafeInteger(bytes) && Number(bytes) >= 0 ? Number(bytes) : undefined
  return { etag: textOf(etag), modified: textOf(modified), bytes: length }
}

function readingIn({ status, headers, position, before }: Answer): Reading | string {
  try {
    return readingOf({ url: URL_, status, headers }, position, before)
  } catch (error) {
    if (error instanceof Interruption) {
      requireThat(error.waitMs >= 0 && error.waitMs <= 120_000, `it waits ${error.waitMs} ms`)
      return 'another try'
    }
    throw error
  }
}

const answers: TargetEntry = {
  name: 'http-answer',
  weight: 250_000,
  open: () =>
    defineTarget({
      name: 'http-answer',
      seeds: ANSWERS.map((answer) => Buffer.from(JSON.stringify(answer))),
      mutate: mutateJson,
      decode(input) {
        const answer = answerIn(input)
        return { answer, reading: answer === undefined ? 'no answer' : readingIn(answer) }
      },
      codes: ['DOWNLOAD_CHANGED', 'DOWNLOAD_FAILED'],
      verdict({ answer, reading }) {
        if (answer === undefined || typeof reading === 'string') return refused(String(reading))
        requireSameFile(answer, reading)
        return accepted(`${answer.status} ${reading.skip > 0} ${reading.bytes === undefined}`)
      },
    }),
}

/** What is passed on begins where the last connection ended, and is of the same file. */
function requireSameFile(
  { status, headers, position, before }: Answer,
  { skip, bytes, mark }: Reading,
): void {
  const { 'content-range': range = '', etag, 'last-modified': modified } = headers
  requireThat(skip === (status === 200 && before !== undefined ? position : 0), `it skips ${skip} bytes`)
  requireThat(
    status !== 206 || range.startsWith(`bytes ${position}-`),
    `from ${position} on it takes "${range}"`,
  )
  requireThat(bytes === undefined || bytes >= 0, `${bytes} bytes are left`)
  if (before === undefined || status === 416) return
  requireThat(before.bytes === undefined || before.bytes === mark.bytes, 'another length is the same file')
  const isSame = before.etag === undefined ? modified === before.modified : etag === before.etag
  const isLeftOut =
    status === 206 && before.etag === undefined && modified === undefined && before.modified !== undefined
  requireThat(isSame || isLeftOut, 'another mark is the same file')
}

const ADDRESSES = [
  ['https://user:secret@updates.example/web.bundle', '/other'],
  ['https://updates.example:8443/a/b?c#d', 'https://mirror.example/b'],
  ['http://[::1]:80/', '//host/path'],
]
const WORDS = [
  ...[
    'http://',
    'https://',
    'HTTPS:',
    'file:///',
    'javascript:',
    '//',
    '\\\\',
    '@',
    ':',
    '/../',
    '?',
    '#',
    '%2f',
    '\t',
    '[::1]',
  ],
  ...['user:secret@', 'updates.example', 'xn--', '。', ':65536', ':0', ' '],
]

/** An address and where it redirects to, a line each. */
const redirects: TargetEntry = {
  name: 'http-redirect',
  weight: 200_000,
  open: () =>
    defineTarget({
      name: 'http-redirect',
      seeds: ADDRESSES.map((lines) => Buffer.from(lines.join('\n'))),
      mutate: mutateLines(WORDS),
      decode(input) {
        const [address = '', location] = input.toString().split('\n')
        const from = parseHttpUrl(address)
        return { from, to: redirectTarget(from, location), location: location ?? '' }
      },
      codes: ['USAGE', 'DOWNLOAD_FAILED'],
      echoes: true,
      verdict({ from, to, location }) {
        requireThat(
          to.protocol === 'https:' || (to.protocol === 'http:' && from.protocol === 'http:'),
          `it goes to ${to}`,
        )
        requireThat(to.hostname !== '', 'it goes nowhere')
        // Not one that the server names itself.
        const isGiven = from.password !== '' && to.password === from.password && !location.includes('@')
        requireThat(
          !isGiven || to.origin === from.origin || to.username !== '',
          `a password goes to ${to.origin}`,
        )
        return accepted(`${from.protocol} ${to.protocol} ${to.origin === from.origin} ${isGiven}`)
      },
    }),
}

export const httpTargets = [answers, redirects]
