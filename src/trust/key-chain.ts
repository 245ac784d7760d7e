import type { KeyObject } from 'node:crypto'
import { decodeKeyList, encodeKeyList, type KeyList, type SignedKeyList } from '../bundle/key-list.ts'
import { PineError } from '../core/error.ts'
import type { PublicKey } from './keys.ts'
import { signBytes, withSignature } from './signing.ts'

/** A file of key lists while it is being made: its last list is the one to sign. */
export type KeyChain = readonly SignedKeyList[]

interface NewRole {
  keys: readonly PublicKey[]
  threshold: number
}

export interface NewKeyList {
  /** Seconds since 1970. */
  created: number
  expires: number | undefined
  root: NewRole
  release: NewRole
}

/** The chain with one more list, not signed yet. */
export function appendList(chain: KeyChain, { created, expires, root, release }: NewKeyList): KeyChain {
  const last = chain.at(-1)
  const list: KeyList = {
    version: last === undefined ? 1 : decodeKeyList(last.bytes).version + 1,
    created,
    ...(expires !== undefined && { expires }),
    root: bare(root),
    release: bare(release),
  }
  const bytes = encodeKeyList(list)
  decodeKeyList(bytes)
  return [...chain, { bytes, signatures: [] }]
}

function bare({ keys, threshold }: NewRole): KeyList['root'] {
  return { threshold, keys: keys.map(({ raw, comment }) => ({ raw: new Uint8Array(raw), comment })) }
}

export function signLast(chain: KeyChain, privateKeys: readonly KeyObject[]): KeyChain {
  return changeLast(chain, (list) => {
    const added = privateKeys.map((key) => signBytes('key list', list.bytes, key))
    const ids = new Set(added.map(({ keyId }) => keyId))
    return [...list.signatures.filter(({ keyId }) => !ids.has(keyId)), ...added]
  })
}

/** A signature that was made elsewhere. Throws `SIGNATURE_INVALID`. */
export function attachToLast(chain: KeyChain, added: { key: PublicKey; signature: Buffer }): KeyChain {
  return changeLast(chain, (list) => withSignature('key list', list, added))
}

/** Throws `KEY_LIST_INVALID` for an empty chain. */
export function lastOf(chain: KeyChain): SignedKeyList {
  const last = chain.at(-1)
  if (last !== undefined) return last
  throw new PineError('KEY_LIST_INVALID', 'the file holds no key list')
}

function changeLast(chain: KeyChain, sign: (list: SignedKeyList) => SignedKeyList['signatures']): KeyChain {
  const last = lastOf(chain)
  return [...chain.slice(0, -1), { ...last, signatures: sign(last) }]
}
