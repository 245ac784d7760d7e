import { applyBootChanges, readBootVariables } from '../boot/firmware-variables.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import { forgetChanges } from '../model/boot-variables.ts'
import type { GptPiece } from '../model/gpt.ts'
import type { TakeoverJournal } from './journal.ts'
import { writePieces } from './pieces.ts'

/** What each piece writes over, for the way back: what is there now, or an earlier piece. */
export async function contentBefore(
  disk: Region,
  pieces: readonly GptPiece[],
): Promise<TakeoverJournal['before']> {
  const before: { offset: number; content: string }[] = []
  for (const [index, { offset, bytes }] of pieces.entries()) {
    const earlier = pieces.slice(0, index).findLast((piece) => piece.offset === offset)
    const content = earlier?.bytes ?? (await contentAt(disk, offset, bytes.length))
    before.push({ offset, content: content.toString('base64') })
  }
  return before
}

async function contentAt(disk: Region, offset: number, length: number): Promise<Buffer> {
  const content = Buffer.alloc(length)
  await disk.read(content, offset)
  return content
}

/**
 * The way back: what was written last comes first, so that what decides who starts does, each piece alone. What a piece was
 * between two flips is written only where something of the second one has to go: a commit that was cut off before it may have
 * left no copy of the old loader to start from. Does nothing where commit wrote nothing. Throws `IO_FAILED`.
 */
export async function undoCommit(
  host: Host,
  disk: OpenRegion,
  { before, efi }: TakeoverJournal,
): Promise<void> {
  if (before === null) return
  if (efi !== null)
    await applyBootChanges(host, forgetChanges(await readBootVariables(host), efi.uuid, efi.nextBefore))
  const pieces = before.map(({ offset, content }) => ({ offset, bytes: Buffer.from(content, 'base64') }))
  // What is found below has to be on the disk: a process that was killed may have left it in memory.
  await disk.flush()
  for (const [index, piece] of [...pieces.entries()].reverse()) {
    const earlier = pieces.findLastIndex(({ offset }, other) => other < index && offset === piece.offset)
    const isBack = earlier >= 0 && (await areThere(disk, pieces.slice(earlier + 1, index)))
    if (!isBack) await writePieces(disk, [piece])
  }
}

async function areThere(disk: Region, pieces: readonly GptPiece[]): Promise<boolean> {
  for (const { offset, bytes } of pieces)
    if (!(await contentAt(disk, offset, bytes.length)).equals(bytes)) return false
  return true
}
