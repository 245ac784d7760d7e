/** How long a download goes on. A server that answers at all within these is waited for. */
export interface Patience {
  /** For a connection, TLS and the head of an answer together. */
  answerMs: number
  /** Without a single byte. */
  stallMs: number
  /** A connection that brings less than `floorBytes` in that time of waiting counts as stalled. */
  windowMs: number
  floorBytes: number
  /** Connections in a row that together bring less than `floorBytes` before the download fails. */
  attempts: number
}

export const PATIENCE: Patience = {
  answerMs: 30_000,
  stallMs: 30_000,
  windowMs: 60_000,
  floorBytes: 64 * 1024,
  attempts: 10,
}

const FIRST_WAIT_MS = 1000
const LONGEST_WAIT_MS = 30_000
const LONGEST_ASKED_MS = 120_000

/** How long to wait after that many failures in a row: twice as long each time, and not all machines at once. */
export function backOffMs(failures: number, random = Math.random()): number {
  const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1))
  return Math.round(most * (0.5 + random / 2))
}

/** `Retry-After` in milliseconds, at most two minutes; a date counts from the server's own clock. RFC 9110 §10.2.3 */
export function retryAfterMs(retryAfter: string | undefined, date: string | undefined): number {
  const asked = /^\d+$/.test(retryAfter ?? '')
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter ?? '') - Date.parse(date ?? '')
  return Number.isNaN(asked) ? 0 : Math.min(Math.max(asked, 0), LONGEST_ASKED_MS)
}
