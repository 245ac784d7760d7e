// Run in a process of its own: applies a bundle and prints its peak memory in bytes, and the seconds it took.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { openBundle } from '../../src/bundle/reader.ts'
import { writeImage } from '../../src/delta/apply.ts'
import { nativeCodecs } from '../../src/host/delta-codecs.ts'
import { openRegion } from '../../src/host/region.ts'
import { parsePublicKey } from '../../src/trust/keys.ts'
import { verifyManifest } from '../../src/trust/verify.ts'
import { ofImage } from './bundles.ts'

async function* readFileInPieces(path: string) {
  const fd = openSync(path, 'r')
  const piece = Buffer.allocUnsafeSlow(256 * 1024)
  try {
    for (;;) {
      const bytes = readSync(fd, piece)
      if (bytes === 0) return
      yield piece.subarray(0, bytes)
    }
  } finally {
    closeSync(fd)
  }
}

/** Of this process alone: `maxRSS` would count the parent it was forked from. */
function peakBytes(): number {
  const [, kib] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kib) * 1024
}

async function apply([bundle = '', slot = '', key = '', from = '']: readonly string[]): Promise<void> {
  const start = performance.now()
  const opened = await openBundle(readFileInPieces(bundle))
  const manifest = ofImage(verifyManifest(opened, [parsePublicKey(key)]))
  const [variant] = manifest.variants
  if (variant === undefined) throw new Error('a manifest without variants')
  const target = await openRegion(slot, { writable: true })
  const base = from === '' ? undefined : await openRegion(from, { writable: false })
  const segments = opened.segments(manifest.variants, variant)
  const result = await writeImage({ segments, manifest, variant, base, target, codecs: nativeCodecs() })
  await target.close()
  await base?.close()
  const seconds = (performance.now() - start) / 1000
  console.log(JSON.stringify({ ...result, peakBytes: peakBytes(), seconds }))
}

void apply(process.argv.slice(2))
