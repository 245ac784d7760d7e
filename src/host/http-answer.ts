import { PineError } from '../core/error.ts'
import type { HttpAnswer } from './http-connection.ts'
import { GO_ON, Interruption, refused } from './http-failure.ts'
import { retryAfterMs } from './http-patience.ts'
import { publicUrl } from './http-url.ts'

/** What tells a file from another one at the same address. */
export interface FileMark {
  /** A strong one. RFC 9110 §8.8.3 */
  readonly etag: string | undefined
  readonly modified: string | undefined
  /** Length of the whole file, where it is known. */
  readonly bytes: number | undefined
}

/** How to read a body: pass over `skip` bytes; `bytes` follow, or as many as come. */
export interface Reading {
  readonly mark: FileMark
  readonly skip: number
  readonly bytes: number | undefined
}

type Head = Pick<HttpAnswer, 'url' | 'status' | 'headers'>

/** What a file is asked by again: its own mark. Undefined: another file could not be told from it. */
export function validatorOf({ etag, modified }: FileMark): string | undefined {
  return etag ?? modified
}

/**
 * Judges an answer to a request for all from `position` of the file `before`. Throws `Interruption`, `DOWNLOAD_CHANGED` for
 * another file, `DOWNLOAD_FAILED` for what is none at all. Reads nothing.
 */
export function readingOf(head: Head, position: number, before: FileMark | undefined): Reading {
  const { status, headers, url } = head
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity')
    throw refused(url, `is sent as ${encoding}, though the file itself was asked for`)
  if (status === 200) return wholeFile(head, position, before)
  if (status === 206 && before !== undefined) return restOfFile(head, position, before)
  if (status === 416 && before !== undefined) return endOfFile(head, position, before)
  if (status === 408 || status === 429 || status >= 500) {
    const waitMs = retryAfterMs(headers['retry-after'], headers.date)
    throw new Interruption(`the server answered ${status}`, { waitMs })
  }
  throw refused(url, `was answered with status ${status}`, ADVICE[status])
}

const ADVICE: Readonly<Record<number, string>> = {
  401: 'name and password can be a part of the address: https://USER:PASSWORD@HOST/…',
  403: 'the server refuses it to this machine; look at its log',
  404: 'look at the address, and whether the release was published there',
  407: 'the proxy wants a name and password; they can be a part of https_proxy and http_proxy',
}

/** Also from a server that knows no ranges. */
function wholeFile({ url, headers }: Head, position: number, before: FileMark | undefined): Reading {
  const now = markOf(headers)
  if (before === undefined) return { mark: now, skip: 0, bytes: now.bytes }
  requireSame(url, before, now)
  const bytes = now.bytes ?? before.bytes
  if (bytes !== undefined && bytes < position)
    throw changed(url, `${position} bytes of it are there, now it has ${bytes}`)
  return {
    mark: { ...before, bytes },
    skip: position,
    bytes: bytes === undefined ? undefined : bytes - position,
  }
}

/** RFC 9110 §14.4, §15.3.7 */
function restOfFile({ url, headers }: Head, position: number, before: FileMark): Reading {
  const range = headers['content-range'] ?? ''
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? []
  if (first === undefined) throw refused(url, `was answered with a part of it that is none: "${range}"`)
  const start = Number(first)
  const end = Number(last) + 1
  if (start !== position)
    throw refused(url, `was asked for from byte ${position}, and sent from byte ${start}`)
  const bytes = total === '*' ? (before.bytes ?? end) : Number(total)
  if (end <= start || end > bytes)
    throw refused(url, `was answered with a part of it that is none: "${range}"`)
  // With a date as the condition the server may leave it out, not so the ETag. RFC 9110 §15.3.7
  const modified = headers['last-modified'] ?? before.modified
  requireSame(url, before, { ...markOf(headers), modified, bytes })
  return { mark: { ...before, bytes }, skip: 0, bytes: end - start }
}

/** Nothing is left: the connection was lost behind the last byte, and how many there are was not said before. */
function endOfFile({ url, headers }: Head, position: number, before: FileMark): Reading {
  const [, total] = /^bytes \*\/(\d+)$/.exec(headers['content-range'] ?? '') ?? []
  if (Number(total) !== position)
    throw changed(url, `${position} bytes of it are there, now it has ${total ?? 'fewer'}`)
  return { mark: { ...before, bytes: position }, skip: 0, bytes: 0 }
}

function markOf(headers: Head['headers']): FileMark {
  const { etag, 'last-modified': modified, 'content-length': bytes } = headers
  return {
    // A weak one is the same for files that only mean the same. RFC 9110 §8.8.3.2
    etag: etag?.startsWith('"') ? etag : undefined,
    modified,
    bytes: bytes === undefined ? undefined : Number(bytes),
  }
}

function requireSame(url: URL, before: FileMark, now: FileMark): void {
  if (before.bytes !== undefined && now.bytes !== undefined && before.bytes !== now.bytes)
    throw changed(url, `it had ${before.bytes} bytes, now it has ${now.bytes}`)
  const [mark, found] = before.etag === undefined ? [before.modified, now.modified] : [before.etag, now.etag]
  if (mark === undefined || mark !== found)
    throw changed(url, `it was ${mark}, now it is ${found ?? 'without a mark'}`)
}

function changed(url: URL, how: string): PineError {
  return new PineError(
    'DOWNLOAD_CHANGED',
    `${publicUrl(url)} was replaced in the middle of the download: ${how}`,
    {
      hint: GO_ON,
    },
  )
}
