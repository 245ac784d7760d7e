import { decodeKeyList, type KeyList, type SignedKeyList } from '../bundle/key-list.ts'
import { PineError } from '../core/error.ts'
import { type PublicKey, publicKeyFrom } from './keys.ts'
import { distinctSigners } from './signing.ts'

interface Role {
  readonly keys: readonly PublicKey[]
  /** How many different keys must sign. */
  readonly threshold: number
}

/** Whom a host believes. */
export interface TrustedKeys {
  /** 0: the public keys of a folder; from 1 on the number of a key list. */
  readonly version: number
  /** Seconds since 1970; 0 for plain keys. */
  readonly created: number
  readonly expires?: number
  /** Sign the next key list. */
  readonly root: Role
  /** Sign bundles. */
  readonly release: Role
  /** The list as it was signed; none for plain keys. */
  readonly signed?: SignedKeyList
}

/** Plain keys have every role. */
export function trustPlainKeys(keys: readonly PublicKey[], threshold: number): TrustedKeys {
  const role = { keys, threshold }
  return { version: 0, created: 0, root: role, release: role }
}

/** A list that was believed before: from the records, or the first of a chain where nothing else is trusted yet. */
export function trustList(signed: SignedKeyList): TrustedKeys {
  const { version, created, expires, root, release } = decodeKeyList(signed.bytes)
  return {
    version,
    created,
    ...(expires !== undefined && { expires }),
    root: roleOf(root),
    release: roleOf(release),
    signed,
  }
}

function roleOf({ threshold, keys }: KeyList['root']): Role {
  return { threshold, keys: keys.map(({ raw, comment }) => publicKeyFrom(Buffer.from(raw), comment)) }
}

/**
 * Goes from list to list: each must be the next number, signed by the root keys of the one before and by its own, as in
 * The Update Framework 1.0.33, 5.3. Lists that are not newer are passed over, so that a host behind by any number, or by none,
 * can take the same chain. Throws `KEY_LIST_INVALID`, `KEY_LIST_UNTRUSTED`.
 */
export function followKeyLists(trusted: TrustedKeys, lists: readonly SignedKeyList[]): TrustedKeys {
  return lists.reduce(follow, trusted)
}

function follow(trusted: TrustedKeys, signed: SignedKeyList): TrustedKeys {
  const next = trustList(signed)
  if (next.version <= trusted.version) return trusted
  if (next.version !== trusted.version + 1) {
    throw new PineError(
      'KEY_LIST_UNTRUSTED',
      `the chain goes on with key list ${next.version}, this host knows list ${trusted.version}`,
      { hint: `take a chain that has list ${trusted.version + 1} too` },
    )
  }
  requireSigners(signed, trusted.root, `the root keys of list ${trusted.version}`)
  requireSigners(signed, next.root, 'its own root keys')
  return next
}

function requireSigners(signed: SignedKeyList, { keys, threshold }: Role, whose: string): void {
  const { size } = distinctSigners('key list', signed, keys)
  if (size >= threshold) return
  throw new PineError(
    'KEY_LIST_UNTRUSTED',
    `${threshold} of ${whose} must have signed key list ${decodeKeyList(signed.bytes).version}, ${size} did`,
    { hint: 'sign it with "keys sign", or "keys digest" and "keys attach"' },
  )
}

/** The first of a chain that nothing vouches for: it must at least be signed by its own root keys. */
export function trustFirst(signed: SignedKeyList): TrustedKeys {
  const first = trustList(signed)
  requireSigners(signed, first.root, 'its own root keys')
  return first
}
