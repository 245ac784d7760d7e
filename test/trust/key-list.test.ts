import { describe, expect, test } from 'vitest'
import {
  decodeKeyList,
  decodeKeyLists,
  encodeKeyList,
  encodeKeyLists,
  type SignedKeyList,
} from '../../src/bundle/key-list.ts'
import { encodeCanonical } from '../../src/bundle/msgpack.ts'
import { appendList, attachToLast, type KeyChain, signLast } from '../../src/trust/key-chain.ts'
import { followKeyLists, trustFirst, trustPlainKeys } from '../../src/trust/key-list.ts'
import { type GeneratedKey, generateKey, parsePrivateKey } from '../../src/trust/keys.ts'
import { signBytes, signedMessage } from '../../src/trust/signing.ts'
import { codeOf } from '../support/bundles.ts'

const [alice, bob, carol, ci, eve] = ['alice', 'bob', 'carol', 'ci', 'eve'].map(generateKey) as [
  GeneratedKey,
  GeneratedKey,
  GeneratedKey,
  GeneratedKey,
  GeneratedKey,
]
const pub = (...keys: GeneratedKey[]) => keys.map(({ publicKey }) => publicKey)
const secret = (...keys: GeneratedKey[]) => keys.map(({ privatePem }) => parsePrivateKey(privatePem))

interface Next {
  root: GeneratedKey[]
  threshold?: number
  signers: GeneratedKey[]
}

function next(chain: KeyChain, { root, threshold = 1, signers }: Next): KeyChain {
  const list = appendList(chain, {
    created: 1_700_000_000,
    expires: undefined,
    root: { keys: pub(...root), threshold },
    release: { keys: pub(ci), threshold: 1 },
  })
  return signLast(list, secret(...signers))
}

const plain = trustPlainKeys(pub(alice), 1)
const first = next([], { root: [alice, bob], threshold: 2, signers: [alice, bob] })
const second = next(first, { root: [bob, carol], threshold: 2, signers: [alice, bob, carol] })
const third = next(second, { root: [carol], signers: [bob, carol] })

