import type { KeyObject } from 'node:crypto'
import { decodeKeyLists, type SignedKeyList } from '../bundle/key-list.ts'
import { PineError } from '../core/error.ts'
import { type PublicKey, parseKeyring, parsePrivateKey } from '../trust/keys.ts'
import type { Io } from './io.ts'

/** A file that the command line names. Throws `FILE_NOT_FOUND`. */
export async function readNamed({ host }: Io, path: string): Promise<Buffer> {
  const content = await host.readFile(path)
  if (content !== undefined) return content
  throw new PineError('FILE_NOT_FOUND', `there is no ${path}`)
}

export async function readSecretKeys(io: Io, paths: readonly string[]): Promise<KeyObject[]> {
  const keys: KeyObject[] = []
  for (const path of paths) keys.push(parsePrivateKey((await readNamed(io, path)).toString()))
  return keys
}

export async function readPublicKeys(io: Io, paths: readonly string[]): Promise<PublicKey[]> {
  const keys: PublicKey[] = []
  for (const path of paths) keys.push(...parseKeyring((await readNamed(io, path)).toString()))
  return keys
}

/** A `.pub` file with one key in it. */
export async function readPublicKey(io: Io, path: string): Promise<PublicKey> {
  const [key, second] = await readPublicKeys(io, [path])
  if (key !== undefined && second === undefined) return key
  throw new PineError(
    'KEY_INVALID',
    `${path} has ${key === undefined ? 'no key' : 'several keys'}, expected one`,
  )
}

export async function readKeyChain(io: Io, path: string): Promise<SignedKeyList[]> {
  return decodeKeyLists(await readNamed(io, path))
}

/** 64 bytes, as openssl writes them. Throws `SIGNATURE_INVALID`. */
export async function readSignature(io: Io, path: string): Promise<Buffer> {
  const signature = await readNamed(io, path)
  if (signature.length === 64) return signature
  throw new PineError(
    'SIGNATURE_INVALID',
    `${path} has ${signature.length} bytes, an Ed25519 signature has 64`,
    {
      hint: 'give the raw signature, not base64 or hex',
    },
  )
}
