import { join } from 'node:path'
import type { OpenedBundle } from '../bundle/reader.ts'
import type { TreeManifest, TreeVariant } from '../bundle/tree-manifest.ts'
import { segmentsBytes } from '../bundle/writer.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import { dropFolderCache, makeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { otherSlot, type SlotName } from '../model/boot-state.ts'
import { type Ostree, type OstreeRepo, withOstree } from '../ostree/ostree.ts'
import {
  checkoutSlot,
  problemOfRepo,
  problemOfSlot,
  SLOT_FOLDER,
  slotRepo,
  type TreeFiles,
} from '../ostree/tree-slot.ts'
import type { PineDisk } from './disk.ts'

interface Held {
  slot: SlotName
  commit: string
  signal?: AbortSignal | undefined
  onProgress: OnProgress
}

/**
 * What must hold before the first write: libostree can be loaded, and the slot that runs has the base, whole. Throws
 * `OSTREE_MISSING`, `NOT_ROOT`, `BASE_MISMATCH`.
 */
export async function requireBaseTree(
  disk: PineDisk,
  { slot, commit, signal, onProgress }: Omit<Held, 'commit'> & { commit: string | undefined },
): Promise<void> {
  requireRoot()
  await withOstree(async (ostree) => {
    if (commit === undefined) return
    const found = await disk.withSlotFolder(slot, 'read', (folder) =>
      problemOfRepo(ostree, { slot: folder, commit, signal, onProgress }),
    )
    if (found === undefined) return
    const what = `the bundle was made from commit ${commit.slice(0, 12)}, the repository of slot ${slot}, which runs, lacks it or is damaged`
    throw new PineError('BASE_MISMATCH', `${what}: ${found}`, {
      hint: 'take the full bundle of the release, which needs nothing from it; where objects are damaged look at dmesg and smartctl',
    })
  })
}

/** Owners and extended attributes are part of a release. */
function requireRoot(): void {
  if (process.getuid?.() === 0) return
  throw new PineError('NOT_ROOT', 'making a tree with its owners needs root', {
    hint: 'run the command as root',
  })
}

export interface TreeSource {
  opened: OpenedBundle
  manifest: TreeManifest
  variant: TreeVariant
  files: TreeFiles
  signal?: AbortSignal | undefined
}

/**
 * Makes the slot anew: the delta into a file, what the base has from the slot that runs, the rest from the delta, then the
 * tree. A crash anywhere leaves a slot that is not armed, and the next apply begins it again; of the other slot only link
 * counts change. Throws `BUNDLE_*`, `OSTREE_*`, `IO_FAILED`, `IMAGE_MISMATCH`.
 */
export async function writeTree(
  host: Host,
  {
    disk,
    slot,
    source,
    onProgress,
  }: { disk: PineDisk; slot: SlotName; source: TreeSource; onProgress: OnProgress },
): Promise<void> {
  const { manifest, files, signal } = source
  const { commit } = manifest.tree
  await disk.withSlotFolder(slot, 'anew', async (folder) => {
    await makeFolder(join(folder, SLOT_FOLDER), 0o700)
    const delta = join(folder, SLOT_FOLDER, 'delta')
    await receive(host, { delta, source, onProgress })
    await withOstree(async (ostree) => {
      const repo = await startRepo(ostree, { host, disk, slot, folder, source })
      await repo.applyDelta({ file: delta }, { signal })
      await host.removeFile(delta)
      await requireCommit(repo, commit)
      await checkoutSlot(repo, { slot: folder, commit, files, signal })
    })
  })
}

interface Receiving {
  delta: string
  source: TreeSource
  onProgress: OnProgress
}

async function receive(host: Host, { delta, source, onProgress }: Receiving): Promise<void> {
  const { opened, manifest, variant, signal } = source
  const total = segmentsBytes(variant)
  let done = 0
  const file = await host.createFile(delta)
  try {
    for await (const { payload } of opened.segments(manifest.variants, variant)) {
      signal?.throwIfAborted()
      await file.append(payload)
      done += payload.length
      onProgress(done, total)
    }
  } finally {
    await file.close()
  }
}

interface Starting {
  host: Host
  disk: PineDisk
  slot: SlotName
  /** Of the slot. */
  folder: string
  source: TreeSource
}

/** A big repository on a slow disk. */
const COPY = { timeoutMs: 3_600_000 }

/**
 * The repository of the slot, with what the base has: as links where both slots may have one file, else as copies. libostree
 * links whatever it can, so the copies are made without it; `verify-tree` reads each of them.
 */
async function startRepo(
  ostree: Ostree,
  { host, disk, slot, folder, source }: Starting,
): Promise<OstreeRepo> {
  const { base } = source.variant
  const path = slotRepo(folder)
  const start = () => ostree.init({ path, mode: 'bare', flush: false })
  if (base === undefined) return await start()
  const links = disk.sharesSlots && source.files === 'link'
  return await disk.withSlotFolder(otherSlot(slot), 'read', async (running) => {
    if (!links) await host.exec('cp', ['--archive', slotRepo(running), path], COPY)
    const repo = await start()
    if (links) {
      const request = { from: slotRepo(running), refs: [base.commit], trusted: true }
      await repo.pullLocal(request, { signal: source.signal })
    }
    return repo
  })
}

/** What was signed decides, and not what the delta says of itself. */
async function requireCommit(repo: OstreeRepo, commit: string): Promise<void> {
  const isThere = await repo.show({ rev: commit }).then(
    ({ isPartial }) => !isPartial,
    (error: unknown) => {
      if (error instanceof PineError && error.code === 'OSTREE_NOT_FOUND') return false
      throw error
    },
  )
  if (isThere) return
  throw new PineError(
    'IMAGE_MISMATCH',
    `the delta does not make commit ${commit.slice(0, 12)}, which the manifest names`,
    {
      hint: 'make the bundle anew with "bundle create --tree"',
    },
  )
}

/** Reads from the device, not from the cache that the writes left behind. Throws `IMAGE_MISMATCH`. */
export async function requireTree(disk: PineDisk, held: Held): Promise<void> {
  const found = await problemOfTree(disk, held)
  if (found === undefined) return
  throw new PineError(
    'IMAGE_MISMATCH',
    `slot ${held.slot} is not commit ${held.commit.slice(0, 12)}: ${found}`,
    { hint: 'the disk did not keep what was written: look at dmesg and smartctl; nothing was armed' },
  )
}

/** Undefined where the slot holds exactly that commit. */
export async function problemOfTree(disk: PineDisk, { slot, ...held }: Held): Promise<string | undefined> {
  return await disk.withSlotFolder(slot, 'read', async (folder) => {
    await dropFolderCache(folder)
    return await withOstree((ostree) => problemOfSlot(ostree, { ...held, slot: folder }))
  })
}
