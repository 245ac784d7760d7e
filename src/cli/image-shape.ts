import { type Command, Option } from 'commander'
import { IMAGE_KINDS, type ImageKind, type ImageShape } from '../build/image.ts'
import { PineError } from '../core/error.ts'
import { wholeNumber } from './options.ts'

export interface ShapeOptions {
  fs?: ImageKind
  compression?: string
  level?: number
}

const MOST_LEVEL: Readonly<Record<string, number>> = { gzip: 9, zstd: 22 }

/** How images are packed. Without defaults of commander's, so that it can be told whether somebody asked. */
export function shapeOptions(command: Command, when = ''): Command {
  return command
    .addOption(
      new Option('--fs <kind>', `${when}file system of the image (default: squashfs)`).choices(IMAGE_KINDS),
    )
    .addOption(
      new Option(
        '--compression <name>',
        `${when}of a squashfs; the loader reads gzip and xz (default: gzip)`,
      ).choices(['gzip', 'xz', 'lzo', 'zstd', 'lz4']),
    )
    .option(
      '--level <n>',
      `${when}of gzip (1 to 9) or zstd (1 to 22); the default makes updates cheap`,
      wholeNumber('--level', 1, 22),
    )
}

/** Throws `USAGE` for a level that there is not. */
export function imageShape({ fs = 'squashfs', compression = 'gzip', level }: ShapeOptions): ImageShape {
  if (level !== undefined && (fs !== 'squashfs' || level > (MOST_LEVEL[compression] ?? 0))) {
    throw new PineError('USAGE', `there is no --level ${level} of ${fs === 'squashfs' ? compression : fs}`)
  }
  return { fs, compression, level }
}
