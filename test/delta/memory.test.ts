import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, expect, test } from 'vitest'
import { formatPublicKey } from '../../src/trust/keys.ts'
import { makeBundle, testKey } from '../support/bundles.ts'

const MiB = 1024 * 1024
const IMAGE_BYTES = 160 * MiB
const folder = mkdtempSync(join(tmpdir(), 'pine-memory-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('a whole apply stays within 96 MB, and a second one writes nothing', async () => {
  const image = randomFillSync(Buffer.allocUnsafe(IMAGE_BYTES))
  const [bundle, slot, probe] = [join(folder, 'full.pine'), join(folder, 'slot'), join(folder, 'probe.cjs')]
  writeFileSync(bundle, (await makeBundle({ target: image, chunkBytes: MiB, windowBytes: 8 * MiB })).bytes)
  writeFileSync(slot, '')
  truncateSync(slot, IMAGE_BYTES)
  const dist = join(import.meta.dirname, '../../dist')
  cpSync(join(dist, 'native'), join(folder, 'native'), { recursive: true })
  cpSync(join(dist, 'blake3_js_bg.wasm'), join(folder, 'blake3_js_bg.wasm'))
  await build({
    entryPoints: [join(import.meta.dirname, '../support/apply-probe.ts')],
    outfile: probe,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    banner: { js: "const __pineUrl=require('node:url').pathToFileURL(__filename).href;" },
    define: { 'import.meta.url': '__pineUrl' },
    logLevel: 'error',
  })
  const run = () => {
    const args = [probe, bundle, slot, formatPublicKey(testKey.publicKey)]
    return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
  }
  const first = run()
  expect(first).toMatchObject({ writtenBytes: IMAGE_BYTES, skippedBytes: 0 })
  expect(first.peakBytes).toBeLessThan(96 * 1000 * 1000)
  expect(readFileSync(slot).equals(image)).toBe(true)
  expect(run()).toMatchObject({ writtenBytes: 0, skippedBytes: IMAGE_BYTES })
})
