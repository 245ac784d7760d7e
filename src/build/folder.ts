import { writeNewBootstate } from '../boot/new-bootstate.ts'
import { PineError } from '../core/error.ts'
import { makeFolder, moveFolder, removeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { initialBootState } from '../model/boot-state.ts'
import { bootstateFile, slotFolder } from '../model/folder-layout.ts'
import { BOOTSTATE_BYTES } from '../model/layout.ts'
import { emptyRecords, type ImageRecord } from '../model/records.ts'
import { withOstree } from '../ostree/ostree.ts'
import type { TreeFiles } from '../ostree/tree-slot.ts'
import { requireRoot } from './commit.ts'
import { type CommitOrigin, fillSlot } from './tree-slot.ts'

export interface FolderRequest extends CommitOrigin {
  /** That is made. */
  dir: string
  compatible: string
  version: string
  epoch: number
  files: TreeFiles
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

/** Makes a machine whose slots are folders; it appears whole or not at all. Throws `NOT_ROOT`, `FILE_EXISTS`, `OSTREE_*`. */
export async function buildFolder(host: Host, request: FolderRequest): Promise<ImageRecord> {
  requireRoot()
  const { dir, onStep } = request
  if ((await host.kindOf(dir)) !== undefined) {
    throw new PineError('FILE_EXISTS', `${dir} is there already`, { hint: 'remove it, or give another name' })
  }
  const partial = `${dir}.partial-${process.pid}`
  try {
    const held = await withOstree((ostree) =>
      fillSlot(ostree, { ...request, slot: slotFolder(partial, 'a') }),
    )
    onStep('write the boot state')
    await makeFolder(slotFolder(partial, 'b'))
    const record = await writeFolderState(host, { ...request, ...held, dir: partial })
    await moveFolder(partial, dir)
    return record
  } catch (error) {
    await removeFolder(partial)
    throw error
  }
}

interface FolderState {
  /** Of the machine; its slot a holds the tree. */
  dir: string
  commit: string
  bytes: number
  compatible: string
  version: string
  epoch: number
  files: TreeFiles
}

/** The boot state and the records of a machine whose slot a is in place. */
export async function writeFolderState(host: Host, state: FolderState): Promise<ImageRecord> {
  const { dir, commit, bytes, compatible, version, epoch, files } = state
  const a = { digest: commit, bytes, fs: 'tree', version, epoch, writtenAt: host.now().toISOString() }
  const records = {
    ...emptyRecords(compatible),
    epochFloor: epoch,
    versionFloor: version,
    treeFiles: files,
    slots: { a, b: null },
  }
  await host.createSparse(bootstateFile(dir), BOOTSTATE_BYTES)
  const region = await host.openRegion(bootstateFile(dir), { writable: true })
  try {
    await writeNewBootstate(host, region, { state: initialBootState('a'), script: null, records })
    await region.flush()
  } finally {
    await region.close()
  }
  return a
}
