import { generateKeyPairSync } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { openBundle } from '../../src/bundle/reader.ts'
import {
  formatPublicKey,
  generateKey,
  parseKeyring,
  parsePrivateKey,
  parsePublicKey,
  publicKeyOf,
} from '../../src/trust/keys.ts'
import { signManifest, verifyManifest } from '../../src/trust/verify.ts'
import { arriving, codeOf, makeBundle, noise } from '../support/bundles.ts'

const [alice, bob, eve] = [generateKey('alice'), generateKey('bob'), generateKey('eve')]
const target = noise(5000)

async function opened(...keys: (typeof alice)[]) {
  const { bytes } = await makeBundle({ target, keys })
  const { manifestBytes, signatures } = await openBundle(arriving(bytes))
  return { manifestBytes, signatures }
}

describe('signatures', () => {
  let byAlice: Awaited<ReturnType<typeof opened>>
  beforeAll(async () => {
    byAlice = await opened(alice)
  })

  test('by a trusted key make the manifest believed', () => {
    expect(verifyManifest(byAlice, [bob.publicKey, alice.publicKey]).compatible).toBe('test-x86')
  })

  test('none, or none of ours, or no keys: each is refused in its own way', async () => {
    const unsigned = await opened()
    expect(await codeOf(() => verifyManifest(unsigned, [alice.publicKey]))).toBe('BUNDLE_UNSIGNED')
    expect(await codeOf(() => verifyManifest(byAlice, [bob.publicKey]))).toBe('BUNDLE_UNTRUSTED')
    expect(await codeOf(() => verifyManifest(byAlice, []))).toBe('KEYRING_EMPTY')
  })

  test('of a stranger who names a trusted key do not count', async () => {
    const [signature] = (await opened(eve)).signatures
    const forged = {
      ...byAlice,
      signatures: [{ keyId: alice.publicKey.id, signature: signature?.signature ?? noise(64) }],
    }
    expect(await codeOf(() => verifyManifest(forged, [alice.publicKey]))).toBe('BUNDLE_UNTRUSTED')
  })

  test('over another manifest, or over the bare manifest, do not count', async () => {
    const other = signManifest(Buffer.from('another'), parsePrivateKey(alice.privatePem))
    expect(await codeOf(() => verifyManifest({ ...byAlice, signatures: [other] }, [alice.publicKey]))).toBe(
      'BUNDLE_UNTRUSTED',
    )
    const { sign } = await import('node:crypto')
    const bare = { keyId: alice.publicKey.id, signature: sign(null, byAlice.manifestBytes, alice.privatePem) }
    expect(await codeOf(() => verifyManifest({ ...byAlice, signatures: [bare] }, [alice.publicKey]))).toBe(
      'BUNDLE_UNTRUSTED',
    )
  })

  test('of two keys reach a threshold of two; one key twice does not', async () => {
    const keyring = [alice.publicKey, bob.publicKey]
    expect(verifyManifest(await opened(alice, bob), keyring, { threshold: 2 }).format).toBe(1)
    expect(await codeOf(() => verifyManifest(byAlice, keyring, { threshold: 2 }))).toBe('BUNDLE_UNTRUSTED')
    const twice = await opened(alice, alice)
    expect(await codeOf(() => verifyManifest(twice, keyring, { threshold: 2 }))).toBe('BUNDLE_UNTRUSTED')
    const listedTwice = [alice.publicKey, { ...alice.publicKey, comment: 'again' }]
    expect(await codeOf(() => verifyManifest(twice, listedTwice, { threshold: 2 }))).toBe('BUNDLE_UNTRUSTED')
    const withStranger = await opened(alice, eve)
    expect(await codeOf(() => verifyManifest(withStranger, keyring, { threshold: 2 }))).toBe(
      'BUNDLE_UNTRUSTED',
    )
  })

  test('a threshold that accepts anything is a bug', () => {
    for (const threshold of [0, -1, 0.5, Number.NaN]) {
      expect(() => verifyManifest(byAlice, [alice.publicKey], { threshold })).toThrow('accept anything')
    }
  })

  test('are checked before the manifest is decoded', async () => {
    const junk = Buffer.from([0xc1])
    const signed = (key: typeof alice) => ({
      manifestBytes: junk,
      signatures: [signManifest(junk, parsePrivateKey(key.privatePem))],
    })
    expect(await codeOf(() => verifyManifest(signed(eve), [alice.publicKey]))).toBe('BUNDLE_UNTRUSTED')
    expect(await codeOf(() => verifyManifest(signed(alice), [alice.publicKey]))).toBe('BUNDLE_MALFORMED')
  })
})

describe('keys', () => {
  test('come back from their lines', () => {
    const line = formatPublicKey(alice.publicKey)
    expect(line).toMatch(/^pine-key-1 [0-9a-f]{16} [A-Za-z0-9+/]{43}= alice\n$/)
    expect(parsePublicKey(line)).toEqual(alice.publicKey)
    expect(publicKeyOf(parsePrivateKey(alice.privatePem), 'alice')).toEqual(alice.publicKey)
    const keyring = `# release keys\n\n${line}${formatPublicKey(bob.publicKey)}`
    expect(parseKeyring(keyring)).toEqual([alice.publicKey, bob.publicKey])
    expect(formatPublicKey(generateKey('two\nlines').publicKey)).toMatch(/two lines\n$/)
  })

  test('that are broken are refused', async () => {
    const line = formatPublicKey(alice.publicKey).trim()
    const [label, id, base64 = ''] = line.split(' ')
    const broken = [
      '',
      'junk',
      `pine-key-2 ${id} ${base64}`,
      `${label} ${id}`,
      `${label} ${id} ${base64.slice(0, -4)}`,
    ]
    const otherId = `${label} ${bob.publicKey.id} ${base64}`
    for (const text of [
      ...broken,
      otherId,
      `${label} ${id} ${base64}AAAA`,
      `${label} ${id} ${base64.slice(0, -1)}`,
    ]) {
      expect(await codeOf(() => parsePublicKey(text)), text).toBe('KEY_INVALID')
    }
  })

  test('of another kind are refused', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    expect(await codeOf(() => parsePrivateKey(pem))).toBe('KEY_INVALID')
    expect(await codeOf(() => parsePrivateKey('-----BEGIN'))).toBe('KEY_INVALID')
  })
})
