// Run by test/delta/memory.test.ts in a process of its own: applies a full bundle and prints its peak memory in bytes.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { openBundle } from '../../src/bundle/reader.ts'
import { writeImage } from '../../src/delta/apply.ts'
import { nativeCodec } from '../../src/host/native.ts'
import { openRegion } from '../../src/host/region.ts'
import { parsePublicKey } from '../../src/trust/keys.ts'
import { verifyManifest } from '../../src/trust/verify.ts'

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

async function apply([bundle = '', slot = '', key = '']: readonly string[]): Promise<void> {
  const opened = await openBundle(readFileInPieces(bundle))
  const manifest = verifyManifest(opened, [parsePublicKey(key)])
  const target = await openRegion(slot, { writable: true })
  const segments = opened.segments(manifest.segments)
  const result = await writeImage({ segments, manifest, target, codec: nativeCodec() })
  await target.close()
  console.log(JSON.stringify({ ...result, peakBytes: peakBytes() }))
}

void apply(process.argv.slice(2))
