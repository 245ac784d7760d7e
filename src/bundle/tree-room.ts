import { type Room, sumOf } from '../core/room.ts'
import type { TreeRef, TreeVariant } from './tree-manifest.ts'
import { segmentsBytes } from './writer.ts'

/** How a host puts a tree into its slot. */
export interface TreeFiles {
  /** Files of the tree are links to the objects in the slot's repository, or copies. */
  readonly files: 'link' | 'copy'
  /** What both slots have in common is there once. */
  readonly sharesBase: boolean
}

export const BLOCK_BYTES = 4096
/** A repository has a folder for each first byte of its checksums. */
const OBJECT_FOLDERS = 256
/** What else is in a slot's `.pine`, the delta included, and in a new file system. */
const OTHER_ENTRIES = 32
/** Of an object in its folder: 70 characters, what ext4 has beside them, and as much again, as a block may be half empty. */
const NAME_BYTES = 160

/** What an apply takes in the slot at most: the delta, what it makes, and as copies whatever cannot be links. */
export function roomForApply(tree: TreeRef, variant: TreeVariant, { files, sharesBase }: TreeFiles): Room {
  const { base, newBytes, newInodes } = variant
  return sumOf([
    { bytes: segmentsBytes(variant), inodes: 1 },
    { bytes: newBytes, inodes: newInodes },
    ...(base && !sharesBase ? [base] : []),
    roomOfSlot(tree, files),
  ])
}

/** What a slot takes beside the objects of its repository and the folders of its tree. */
export function roomOfSlot(tree: Omit<TreeRef, 'commit'>, files: TreeFiles['files']): Room {
  const folders = Math.min(OBJECT_FOLDERS, tree.inodes) + OTHER_ENTRIES
  const repo = { bytes: folders * BLOCK_BYTES + tree.inodes * NAME_BYTES, inodes: folders }
  return files === 'link' ? repo : sumOf([repo, { bytes: tree.copyBytes, inodes: tree.copyInodes }])
}
