import { beforeAll, describe, expect, test } from 'vitest'
import type { Manifest } from '../../src/bundle/manifest.ts'
import { openBundle } from '../../src/bundle/reader.ts'
import { digestOf } from '../../src/core/digest.ts'
import { supportedCodecs } from '../../src/delta/apply.ts'
import { checkPolicy, type HostPolicy, policyProblems } from '../../src/trust/policy.ts'
import { type Verified, verifyManifest } from '../../src/trust/verify.ts'
import { arriving, codec, codeOf, makeBundle, noise, testKey } from '../support/bundles.ts'

const [base, target] = [noise(9000, 2), noise(10_000)]
const policy: HostPolicy = {
  compatible: 'test-x86',
  installed: { version: '1.2', epoch: 3, digest: digestOf(base) },
  rejected: [],
  now: new Date('2026-11-22T00:00:00Z'),
  slotBytes: 10_000,
  memoryBytes: 64 * 1024 * 1024,
  codecs: supportedCodecs(codec),
}

async function verified(change: Partial<Manifest> = {}): Promise<Verified<Manifest>> {
  const { bytes } = await makeBundle({ base, target, manifest: { version: '1.3', epoch: 3, ...change } })
  return verifyManifest(await openBundle(arriving(bytes)), [testKey.publicKey])
}

function codes(manifest: Verified<Manifest>, change: Partial<HostPolicy> = {}): string[] {
  return policyProblems(manifest, { ...policy, ...change }).map(({ code }) => code)
}

describe('a host', () => {
  let good: Verified<Manifest>
  beforeAll(async () => {
    good = await verified()
  })

  test('takes a bundle that is for it and newer, or the same', async () => {
    expect(codes(good)).toEqual([])
    expect(codes(await verified({ version: '1.2' }))).toEqual([])
    expect(codes(await verified({ epoch: 4 }))).toEqual([])
    expect(() => checkPolicy(good, policy)).not.toThrow()
  })

  test('refuses one for another kind of host', async () => {
    expect(codes(good, { compatible: 'test-arm' })).toEqual(['COMPATIBLE_MISMATCH'])
    expect(() => checkPolicy(good, { ...policy, compatible: 'test-arm' })).toThrow(
      'bundle is for "test-x86", this host is "test-arm"',
    )
  })

  test('never goes back in epoch or version unless told to', async () => {
    const olderEpoch = await verified({ epoch: 2, version: '9.9' })
    const older = await verified({ version: '1.2-rc1' })
    for (const manifest of [olderEpoch, older]) {
      expect(codes(manifest)).toEqual(['DOWNGRADE_REFUSED'])
      expect(codes(manifest, { allowDowngrade: true })).toEqual([])
    }
    const unordered = { version: 'factory', epoch: 3, digest: digestOf(base) }
    expect(codes(good, { installed: unordered })).toEqual(['DOWNGRADE_REFUSED'])
  })

  test('refuses what is past its date, to the second', async () => {
    const expires = policy.now.getTime() / 1000
    expect(codes(await verified({ expires }))).toEqual(['BUNDLE_EXPIRED'])
    expect(codes(await verified({ expires: expires + 1 }))).toEqual([])
  })

  test('does not take again what it rejected unless told to', () => {
    const rejected = [digestOf(target)]
    expect(codes(good, { rejected })).toEqual(['REJECTED_BEFORE'])
    expect(codes(good, { rejected, forceRejected: true })).toEqual([])
    expect(codes(good, { rejected: [digestOf(base)] })).toEqual([])
  })

  test('refuses what was made from another image', () => {
    const installed = { ...policy.installed, digest: digestOf(target) }
    expect(codes(good, { installed })).toEqual(['BASE_MISMATCH'])
    expect(codes(good, { installed: { version: '1.2', epoch: 3 } })).toEqual([])
  })

  test('refuses what does not fit', async () => {
    expect(codes(good, { slotBytes: 9999 })).toEqual(['IMAGE_TOO_BIG'])
    expect(codes(good, { memoryBytes: 1000 })).toEqual(['MEMORY_TOO_SMALL'])
  })

  test('refuses codecs it does not have', async () => {
    expect(codes(await verified({ codecs: [{ name: 'pine-ops', version: '2' }] }))).toEqual([
      'BUNDLE_TOO_NEW',
    ])
    expect(codes(await verified({ codecs: [{ name: 'brotli' }] }))).toEqual(['BUNDLE_TOO_NEW'])
    expect(codes(await verified({ codecs: [{ name: 'zstd' }] }))).toEqual([])
  })

  test('names all problems in their order, and throws the first', async () => {
    const manifest = await verified({ epoch: 0, version: '0.1', expires: 1_700_000_001 })
    const worst = {
      ...policy,
      compatible: 'x',
      slotBytes: 1,
      memoryBytes: 1,
      rejected: [digestOf(target)],
      codecs: new Map(),
    }
    expect(codes(manifest, worst)).toEqual([
      ...[
        'COMPATIBLE_MISMATCH',
        'BUNDLE_TOO_NEW',
        'BUNDLE_EXPIRED',
        'DOWNGRADE_REFUSED',
        'DOWNGRADE_REFUSED',
      ],
      ...['REJECTED_BEFORE', 'IMAGE_TOO_BIG', 'MEMORY_TOO_SMALL'],
    ])
    expect(await codeOf(() => checkPolicy(manifest, worst))).toBe('COMPATIBLE_MISMATCH')
  })
})
