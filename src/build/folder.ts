import { basename, dirname, join } from 'node:path'
import { writeNewBootstate } from '../boot/new-bootstate.ts'
import { PineError } from '../core/error.ts'
import { type Room, sumOf } from '../core/room.ts'
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
  /** What the caller will put beside it. */
  beside?: Room
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

/** Makes a machine whose slots are folders; it appears whole or not at all. Throws `NOT_ROOT`, `FILE_EXISTS`, `OSTREE_*`, `IMAGE_TOO_BIG`. */
export async function buildFolder(host: Host, request: FolderRequest): Promise<ImageRecord> {
  requireRoot()
  const { dir, beside, onStep } = request
  if ((await host.kindOf(dir)) !== undefined) {
    throw new PineError('FILE_EXISTS', `${dir} is there already`, { hint: 'remove it, or give another name' })
  }
  await removeLeftovers(host, dir)
  const partial = `${dir}${PARTIAL}${process.pid}`
  try {
    const held = await withOstree((ostree) =>
      fillSlot(host, ostree, {
        ...request,
        slot: slotFolder(partial, 'a'),
        beside: sumOf([OWN, ...(beside ? [beside] : [])]),
      }),
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

/** Bootstate, slot b, and folders. */
const OWN: Room = { bytes: BOOTSTATE_BYTES + 64 * 1024, inodes: 8 }
const PARTIAL = '.partial-'

/** Of builds that were killed; one that is at work goes on. A process may have the PID of one that is gone, and so may we. */
async function removeLeftovers(host: Host, dir: string): Promise<void> {
  const prefix = `${basename(dir)}${PARTIAL}`
  for (const name of await host.listFolder(dirname(dir))) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : ''
    if (!/^\d+$/.test(pid)) continue
    const isGone = Number(pid) === process.pid || (await host.kindOf(join('/proc', pid))) === undefined
    if (isGone) await removeFolder(join(dirname(dir), name))
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
