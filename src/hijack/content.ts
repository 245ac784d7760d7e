import { bootPartition } from '../boot/grub-script.ts'
import { type NewBootstate, writeNewBootstate } from '../boot/new-bootstate.ts'
import type { Digest } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { OpenRegion } from '../core/region.ts'
import { copyRegion } from '../host/copy-region.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { makeStateFileSystem, swapHeader } from '../host/make-file-system.ts'
import { type BootState, initialBootState } from '../model/boot-state.ts'
import type { Role } from '../model/layout.ts'
import { emptyRecords, type Records } from '../model/records.ts'
import { inPieces, piecesOf } from './file-pieces.ts'
import { type CarvedPart, FOLDER, type TakeoverJournal } from './journal.ts'
import type { OldSystem } from './old-system.ts'

export function partOf({ parts }: Pick<TakeoverJournal, 'parts'>, role: Role): CarvedPart {
  const part = parts.find(({ name }) => name === role)
  if (part === undefined) throw new Error(`nothing is carved for ${role}`)
  return part
}

/** What fills the parts of a new takeover. */
interface Filling {
  host: Host
  carving: Carving
  journal: TakeoverJournal
}

/** Through the file, so that the old file system knows that its blocks are written. The caller closes it. */
async function openInFile({ host, carving, journal }: Filling, role: Role): Promise<OpenRegion> {
  const extents = await carving.mapExtents(journal.file)
  const file = await host.openRegion(journal.file, { writable: true })
  return inPieces(file, piecesOf(extents, partOf(journal, role), journal.root.offset))
}

/** On the disk, as the new system will see it. The caller closes it. */
export function openOnDisk(
  host: Host,
  journal: TakeoverJournal,
  role: Role,
  writable = false,
): Promise<OpenRegion> {
  const { offset, bytes } = partOf(journal, role)
  return host.openRegion(journal.disk.path, { offset, bytes, writable })
}

async function fill(
  filling: Filling,
  role: Role,
  write: (region: OpenRegion) => Promise<void>,
): Promise<void> {
  const region = await openInFile(filling, role)
  try {
    await write(region)
    await region.flush()
  } finally {
    await region.close()
  }
}

/** Slot a; throws `IMAGE_MISMATCH` where the image is not the one that was looked at. */
export async function writeSlot(filling: Filling, image: string, onProgress: OnProgress): Promise<void> {
  const { host, journal } = filling
  const source = await host.openRegion(image)
  try {
    await fill(filling, 'rootfs-a', async (slot) => {
      const digest = await copyRegion(source, slot, 0, onProgress)
      if (digest !== journal.image.digest) throw changed(image, digest)
    })
  } finally {
    await source.close()
  }
}

function changed(image: string, found: Digest): PineError {
  return new PineError(
    'IMAGE_MISMATCH',
    `${image} changed while it was copied: it is ${found.slice(0, 12)} now`,
    {
      hint: 'run "pine-update hijack stage" again when it is whole',
    },
  )
}

const STATE_FILE = `${FOLDER}/state`

/** Made in a file of its own: mke2fs frees what it need not write, and what is carved must stay where it is. */
export async function writeState(filling: Filling): Promise<void> {
  const { host, journal } = filling
  const { bytes } = partOf(journal, 'state')
  // What a crash left of an earlier one.
  await host.removeFile(STATE_FILE)
  await host.createSparse(STATE_FILE, bytes)
  try {
    await makeStateFileSystem(host, STATE_FILE, { offset: 0, bytes })
    const made = await host.openRegion(STATE_FILE)
    const copy = async (region: OpenRegion) => void (await copyRegion(made, region, 0, () => undefined))
    await fill(filling, 'state', copy).finally(() => made.close())
  } finally {
    await host.removeFile(STATE_FILE)
  }
}

export async function writeSwap(filling: Filling): Promise<void> {
  const header = await swapHeader(filling.host, partOf(filling.journal, 'swap').bytes)
  await fill(filling, 'swap', (region) => region.write(header, 0))
}

/** What the loader of the new system reads, and its records: slot a is there, and has to prove itself. */
export async function writeBootstate(filling: Filling, old: OldSystem): Promise<void> {
  const { host, journal } = filling
  const script = scriptOf(journal, old)
  const records = firstRecords(journal, host.now())
  await fill(filling, 'bootstate', (region) =>
    writeNewBootstate(host, region, { state: FIRST_STATE, script, records }),
  )
}

/** What our loader's script needs to know. */
export function scriptOf(journal: TakeoverJournal, old: OldSystem): NonNullable<NewBootstate['script']> {
  return {
    a: bootPartition(partOf(journal, 'rootfs-a')),
    b: bootPartition(partOf(journal, 'rootfs-b')),
    r: old,
    statePartuuid: partOf(journal, 'state').uuid,
    append: journal.append,
  }
}

/** As on a new disk, but to prove itself. `last` is what the loader would have noted; the rehearsal is started by another one. */
const GOOD = initialBootState('a')
const FIRST_STATE: BootState = {
  ...GOOD,
  slots: { ...GOOD.slots, a: { ...GOOD.slots.a, confirmed: false } },
  last: 'a',
}

export function firstRecords({ image, compatible }: TakeoverJournal, now: Date): Records {
  const { digest, version } = image
  const a = { ...image, writtenAt: now.toISOString() }
  const trial = { slot: 'a', digest, version, armedAt: now.toISOString(), update: true } as const
  return { ...emptyRecords(compatible), slots: { a, b: null }, trial }
}
