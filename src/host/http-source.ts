import { type ErrorCode, PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { ByteSource } from '../core/region.ts'
import type { Clock, UrlOptions } from './host.ts'
import { type FileMark, readingOf, validatorOf } from './http-answer.ts'
import { readBody } from './http-body.ts'
import { readCertificates } from './http-ca.ts'
import type { HttpAnswer, HttpRequest } from './http-connection.ts'
import { GO_ON, Interruption, refused } from './http-failure.ts'
import { backOffMs, PATIENCE, type Patience } from './http-patience.ts'
import { ask } from './http-request.ts'
import { parseHttpUrl, publicUrl } from './http-url.ts'

export interface Download extends UrlOptions {
  clock: Clock
  patience?: Partial<Patience>
}

/** Where a download is: what the next request starts from. */
interface Progress {
  readonly url: URL
  /** Bytes that were passed on. */
  position: number
  mark: FileMark | undefined
  /** Connections in a row that brought too little, and how much they brought together. */
  failures: number
  broughtBytes: number
}

/**
 * Fetches a file once, in order, over as many connections as it takes; each piece is valid until the next is asked for.
 * Keeps nothing, and passes on no byte of another file, as far as the server's own marks tell.
 */
export function httpSource(address: string, options: Download): ByteSource {
  return download(parseHttpUrl(address), options)
}

async function* download(url: URL, options: Download): AsyncGenerator<Uint8Array, void, undefined> {
  const { clock, signal } = options
  const patience = { ...PATIENCE, ...options.patience }
  const ca = options.ca === undefined ? undefined : await readCertificates(options.ca)
  const progress: Progress = { url, position: 0, mark: undefined, failures: 0, broughtBytes: 0 }
  for (;;) {
    const interruption = yield* connect(progress, { ca, patience, signal }, clock)
    if (interruption === undefined) return
    const waitMs = waitAfter(interruption, progress, patience)
    const seconds = Math.ceil(waitMs / 1000)
    options.notice?.(
      `the download stopped at ${whereOf(progress)}: ${interruption.message}; next try in ${seconds} s`,
    )
    await clock.sleep(waitMs, signal)
  }
}

/** Passes on what one connection brings. Returns what ended it before the end of the file. */
async function* connect(
  progress: Progress,
  request: Omit<HttpRequest, 'headers'>,
  clock: Clock,
): AsyncGenerator<Uint8Array, Interruption | undefined, undefined> {
  const { url, position } = progress
  const { patience } = request
  const before = position === 0 ? undefined : progress.mark
  let answer: HttpAnswer | undefined
  try {
    // Redirects are followed anew: where they led may be good for minutes only.
    answer = await ask(url, { ...request, headers: headersFor(position, before) })
    const reading = readingOf(answer, position, before)
    progress.mark = reading.mark
    for await (const piece of readBody(answer, reading, { patience, clock })) {
      count(progress, piece.length, patience)
      yield piece
    }
    const { bytes = progress.position } = reading.mark
    return progress.position === bytes ? undefined : new Interruption('the server sent only a part')
  } catch (error) {
    if (error instanceof Interruption) return error
    throw error
  } finally {
    answer?.close()
  }
}

/** RFC 9110 §13.1.5, §14.2 */
function headersFor(position: number, before: FileMark | undefined): Record<string, string> {
  const always = { 'accept-encoding': 'identity', 'user-agent': 'pine-update' }
  const validator = before === undefined ? undefined : validatorOf(before)
  return validator === undefined ? always : { ...always, range: `bytes=${position}-`, 'if-range': validator }
}

/** A server that sends a few bytes and hangs up, again and again, makes no progress. */
function count(progress: Progress, bytes: number, { floorBytes }: Patience): void {
  progress.position += bytes
  progress.broughtBytes += bytes
  if (progress.broughtBytes < floorBytes) return
  progress.failures = 0
  progress.broughtBytes = 0
}

/** Milliseconds until the next connection; throws where there must be none. */
function waitAfter(interruption: Interruption, progress: Progress, { attempts }: Patience): number {
  const { url, position, mark } = progress
  if (position > 0 && (mark === undefined || validatorOf(mark) === undefined)) {
    const text = `stopped at ${whereOf(progress)} (${interruption.message}), and has neither ETag nor Last-Modified: the rest could be another file's`
    throw refused(url, text)
  }
  progress.failures += 1
  if (progress.failures < attempts) return Math.max(interruption.waitMs, backOffMs(progress.failures))
  const code: ErrorCode = interruption.stalled ? 'DOWNLOAD_STALLED' : 'DOWNLOAD_FAILED'
  const text = `${publicUrl(url)} stopped at ${whereOf(progress)}, ${attempts} times in a row; lastly: ${interruption.message}`
  throw new PineError(code, text, { hint: GO_ON, cause: interruption })
}

function whereOf({ position, mark }: Progress): string {
  const of = mark?.bytes === undefined ? '' : ` of ${formatBytes(mark.bytes)}`
  return `${formatBytes(position)}${of}`
}
