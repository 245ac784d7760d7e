import type { ImageFileSystem } from '../bundle/manifest.ts'
import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'

const HEAD_BYTES = 4096

/** What an image is, by its magic number; `raw` for anything unknown. */
export async function detectFileSystem(image: Region): Promise<ImageFileSystem> {
  return kindOf(await readHead(image))
}

/** Compression ids of a squashfs 4.0 superblock; GRUB 2.06 and 2.12 know gzip, lzo and xz. */
const SQUASHFS_COMPRESSION = ['none', 'gzip', 'lzma', 'lzo', 'xz', 'lz4', 'zstd']
const GRUB_READS = ['squashfs gzip', 'squashfs lzo', 'squashfs xz', 'ext4']

/** Throws `IMAGE_UNBOOTABLE` where the loader could not read kernel and initrd inside the image. */
export async function requireBootable(image: Region): Promise<void> {
  const head = await readHead(image)
  const kind = kindOf(head)
  const name = kind === 'squashfs' ? `squashfs ${SQUASHFS_COMPRESSION[head.readUInt16LE(20)]}` : kind
  if (GRUB_READS.includes(name)) return
  throw new PineError(
    'IMAGE_UNBOOTABLE',
    `${image.name} is ${name}, the loader reads ${GRUB_READS.join(', ')}`,
    {
      hint: 'make it with "pine-update image build --compression gzip" or "--fs ext4"',
    },
  )
}

async function readHead(image: Region): Promise<Buffer> {
  const head = Buffer.alloc(HEAD_BYTES)
  await image.read(head.subarray(0, Math.min(HEAD_BYTES, image.bytes)), 0)
  return head
}

function kindOf(head: Buffer): ImageFileSystem {
  if (head.readUInt32LE(0) === 0x73717368) return 'squashfs' // squashfs 4.0: "hsqs"
  if (head.readUInt32LE(1024) === 0xe0f5e1e2) return 'erofs'
  if (head.readUInt16LE(1024 + 0x38) === 0xef53) return 'ext4'
  return 'raw'
}
