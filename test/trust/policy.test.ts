import { beforeAll, describe, expect, test } from 'vitest'
import type { ImageManifest, Variant } from '../../src/bundle/manifest.ts'
import { openBundle } from '../../src/bundle/reader.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { PineError } from '../../src/core/error.ts'
import { supportedCodecs } from '../../src/delta/apply.ts'
import { type HostPolicy, judgeBundle } from '../../src/trust/policy.ts'
import { type Verified, verifyManifest } from '../../src/trust/verify.ts'
import { arriving, codecs, makeBundle, noise, ofImage, testKey } from '../support/bundles.ts'

const [base, target] = [noise(9000, 2), noise(10_000)]
const policy: HostPolicy = {
  compatible: 'test-x86',
  installed: { version: '1.2', digest: digestOf(base) },
  slotKind: 'image',
  treeFiles: { files: 'link', sharesBase: true },
  floor: { epoch: 3 },
  rejected: [],
  now: new Date('2026-11-22T00:00:00Z'),
  timeFloor: 0,
  keys: { version: 0 },
  slotBytes: 10_000,
  slotInodes: Number.POSITIVE_INFINITY,
  memoryBytes: 64 * 1024 * 1024,
  codecs: supportedCodecs(codecs),
}

async function verified(
  change: Partial<ImageManifest> = {},
  { variant, bases = [base] }: { variant?: Partial<Variant>; bases?: readonly (Buffer | undefined)[] } = {},
): Promise<Verified<ImageManifest>> {
  const manifest = { version: '1.3', epoch: 3, ...change }
  const { bytes } = await makeBundle({ bases, target, manifest, ...(variant && { variant }) })
  return ofImage(verifyManifest(await openBundle(arriving(bytes)), [testKey.publicKey]))
}

function problems(manifest: Verified<ImageManifest>, change: Partial<HostPolicy> = {}): PineError[] {
  return judgeBundle(manifest, { ...policy, ...change }).checks.flatMap(({ problem }) => problem ?? [])
}

function codes(manifest: Verified<ImageManifest>, change: Partial<HostPolicy> = {}): string[] {
  return problems(manifest, change).map(({ code }) => code)
}

function chosen(manifest: Verified<ImageManifest>, change: Partial<HostPolicy> = {}): Variant {
  const { chosen } = judgeBundle(manifest, { ...policy, ...change })
  if (chosen.kind === 'tree') throw new Error('the bundle is of a tree')
  return chosen.variant
}

