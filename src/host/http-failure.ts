import { PineError } from '../core/error.ts'
import { publicUrl } from './http-url.ts'

export const GO_ON = 'what was applied so far is kept; run the command again to go on'

interface InterruptionOptions {
  /** Nothing, or next to nothing, came for too long. */
  stalled?: boolean
  /** What the server wants to be waited, in milliseconds. */
  waitMs?: number
  cause?: unknown
}

/** What may be over at the next attempt. Never leaves the download: it becomes another attempt or a `PineError`. */
export class Interruption extends Error {
  override readonly name = 'Interruption'
  readonly stalled: boolean
  readonly waitMs: number

  constructor(message: string, { stalled = false, waitMs = 0, cause }: InterruptionOptions = {}) {
    super(message, { cause })
    this.stalled = stalled
    this.waitMs = waitMs
  }
}

/** An answer that no other attempt would change. */
export function refused(url: URL, what: string, hint: string = GO_ON): PineError {
  return new PineError('DOWNLOAD_FAILED', `${publicUrl(url)} ${what}`, { hint })
}

/** Errors of TLS in Node, and OpenSSL's X509_V_ERR_* that it passes on. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|ERROR_IN_C|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|PATH_LENGTH_|HOSTNAME_)/

/** Why there was no answer. Trust that is missing stays missing, and a bug stays one; the rest may be over next time. */
export function noAnswer(error: unknown, url: URL): unknown {
  if (error instanceof PineError || error instanceof TypeError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (!TLS_CODE.test(code)) return connectionLost(error)
  const text = `no secure connection to ${url.host}: ${messageOf(error)} (${code})`
  return new PineError('TLS_FAILED', text, {
    hint: 'look at the clock of this machine and at the certificate; a CA of your own is given with --ca',
    cause: error,
  })
}

export function connectionLost(error: unknown): Interruption {
  return error instanceof Interruption ? error : new Interruption(messageOf(error), { cause: error })
}

/** A host with several addresses fails once for each of them. */
function messageOf(error: unknown): string {
  const [first] = error instanceof AggregateError ? error.errors : [error]
  const message = first instanceof Error ? first.message : String(first)
  return message === 'aborted' ? 'the connection was lost' : message
}
