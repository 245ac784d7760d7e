import { join } from 'node:path'
import { writeNewBootstate } from '../boot/new-bootstate.ts'
import { PineError } from '../core/error.ts'
import { makeFolder, moveFolder, removeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { initialBootState } from '../model/boot-state.ts'
import { bootstateFile, slotFolder } from '../model/folder-layout.ts'
import { BOOTSTATE_BYTES } from '../model/layout.ts'
import { emptyRecords, type ImageRecord } from '../model/records.ts'
import { type Ostree, withOstree } from '../ostree/ostree.ts'
import { checkoutSlot, problemOfSlot, SLOT_FOLDER, slotRepo, type TreeFiles } from '../ostree/tree-slot.ts'
import { describeCommit, openRepo, requireRoot } from './commit.ts'

export interface FolderRequest {
  /** That is made. */
  dir: string
  /** Path of the repository. */
  repo: string
  rev: string
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

/** A tree slot of a commit. Returns the commit, and what its objects take. */
async function fillSlot(
  ostree: Ostree,
  { repo: path, rev, slot, files, onStep }: FolderRequest & { slot: string },
): Promise<{ commit: string; bytes: number }> {
  const repo = await openRepo(ostree, path)
  const { commit } = (await describeCommit(repo, rev)).ostree
  const { bytes } = await repo.measure({ rev: commit })
  await makeFolder(join(slot, SLOT_FOLDER), 0o700)
  const own = await ostree.init({ path: slotRepo(slot), mode: 'bare', flush: false })
  onStep(`take ${rev} from the repository`)
  await own.pullLocal({ from: path, refs: [commit] })
  onStep('make the tree of slot a')
  await checkoutSlot(own, { slot, commit, files })
  onStep('compare slot a with the commit')
  const found = await problemOfSlot(ostree, { slot, commit })
  if (found === undefined) return { commit, bytes }
  throw new PineError(
    'TREE_INVALID',
    `the tree of commit ${commit.slice(0, 12)} came out different: ${found}`,
    {
      hint: 'does the file system keep owners and extended attributes? A commit may have no /.pine',
    },
  )
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
