import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasTool, make } from '../expand/real-images.ts'
import { writeTree } from './tree.ts'

/** Makes an image of files, the same for the same files. */
export type MakeImage = (files: ReadonlyMap<string, Buffer>) => Buffer

export interface ImageKind {
  readonly name: string
  readonly isThere: boolean
  readonly make: MakeImage
}

type Command = (tree: string, out: string) => readonly string[]

/** Every kind of image that bundles are made of. */
export function imageKinds(): ImageKind[] {
  return [
    ...['gzip', 'xz', 'zstd', 'lz4', 'lz4 -Xhc'].map((name) => squashfs(name)),
    ofTool('erofs raw', (tree, out) => ['mkfs.erofs', '--quiet', '-T1', `-U${UUID}`, out, tree]),
    ofTool('erofs lz4hc', (tree, out) => ['mkfs.erofs', '--quiet', '-zlz4hc', '-T1', `-U${UUID}`, out, tree]),
    ofTool('ext4', ext4),
    { name: 'raw bytes', isThere: true, make: (files) => Buffer.concat([...files.values()]) },
  ]
}

const UUID = '70696e65-2d75-7064-6174-650000000001'

function squashfs(compression: string): ImageKind {
  const options = ['-noappend', '-quiet', '-no-progress', '-all-time', '1', '-mkfs-time', '1', '-b', '65536']
  return ofTool(`squashfs ${compression}`, (tree, out) => [
    ...['mksquashfs', tree, out, ...options],
    ...['-comp', ...compression.split(' ')],
  ])
}

function ext4(tree: string, out: string): string[] {
  const extended = `hash_seed=${UUID},lazy_itable_init=0,nodiscard`
  const shape = ['-q', '-F', '-b', '4096', '-O', '^has_journal', '-U', UUID, '-E', extended]
  return ['env', 'E2FSPROGS_FAKE_TIME=1', 'mke2fs', '-t', 'ext4', ...shape, '-d', tree, out, '16M']
}

function ofTool(name: string, command: Command): ImageKind {
  const [first = '', , second = ''] = command('', '')
  return {
    name,
    isThere: hasTool(first === 'env' ? second : first),
    make: (files) => makeImage(files, command),
  }
}

function makeImage(files: ReadonlyMap<string, Buffer>, command: Command): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'pine-image-'))
  try {
    writeTree(join(dir, 'tree'), files)
    return make(join(dir, 'image'), command(join(dir, 'tree'), join(dir, 'image')))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
