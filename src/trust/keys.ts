import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { blake3 } from '../core/digest.ts'
import { PineError } from '../core/error.ts'

/** A key a host trusts. */
export interface PublicKey {
  /** First 16 hex digits of the BLAKE3 digest of `raw`. */
  readonly id: string
  /** The 32 bytes of an Ed25519 public key. */
  readonly raw: Buffer
  readonly comment: string
}

export interface GeneratedKey {
  readonly publicKey: PublicKey
  /** PKCS #8 PEM; belongs in a file of mode 0600. */
  readonly privatePem: string
}

const LABEL = 'pine-key-1'
// RFC 8410 section 4: SubjectPublicKeyInfo of Ed25519 is this prefix and the raw key.
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const RAW_BYTES = 32
const MAX_COMMENT = 80

export function generateKey(comment: string): GeneratedKey {
  const { privateKey } = generateKeyPairSync('ed25519')
  return {
    publicKey: publicKeyOf(privateKey, comment),
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** Throws `KEY_INVALID`. */
export function parsePrivateKey(pem: string): KeyObject {
  const key = attempt('this is not a private key in PEM form', () => createPrivateKey(pem))
  if (key.asymmetricKeyType === 'ed25519') return key
  throw new PineError('KEY_INVALID', `the private key is of type ${key.asymmetricKeyType}, expected ed25519`)
}

export function publicKeyOf(privateKey: KeyObject, comment = ''): PublicKey {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  const raw = spki.subarray(-RAW_BYTES)
  return { id: keyId(raw), raw, comment: oneLine(comment) }
}

/** One line: `pine-key-1 <id> <base64 of the raw key> <comment>`. */
export function formatPublicKey({ id, raw, comment }: PublicKey): string {
  return `${[LABEL, id, raw.toString('base64'), comment].join(' ').trim()}\n`
}

/** Throws `KEY_INVALID`. */
export function parsePublicKey(line: string): PublicKey {
  const [label, id, base64 = '', ...comment] = line.trim().split(/\s+/)
  const raw = Buffer.from(base64, 'base64')
  if (label !== LABEL || raw.length !== RAW_BYTES || raw.toString('base64') !== base64) {
    throw new PineError('KEY_INVALID', `"${line.trim().slice(0, 80)}" is no public key`, {
      hint: 'a public key is one line: pine-key-1, its id, the key in base64, a comment',
    })
  }
  if (keyId(raw) !== id)
    throw new PineError('KEY_INVALID', `public key has id ${keyId(raw)}, its line says ${id}`)
  return publicKeyFrom(raw, comment.join(' '))
}

/** From the 32 bytes of an Ed25519 public key. Throws `KEY_INVALID`. */
export function publicKeyFrom(raw: Buffer, comment: string): PublicKey {
  attempt('a public key is no point of the curve', () => publicKeyObject(raw))
  return { id: keyId(raw), raw, comment }
}

/** From the PEM of a private or public key, as openssl writes them. Throws `KEY_INVALID`. */
export function publicKeyFromPem(pem: string, comment: string): PublicKey {
  const key = attempt('this is not a key in PEM form', () => createPublicKey(pem))
  if (key.asymmetricKeyType !== 'ed25519')
    throw new PineError('KEY_INVALID', `the key is of type ${key.asymmetricKeyType}, expected ed25519`)
  const raw = key.export({ type: 'spki', format: 'der' }).subarray(-RAW_BYTES)
  return { id: keyId(raw), raw, comment: oneLine(comment) }
}

function oneLine(comment: string): string {
  return comment.replace(/\s+/g, ' ').trim().slice(0, MAX_COMMENT)
}

/** Keys of a file: one a line; empty lines and lines that start with `#` do not count. Throws `KEY_INVALID`. */
export function parseKeyring(text: string): PublicKey[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  return lines.map(parsePublicKey)
}

export function publicKeyObject(raw: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' })
}

function keyId(raw: Buffer): string {
  return blake3(raw).toString('hex', 0, 8)
}

function attempt<T>(message: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    throw new PineError('KEY_INVALID', message, { cause })
  }
}
