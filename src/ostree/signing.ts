import { PineError } from '../core/error.ts'
import type { Handle } from './handle.ts'
import type { PublicKeys, SecretKey } from './requests.ts'
import type { Verb } from './verb.ts'

/** How libostree says that it was built without a kind of signatures, or that it is for its tests. */
const NOT_THERE = /not supported|not implemented|only for ostree testing/

/** Of libostree's API for signatures (ostree-sign), with a key that signs. Throws `OSTREE_MISSING` or `KEY_INVALID`. */
export function signer({ fn }: Verb, { type, secretKey }: SecretKey): Handle<'OstreeSign'> {
  return withKeys(fn, type, (sign) => {
    fn.ostree_sign_set_sk(sign, fn.g_variant_new_string(secretKey))
  })
}

/** With the keys of which one has to have signed. Throws `OSTREE_MISSING` or `KEY_INVALID`. */
export function verifier({ fn }: Verb, { type, publicKeys }: PublicKeys): Handle<'OstreeSign'> {
  return withKeys(fn, type, (sign) => {
    // As text: of bytes libostree frees what is not its own.
    for (const key of publicKeys) fn.ostree_sign_add_pk(sign, fn.g_variant_new_string(key))
  })
}

function withKeys(
  fn: Verb['fn'],
  type: string,
  add: (sign: Handle<'OstreeSign'>) => void,
): Handle<'OstreeSign'> {
  if (!fn.ostree_check_version(2020, 7)) throw noSignatures(type, 'it is older than 2020.7')
  try {
    const sign = fn.ostree_sign_get_by_name(type)
    add(sign)
    return sign
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    if (NOT_THERE.test(text)) throw noSignatures(type, text, error)
    throw new PineError('KEY_INVALID', text, { hint: `give ${type} keys in base64`, cause: error })
  }
}

/** Where libostree says so only when it is to check a signature. */
export function withoutSignatures(error: unknown, type: string): unknown {
  const isMissing = error instanceof Error && NOT_THERE.test(error.message)
  return isMissing ? noSignatures(type, error.message, error) : error
}

function noSignatures(type: string, why: string, cause?: unknown): PineError {
  return new PineError(
    'OSTREE_MISSING',
    `the installed libostree has no ${type} signatures for deltas: ${why}`,
    {
      hint: 'Debian builds it without: build libostree with libsodium or OpenSSL, or sign the file another way',
      cause,
    },
  )
}
