import { randomUUID } from 'node:crypto'
import { PineError } from '../core/error.ts'
import type { OnProgress, OnStage } from '../core/progress.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { whileAlone } from './alone.ts'
import { carve, releaseCarved } from './carve.ts'
import { writeBootstate, writeSlot, writeState, writeSwap } from './content.ts'
import {
  efiJournal,
  FOLDER,
  readJournal,
  removeJournal,
  type TakeoverJournal,
  writeJournal,
} from './journal.ts'
import { numbersFor } from './numbers.ts'
import { verifyStaged } from './rehearse.ts'
import { type Review, requireNoStop, type TakeoverRequest } from './review.ts'
import { disarmShrink } from './shrink.ts'
import { planShrink } from './shrink-plan.ts'

const FILE = `${FOLDER}/carved`

/**
 * Finds room, and writes the new system there: files of the old one, of which nothing else changes. A crash leaves a file
 * that the next try, or `abort`, removes. Throws `TAKEOVER_REFUSED`, `TAKEOVER_ORDER`, `BUSY`, `CARVE_FAILED`, `IMAGE_MISMATCH`.
 */
export async function stage(
  host: Host,
  carving: Carving,
  { review, request }: { review: Review; request: TakeoverRequest },
  onStage: OnStage,
): Promise<TakeoverJournal> {
  requireNoStop(review)
  const { disk } = review.facts
  if (disk === undefined) throw new Error('a takeover without a disk was let pass')
  return whileAlone(host, disk.path, () => stageAlone(host, carving, { review, request }, onStage))
}

async function stageAlone(
  host: Host,
  carving: Carving,
  { review, request }: { review: Review; request: TakeoverRequest },
  onStage: OnStage,
): Promise<TakeoverJournal> {
  await clearAway(host, carving)
  onStage('find room')
  const old = review.found?.old
  if (old === undefined) throw new Error('a takeover without a kernel was let pass')
  const journal = await findRoom(host, carving, { review, request })
  const filling = { host, carving, journal }
  await writeSlot(filling, request.image, progressOf(onStage, 'write slot a'))
  onStage('make the state partition')
  await writeState(filling)
  await writeSwap(filling)
  await writeBootstate(filling, old)
  await carving.settleFileSystem(FOLDER)
  await verifyStaged(host, journal, progressOf(onStage, 'read slot a back'))
  await carving.setImmutable(FILE, true)
  const staged = { ...journal, isStaged: true }
  await writeJournal(host, staged)
  return staged
}

/** The journal comes first: what is killed meanwhile leaves a file of the size of the new system, for `abort` to find. */
async function findRoom(
  host: Host,
  carving: Carving,
  { review, request }: { review: Review; request: TakeoverRequest },
): Promise<TakeoverJournal> {
  const begun = journalOf(review, request, host.now())
  const { disk, root } = begun
  const { wanted } = review
  const numbers = await numbersFor(host, disk.path, wanted.length)
  await host.exec('mkdir', ['-p', FOLDER])
  await writeJournal(host, begun)
  const places = { partitionOffset: root.offset, limit: root.offset + root.bytes }
  const { parts } = await carve(host, carving, { file: FILE, ...places, wanted }).catch(
    async (error: unknown) => {
      // What was taken until now counts as free again only then.
      await carving.settleFileSystem(FOLDER)
      throw await namingWayOut(host, review, error)
    },
  )
  const numbered = parts.map((part, index) => ({ ...part, number: numbers[index] ?? 0, uuid: randomUUID() }))
  const journal = { ...begun, parts: numbered }
  await writeJournal(host, journal)
  return journal
}

function progressOf(onStage: OnStage, what: string): OnProgress {
  return (done, total) => onStage(what, done, total)
}

/** What an earlier try left. Throws `TAKEOVER_ORDER` where that was staged. */
async function clearAway(host: Host, carving: Carving): Promise<void> {
  const journal = await readJournal(host)
  if (journal?.isStaged === true) {
    throw new PineError('TAKEOVER_ORDER', `${journal.image.version} is staged already`, {
      hint: 'go on with "pine-update hijack rehearse", or begin anew after "pine-update hijack abort"',
    })
  }
  await disarmShrink(host, carving)
  await releaseCarved(host, carving, FILE)
  await removeJournal(host)
}

/** What else can be done where no room was found. */
async function namingWayOut(host: Host, review: Review, error: unknown): Promise<unknown> {
  if (!(error instanceof PineError) || error.code !== 'CARVE_FAILED') return error
  const found = await planShrink(host, review)
  const way =
    'severity' in found
      ? `${found.text}; ${error.hint}`
      : `"hijack stage --shrink" says how it can be pushed together while the machine restarts; or ${error.hint}`
  return new PineError('CARVE_FAILED', error.message, { hint: way, cause: error })
}

/** Nothing is carved yet. */
function journalOf({ facts, image }: Review, request: TakeoverRequest, now: Date): TakeoverJournal {
  const { disk, root, efi } = facts
  const { partition } = root
  if (disk === undefined || partition === undefined) throw new Error('a takeover without a disk was let pass')
  const { number, offset, bytes } = partition
  return {
    format: 1,
    startedAt: now.toISOString(),
    disk: { path: disk.path, tableId: disk.tableId, bytes: disk.bytes },
    root: { number, offset, bytes, fsUuid: root.stack[0]?.fsUuid ?? '' },
    file: FILE,
    parts: [],
    image,
    compatible: request.compatible,
    append: request.append,
    auto: request.auto,
    isStaged: false,
    before: null,
    efi: efiJournal(efi),
  }
}
