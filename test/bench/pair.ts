import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { nativeHashing } from '../../src/host/native.ts'

/** What a release does to the one before. */
export type Step = 'update' | 'hotfix' | 'rebuilt'
export type Image = 'zstd.sqfs' | 'gzip.sqfs' | 'xz.sqfs' | 'lz4.erofs' | 'raw.erofs' | 'ext4'

export interface Case {
  readonly step: Step
  readonly image: Image
}

export const TARGETS: Record<Step, string> = { update: 'new', hotfix: 'hotfix', rebuilt: 'same' }

export const IMAGE_NAMES: Record<Image, string> = {
  'zstd.sqfs': 'squashfs zstd',
  'gzip.sqfs': 'squashfs gzip',
  'xz.sqfs': 'squashfs xz',
  'lz4.erofs': 'erofs lz4hc',
  'raw.erofs': 'erofs raw',
  ext4: 'ext4',
}

/** The two images of a case, or the trees they were made of. */
export interface Ends {
  readonly from: string
  readonly to: string
}

export function imagesOf(pair: string, { step, image }: Case): Ends {
  return { from: join(pair, `old.${image}`), to: join(pair, `${TARGETS[step]}.${image}`) }
}

/** Makes what is missing of the pair; what it says goes to standard error. */
export function makePair(pair: string): void {
  const made = spawnSync('bash', ['test/bench/pair.sh', pair], { stdio: ['ignore', 'inherit', 'inherit'] })
  if (made.status !== 0) throw new Error('the pair cannot be made')
}

const PIECE_BYTES = 1024 * 1024

export function digestFile(path: string): string {
  const fd = openSync(path, 'r')
  const hasher = nativeHashing().createHasher()
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  try {
    for (let bytes = readSync(fd, piece); bytes > 0; bytes = readSync(fd, piece)) {
      hasher.update(piece.subarray(0, bytes))
    }
    return hasher.hex()
  } finally {
    closeSync(fd)
  }
}
