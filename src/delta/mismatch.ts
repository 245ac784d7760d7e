import type { Encoding } from '../core/encoding.ts'
import { PineError } from '../core/error.ts'

/** What an encoder on this host makes differs from what it made where the bundle was made. */
export function codecMismatch({ codec }: Encoding, cause?: unknown): PineError {
  return new PineError('CODEC_MISMATCH', `${codec} on this host does not give the bytes the bundle expects`, {
    hint: 'take the full bundle of the release: it needs no codec',
    cause,
  })
}

export async function encoded<Made>(encoding: Encoding, job: Promise<Made>): Promise<Made> {
  try {
    return await job
  } catch (cause) {
    throw codecMismatch(encoding, cause)
  }
}

export function requireLength(made: Uint8Array, bytes: number, encoding: Encoding): void {
  if (made.length !== bytes) throw codecMismatch(encoding)
}