describe('a chain of key lists', () => {
  test('is followed by a host that is any number of rotations behind, and by one that is not behind', () => {
    const [afterFirst, afterThird] = [followKeyLists(plain, first), followKeyLists(plain, third)]
    expect([afterFirst.version, afterThird.version]).toEqual([1, 3])
    expect(followKeyLists(afterFirst, third)).toEqual(afterThird)
    expect(followKeyLists(afterThird, third)).toEqual(afterThird)
    expect(followKeyLists(afterThird, first)).toEqual(afterThird)
    expect(afterThird.root.keys).toEqual(pub(carol))
    expect(afterThird.release.keys).toEqual(pub(ci))
  })

  test('that skips a list is not followed', async () => {
    const [link] = third.slice(2)
    expect(await codeOf(() => followKeyLists(followKeyLists(plain, first), link ? [link] : []))).toBe(
      'KEY_LIST_UNTRUSTED',
    )
  })

  test('needs the root keys of the list before, and its own', async () => {
    const withoutOld = next(first, { root: [carol], signers: [carol] })
    const withoutNew = next(first, { root: [carol], signers: [alice, bob] })
    const oneOfTwo = next(first, { root: [carol], signers: [alice, carol] })
    const stranger = next([], { root: [eve], signers: [eve] })
    for (const chain of [withoutOld, withoutNew, oneOfTwo, stranger])
      expect(await codeOf(() => followKeyLists(plain, chain))).toBe('KEY_LIST_UNTRUSTED')
  })

  test('counts a key once, however often it signs or is listed', async () => {
    const [list] = first.slice(0, 1)
    if (list === undefined) throw new Error('an empty chain')
    const [byAlice] = signLast([{ ...list, signatures: [] }], secret(alice))[0]?.signatures ?? []
    const twice: SignedKeyList = { ...list, signatures: byAlice ? [byAlice, byAlice] : [] }
    expect(twice.signatures.length).toBe(2)
    expect(await codeOf(() => followKeyLists(plain, [twice]))).toBe('KEY_LIST_UNTRUSTED')
    const listedTwice = next([], { root: [alice, alice], threshold: 2, signers: [alice] })
    expect(await codeOf(() => followKeyLists(plain, listedTwice))).toBe('KEY_LIST_UNTRUSTED')
  })

  test('does not take the signature of a bundle for one of a list', async () => {
    const unsigned = next(first, { root: [carol], signers: [] })
    const signatures = [alice, bob, carol].map((key) =>
      signBytes('bundle manifest', unsigned[1]?.bytes ?? Buffer.alloc(0), parsePrivateKey(key.privatePem)),
    )
    const chain = unsigned.map((link, index) => (index === 1 ? { ...link, signatures } : link))
    expect(await codeOf(() => followKeyLists(plain, chain))).toBe('KEY_LIST_UNTRUSTED')
  })

  test('can begin without plain keys, when it signs itself', async () => {
    const [link] = first
    if (link === undefined) throw new Error('an empty chain')
    expect(trustFirst(link).version).toBe(1)
    expect(await codeOf(() => trustFirst({ ...link, signatures: [] }))).toBe('KEY_LIST_UNTRUSTED')
  })

  test('takes signatures that were made elsewhere, but not wrong ones', async () => {
    const unsigned = next([], { root: [alice], signers: [] })
    const message = signedMessage('key list', unsigned[0]?.bytes ?? Buffer.alloc(0))
    const { sign } = await import('node:crypto')
    const signature = sign(null, message, alice.privatePem)
    const attached = attachToLast(unsigned, { key: alice.publicKey, signature })
    expect(followKeyLists(plain, attached).version).toBe(1)
    const wrong = { key: bob.publicKey, signature }
    expect(await codeOf(() => attachToLast(unsigned, wrong))).toBe('SIGNATURE_INVALID')
  })
})

describe('a file of key lists', () => {
  test('comes back as it was written', () => {
    const bytes = encodeKeyLists(third)
    expect(decodeKeyLists(bytes).map((list) => decodeKeyList(list.bytes).version)).toEqual([1, 2, 3])
    expect(encodeKeyLists(decodeKeyLists(bytes)).equals(bytes)).toBe(true)
  })

  test('cut or changed anywhere gives no keys', async () => {
    const bytes = encodeKeyLists(second)
    for (let at = 0; at < bytes.length; at++) {
      expect(await codeOf(() => decodeKeyLists(bytes.subarray(0, at))), `cut at ${at}`).toBe(
        'KEY_LIST_INVALID',
      )
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 0x10
      // Key ids only say which key to try: with a wrong one the signature is not counted.
      expect(await codeOf(() => followKeyLists(plain, decodeKeyLists(changed))), `changed at ${at}`).toMatch(
        /^KEY_LIST_|^KEY_INVALID/,
      )
    }
    expect(await codeOf(() => decodeKeyLists(Buffer.concat([bytes, Buffer.alloc(1)])))).toBe(
      'KEY_LIST_INVALID',
    )
  })

  test('is refused where it asks for more signatures than there are keys, or for none', async () => {
    const [list] = first
    const good = decodeKeyList(list?.bytes ?? Buffer.alloc(0))
    const bad = [
      { ...good, root: { ...good.root, threshold: 3 } },
      { ...good, release: { ...good.release, threshold: 0 } },
      { ...good, release: { threshold: 1, keys: [] } },
      { ...good, version: 0 },
      { ...good, expires: good.created },
    ]
    for (const list of bad)
      expect(await codeOf(() => decodeKeyList(encodeKeyList(list)))).toBe('KEY_LIST_INVALID')
    const more = Buffer.from(encodeCanonical({ version: 1 }))
    expect(await codeOf(() => decodeKeyList(more))).toBe('KEY_LIST_INVALID')
  })
})
