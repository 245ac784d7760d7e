import { decodeKeyLists, encodeKeyLists, type SignedKeyList } from '../../../src/bundle/key-list.ts'
import { decodeSignatures, encodeSignatures } from '../../../src/bundle/signatures.ts'
import { appendList, type KeyChain, signLast } from '../../../src/trust/key-chain.ts'
import { followKeyLists, trustPlainKeys } from '../../../src/trust/key-list.ts'
import { signBytes } from '../../../src/trust/signing.ts'
import { mutateBytes } from '../bytes.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'
import { alice, bob, carol, eve, type FixedKey } from './fixtures.ts'
import { mutateMsgpack } from './msgpack.ts'

const publicOf = (keys: readonly FixedKey[]) => keys.map(({ publicKey }) => publicKey)

function next(chain: KeyChain, root: readonly FixedKey[], signers: readonly FixedKey[]): KeyChain {
  const list = appendList(chain, {
    ...{ created: 1_700_000_000 + chain.length, expires: 1_900_000_000 },
    root: { keys: publicOf(root), threshold: 2 },
    release: { keys: publicOf([carol]), threshold: 1 },
  })
  return signLast(
    list,
    signers.map(({ privateKey }) => privateKey),
  )
}

/** Alice and bob, then bob and carol, then carol and alice. */
const FIRST = next([], [alice, bob], [alice, bob])
const SECOND = next(FIRST, [bob, carol], [alice, bob, carol])
const THIRD = next(SECOND, [carol, alice], [alice, bob, carol])

/** What nobody but alice and eve signs again: one of two is too few. */
function mutateChain(input: Buffer, random: Random, donor: Buffer): Buffer {
  const lists = splitChain(input)
  if (lists === undefined || random.once(5)) return mutateBytes(input, random, donor)
  for (let left = few(random, 4); left > 0; left--) changeChain(lists, random, splitChain(donor) ?? [])
  try {
    return encodeKeyLists(lists)
  } catch {
    return mutateBytes(input, random, donor)
  }
}

function splitChain(bytes: Buffer): SignedKeyList[] | undefined {
  try {
    return decodeKeyLists(bytes)
  } catch {
    return undefined
  }
}

function changeChain(lists: SignedKeyList[], random: Random, donor: readonly SignedKeyList[]): void {
  const at = random.below(lists.length)
  const list = lists[at]
  if (list === undefined) return
  const replace = (change: Partial<SignedKeyList>): void => void lists.splice(at, 1, { ...list, ...change })
  const changes: (() => void)[] = [
    () => void lists.splice(at, 1),
    () => void lists.splice(random.below(lists.length), 0, list),
    () => void lists.push(...donor.slice(random.below(donor.length + 1))),
    () => void lists.reverse(),
    () => replace({ bytes: mutateMsgpack(list.bytes, random, list.bytes).subarray(0, 8192) }),
    () => replace({ signatures: changeSignatures(list, random) }),
    () => replace({ signatures: [...list.signatures, ...forged(list, random)].slice(0, 16) }),
  ]
  random.pick(changes)()
}

function changeSignatures({ signatures }: SignedKeyList, random: Random): SignedKeyList['signatures'] {
  const bytes = mutateBytes(encodeSignatures(signatures), random, Buffer.alloc(0))
  return decodeSignatures(bytes.subarray(0, bytes.length - (bytes.length % 72))).slice(0, 16)
}

function forged({ bytes }: SignedKeyList, random: Random): SignedKeyList['signatures'] {
  const byAlice = signBytes('key list', bytes, alice.privateKey)
  const byEve = signBytes('key list', bytes, eve.privateKey)
  const ofBundle = signBytes('bundle manifest', bytes, random.pick([bob, carol]).privateKey)
  const other = random.pick([bob, carol]).publicKey.id
  return random.pick([
    [byAlice],
    [byAlice, byAlice],
    [byAlice, { ...byAlice, keyId: other }],
    [byAlice, byEve],
    [byAlice, { ...byEve, keyId: other }],
    [byAlice, ofBundle],
  ])
}

export const keyChain: TargetEntry = {
  name: 'key-chain',
  weight: 80_000,
  slowness: 5,
  open: () => {
    const genuine = new Set(THIRD.map(({ bytes }) => bytes.toString('hex')))
    const plain = trustPlainKeys(publicOf([alice, bob, carol]), 2)
    return defineTarget({
      name: 'key-chain',
      seeds: [FIRST, SECOND, THIRD].map(encodeKeyLists),
      mutate: mutateChain,
      decode: (input) => followKeyLists(plain, decodeKeyLists(input)),
      codes: ['KEY_LIST_INVALID', 'KEY_LIST_UNTRUSTED', 'KEY_INVALID'],
      verdict(trusted, input) {
        const { signed, version } = trusted
        requireThat(
          signed === undefined ? version === 0 : genuine.has(signed.bytes.toString('hex')),
          'a key list is believed that was not signed by enough root keys',
        )
        // In order and all of them, or one would have been skipped.
        const found = decodeKeyLists(input).map(({ bytes }) => bytes)
        requireThat(
          THIRD.slice(0, version).every(({ bytes }) => found.some((other) => other.equals(bytes))),
          'a list between was skipped',
        )
        return accepted(`${version}`)
      },
    })
  },
}
