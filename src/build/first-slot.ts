import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import { copyRegion } from '../host/copy-region.ts'
import type { Host } from '../host/host.ts'
import { makeSlotFileSystem } from '../host/make-file-system.ts'
import type { Partition } from '../model/layout.ts'
import type { ImageRecord } from '../model/records.ts'
import { detectFileSystem, requireBootable } from './file-system.ts'
import { type CommitOrigin, withTreeSlot } from './tree-slot.ts'

/** Where slot a of a new disk comes from: an image, or a commit by any of its names. */
export type SlotOrigin = { image: string } | CommitOrigin

/** What slot a will hold, opened, and found to be something that starts. */
export interface FirstSlot {
  /** For the trial: of an image that takes no space, of a tree as much as it has. */
  trialDir: string | undefined
  /** Tries it on a disk that nobody needs. Throws `IMAGE_TOO_BIG`. */
  requireFits(trial: string, slot: Partition): Promise<void>
  /** `disk` is what is open of `path`. */
  write(path: string, disk: Region, slot: Partition, onProgress: OnProgress): Promise<SlotRecord>
}
type SlotRecord = Pick<ImageRecord, 'digest' | 'bytes' | 'fs'>

export function nameOfOrigin(origin: SlotOrigin): string {
  return 'image' in origin ? origin.image : `commit ${origin.ref} of ${origin.ostree}`
}

interface Opening {
  origin: SlotOrigin
  workDir: string
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

/** Opens it for `use`. A commit is checked out in `workDir`. Throws `IMAGE_UNBOOTABLE`, `TREE_INVALID`, `OSTREE_*`. */
export async function withFirstSlot<T>(
  host: Host,
  { origin, workDir, onStep }: Opening,
  use: (slot: FirstSlot) => Promise<T>,
): Promise<T> {
  if (!('image' in origin)) {
    return await withTreeSlot(host, { ...origin, workDir, onStep }, ({ folder, commit, bytes }) =>
      use(ofTree(host, { folder, trialDir: workDir, record: { digest: commit, bytes, fs: 'tree' } })),
    )
  }
  const image = await host.openRegion(origin.image)
  try {
    await requireBootable(image)
    return await use(ofImage(image))
  } finally {
    await image.close()
  }
}

function ofImage(image: Region): FirstSlot {
  return {
    trialDir: undefined,
    requireFits: async (_trial, slot) => {
      if (image.bytes > slot.bytes) throw tooBig(`the image has ${image.bytes} bytes`, slot)
    },
    write: async (_path, disk, slot, onProgress) => {
      const digest = await copyRegion(image, disk, slot.offset, onProgress)
      return { digest, bytes: image.bytes, fs: await detectFileSystem(image) }
    },
  }
}

interface TreeContent {
  folder: string
  trialDir: string
  record: SlotRecord
}

function ofTree(host: Host, { folder, trialDir, record }: TreeContent): FirstSlot {
  return {
    trialDir,
    requireFits: (trial, slot) =>
      makeSlotFileSystem(host, trial, slot, folder).catch((error: unknown) => {
        if (!(error instanceof PineError) || error.code !== 'TOOL_FAILED') throw error
        throw tooBig(`the tree has ${record.bytes} bytes: ${error.message}`, slot)
      }),
    write: async (path, _disk, slot) => {
      await makeSlotFileSystem(host, path, slot, folder)
      return record
    },
  }
}

function tooBig(found: string, { bytes }: Partition): PineError {
  return new PineError('IMAGE_TOO_BIG', `${found}, a slot of this layout ${bytes}`, {
    hint: 'take a layout with larger slots, or make the release smaller',
  })
}