describe('a host', () => {
  let good: Verified<ImageManifest>
  beforeAll(async () => {
    good = await verified()
  })

  test('takes a bundle that is for it and newer, or the same', async () => {
    expect(codes(good)).toEqual([])
    expect(codes(await verified({ version: '1.2' }))).toEqual([])
    expect(codes(await verified({ epoch: 4 }))).toEqual([])
  })

  test('refuses one for another kind of host', async () => {
    expect(codes(good, { compatible: 'test-arm' })).toEqual(['COMPATIBLE_MISMATCH'])
    const [problem] = problems(good, { compatible: 'test-arm' })
    expect(problem?.message).toBe('bundle is for "test-x86", this host is "test-arm"')
  })

  test('never goes back in epoch or version unless told to', async () => {
    const olderEpoch = await verified({ epoch: 2, version: '9.9' })
    const older = await verified({ version: '1.2-rc1' })
    for (const manifest of [olderEpoch, older]) {
      expect(codes(manifest)).toEqual(['DOWNGRADE_REFUSED'])
      expect(codes(manifest, { allowDowngrade: true })).toEqual([])
    }
    const unordered = { version: 'factory', digest: digestOf(base) }
    expect(codes(good, { installed: unordered })).toEqual(['DOWNGRADE_REFUSED'])
  })

  test('does not take what is older than what it once confirmed, though it went back since', () => {
    expect(codes(good, { floor: { epoch: 3, version: '1.4' } })).toEqual(['DOWNGRADE_REFUSED'])
    expect(codes(good, { floor: { epoch: 3, version: '1.3' } })).toEqual([])
    expect(codes(good, { floor: { epoch: 3, version: '1.4' }, allowDowngrade: true })).toEqual([])
  })

  test('refuses what is past its date, to the second', async () => {
    const expires = policy.now.getTime() / 1000
    expect(codes(await verified({ expires }))).toEqual(['BUNDLE_EXPIRED'])
    expect(codes(await verified({ expires: expires + 1 }))).toEqual([])
    expect(codes(await verified({ expires }), { allowExpired: true })).toEqual([])
  })

  test('whose clock went back to 1970 still knows what was signed since', async () => {
    const expires = policy.now.getTime() / 1000
    const lost = { now: new Date(0), timeFloor: expires }
    expect(codes(await verified({ expires }), lost)).toEqual(['BUNDLE_EXPIRED'])
    expect(codes(await verified({ expires: expires + 1 }), lost)).toEqual([])
    const [problem] = problems(await verified({ expires }), lost)
    expect(problem?.message).toContain('by what was signed (the clock says 1970-01-01T00:00:00.000Z)')
  })

  test('refuses everything once its key list has expired', () => {
    const expires = policy.now.getTime() / 1000
    expect(codes(good, { keys: { version: 4, expires } })).toEqual(['KEY_LIST_EXPIRED'])
    expect(codes(good, { keys: { version: 4, expires: expires + 1 } })).toEqual([])
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
    expect(codes(good, { installed: { version: '1.2' } })).toEqual([])
  })

  test('refuses what does not fit', async () => {
    expect(codes(good, { slotBytes: 9999 })).toEqual(['IMAGE_TOO_BIG'])
    expect(codes(good, { memoryBytes: 1000 })).toEqual(['MEMORY_TOO_SMALL'])
  })

  test('refuses codecs it does not have', async () => {
    const needs = (...list: Variant['codecs']) => verified({}, { variant: { codecs: list } })
    expect(codes(await needs({ name: 'brotli' }))).toEqual(['BUNDLE_TOO_NEW'])
    expect(codes(await needs({ name: 'brotli', version: '1' }))).toEqual(['BUNDLE_TOO_NEW'])
    expect(codes(await needs({ name: 'zstd' }))).toEqual([])
    expect(codes(await needs({ name: 'zstd', version: codecs.fingerprint('zstd') }))).toEqual([])
  })

  test('refuses codecs of another version, and says what to take', async () => {
    const other = await verified({}, { variant: { codecs: [{ name: 'xz', version: '5.2.1-00000000' }] } })
    expect(codes(other)).toEqual(['CODEC_MISMATCH'])
    const [problem] = problems(other)
    const ours = codecs.fingerprint('xz')
    expect(problem?.message).toBe(`bundle was made with xz 5.2.1-00000000, this host has ${ours}`)
    expect(problem?.hint).toContain('full bundle')
    const program = await verified({}, { variant: { codecs: [{ name: 'pine-program', version: '99' }] } })
    expect(codes(program)).toEqual(['CODEC_MISMATCH'])
  })

  test('does not compute fingerprints that no bundle asks for', () => {
    const asked: string[] = []
    const counted = [...supportedCodecs(codecs)].map(([name, version]): [string, () => string] => [
      name,
      () => {
        asked.push(name)
        return version()
      },
    ])
    expect(codes(good, { codecs: new Map(counted) })).toEqual([])
    expect(asked).toEqual(['pine-program'])
  })

  test('names all problems in their order', async () => {
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
      ...['COMPATIBLE_MISMATCH', 'BUNDLE_EXPIRED', 'DOWNGRADE_REFUSED', 'DOWNGRADE_REFUSED'],
      ...['REJECTED_BEFORE', 'IMAGE_TOO_BIG', 'BUNDLE_TOO_NEW', 'MEMORY_TOO_SMALL'],
    ])
  })
})

describe('of the ways to make an image', () => {
  const older = noise(8000, 3)
  const ours = { ...policy.installed, digest: digestOf(base) }
  const stranger = { ...policy.installed, digest: digestOf(noise(100, 9)) }
  let all: Verified<ImageManifest>
  beforeAll(async () => {
    all = await verified({}, { bases: [older, base, undefined] })
  })

  test('each host takes the one from its image, and the full one when there is none', () => {
    const [fromOlder, fromOurs, full] = all.variants
    expect(chosen(all, { installed: ours })).toBe(fromOurs)
    expect(chosen(all, { installed: { ...ours, digest: digestOf(older) } })).toBe(fromOlder)
    expect(chosen(all, { installed: stranger })).toBe(full)
  })

  test('the full one is taken where the delta needs another codec or more memory', async () => {
    const [, delta, full] = all.variants
    if (delta === undefined || full === undefined) throw new Error('the sample needs three variants')
    const withDelta = (change: Partial<Variant>) =>
      verified({ variants: [{ ...delta, ...change }, full] }, { bases: [base, undefined] })
    for (const change of [
      { codecs: [{ name: 'xz', version: '5.2.1-00000000' }] },
      { codecs: [{ name: 'brotli' }] },
      { memoryBytes: 2 ** 40 },
    ]) {
      const manifest = await withDelta(change)
      expect(codes(manifest)).toEqual([])
      expect(chosen(manifest)).toBe(manifest.variants[1])
    }
  })

  test('without a full one, the host is told about the one from its image', async () => {
    const two = await verified({}, { bases: [older, base] })
    expect(codes(two, { installed: stranger })).toEqual(['BASE_MISMATCH'])
    expect(codes(two, { memoryBytes: 1000 })).toEqual(['MEMORY_TOO_SMALL'])
  })
})
