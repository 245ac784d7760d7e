import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HEADER_BYTES } from '../../src/bundle/header.ts'
import {
  decodeManifest,
  encodeManifest,
  type ImageManifest,
  type Variant,
} from '../../src/bundle/manifest.ts'
import { payloadBytes, writeBundle } from '../../src/bundle/writer.ts'
import { digestOf } from '../../src/core/digest.ts'
import { parsePrivateKey } from '../../src/trust/keys.ts'
import { signManifest } from '../../src/trust/verify.ts'
import { prose } from '../expand/programs.ts'
import { ofImage } from '../support/bundles.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
})
afterEach(() => shop.close())

const diskDigest = (): string => digestOf(readFileSync(shop.path('host.img')))

function manifestOf(bundle: string): ImageManifest {
  const bytes = readFileSync(shop.path(bundle))
  return ofImage(decodeManifest(bytes.subarray(HEADER_BYTES, HEADER_BYTES + bytes.readUInt32LE(12))))
}

/** The same bundle with variants that say something else, signed by the same key. */
async function rewrite(bundle: string, change: (variant: Variant) => Variant): Promise<void> {
  const bytes = readFileSync(shop.path(bundle))
  const before = manifestOf(bundle)
  const manifest = { ...before, variants: before.variants.map(change) }
  const key = parsePrivateKey(readFileSync(shop.path('keys/ci.key'), 'utf8'))
  const signatures = [signManifest(encodeManifest(manifest), key)]
  const payload = [bytes.subarray(bytes.length - payloadBytes(before))]
  const out: Buffer[] = []
  await writeBundle({ manifest, signatures, payload }, async (piece) => void out.push(Buffer.from(piece)))
  writeFileSync(shop.path(bundle), Buffer.concat(out))
}

/** As made by a builder whose libraries make other bytes. */
function byOtherLibraries(variant: Variant): Variant {
  const codecs = variant.codecs.map(({ name, version }) =>
    name === 'pine-program' || version === undefined ? { name } : { name, version: '0.0.1-00000000' },
  )
  return { ...variant, codecs }
}

function holds(slot: 'a' | 'b', release: string): boolean {
  const image = readFileSync(shop.path(`${release}.img`))
  return slotContent(shop, slot).subarray(0, image.length).equals(image)
}

describe('a host whose codecs make other bytes than the builder’s', () => {
  beforeEach(async () => {
    // What is new in 2.0 can be packed.
    writeFileSync(shop.path('tree-2.0/page'), prose(50_000))
    await shop.ok('image build --tree @tree-2.0 --out @2.0.img')
  })

  test('refuses the delta before it writes, and is told to take the full bundle', async () => {
    await makeBundle(shop, '2.0', { from: '1.0' })
    const names = manifestOf('2.0.bundle').variants[0]?.codecs.map(({ name }) => name)
    expect(names).toContain('zlib')
    await rewrite('2.0.bundle', byOtherLibraries)
    const before = diskDigest()
    const ran = await shop.pine(`apply @2.0.bundle --json ${ON_DISK}`)
    expect([ran.exit, ran.json().error.code]).toEqual([3, 'CODEC_MISMATCH'])
    expect(ran.stderr).toContain('0.0.1-00000000')
    expect(ran.stderr).toContain('take the full bundle')
    expect(diskDigest()).toBe(before)
  })

  test('takes the full variant of a bundle that has one', async () => {
    await makeBundle(shop, '2.0', { from: '1.0', more: '--full' })
    await rewrite('2.0.bundle', byOtherLibraries)
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    expect(holds('b', '2.0')).toBe(true)
    expect(await shop.boot()).toBe('b')
  })

  test('needs no codec for a full variant', async () => {
    await makeBundle(shop, '2.0')
    expect(manifestOf('2.0.bundle').variants.map(({ codecs }) => codecs.map(({ name }) => name))).toEqual([
      ['pine-program'],
    ])
  })
})

test('one bundle serves hosts of two releases, each with its own delta', async () => {
  await makeBundle(shop, '3.0', { from: '1.0', more: '--from @2.0.img' })
  const bundle = readFileSync(shop.path('3.0.bundle'))
  const { variants } = manifestOf('3.0.bundle')
  expect(variants.map(({ base }) => base?.digest)).toEqual(
    ['1.0', '2.0'].map((release) => digestOf(readFileSync(shop.path(`${release}.img`)))),
  )
  // Of 2 MiB and a quarter, a quarter is new to each.
  expect(bundle.length).toBeLessThan(1024 * 1024)

  await shop.ok(`apply @3.0.bundle --dry-run ${ON_DISK}`)
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  expect(await shop.boot()).toBe('b')
  await shop.ok(`confirm ${ON_DISK}`)
  await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
  expect(holds('a', '3.0')).toBe(true)
  expect(await shop.boot()).toBe('a')
})

test('a host that runs neither takes the full variant', async () => {
  await makeBundle(shop, '3.0', { from: '2.0', more: '--full' })
  await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
  expect(holds('b', '3.0')).toBe(true)
})
