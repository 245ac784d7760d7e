import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import { parseJson } from '../core/json.ts'
import type { Host } from '../host/host.ts'
import { ROLES } from '../model/layout.ts'
import { HOLDS } from './auto.ts'
import type { EfiFacts } from './efi-facts.ts'

const Whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const Guid = v.pipe(v.string(), v.regex(/^[0-9a-f-]{36}$/))
/** GUID of a GPT, or signature of an MBR. */
const TableId = v.pipe(v.string(), v.regex(/^([0-9a-f-]{36}|[0-9a-f]{8})$/))
const Piece = v.object({ offset: Whole, content: v.string() })

/** On a machine with UEFI. */
const Efi = v.object({
  /** PARTUUID of the EFI system partition. */
  uuid: Guid,
  /** Where the old system has it mounted. */
  at: v.string(),
  /** `BootNext` as commit found it; null where there was none. */
  nextBefore: v.nullable(Whole),
})
export type EfiJournal = v.InferOutput<typeof Efi>

/**
 * What was decided for this takeover, and what is needed to undo it; in the old system. How far it has come is read from
 * the disk, never from here.
 */
const Journal = v.object({
  format: v.literal(1),
  startedAt: v.string(),
  disk: v.object({ path: v.string(), tableId: TableId, bytes: Whole }),
  /** The partition of the old root. */
  root: v.object({ number: Whole, offset: Whole, bytes: Whole, fsUuid: v.string() }),
  /** The file that is carved into partitions. */
  file: v.string(),
  parts: v.array(
    v.object({
      name: v.picklist(ROLES),
      /** On the disk. */
      offset: Whole,
      bytes: Whole,
      /** Its entry in the table, once there is one. */
      number: Whole,
      uuid: Guid,
    }),
  ),
  image: v.object({ digest: v.string(), bytes: Whole, fs: v.string(), version: v.string(), epoch: Whole }),
  compatible: v.string(),
  append: v.string(),
  /** Null where somebody takes each step. `deadline` of the rehearsal, in seconds. */
  auto: v.nullable(v.object({ deadline: Whole, hold: v.nullable(v.picklist(HOLDS)) })),
  /** The image and all else was written and read back. */
  isStaged: v.boolean(),
  /** What commit writes over, in its order and in base64; null before it. A sector that it writes twice is there twice. */
  before: v.nullable(v.array(Piece)),
  /** Null on a machine with BIOS. */
  efi: v.nullable(Efi),
})
export type TakeoverJournal = v.InferOutput<typeof Journal>
export type CarvedPart = TakeoverJournal['parts'][number]

/** Null on a machine with BIOS. */
export function efiJournal(efi: EfiFacts | undefined): EfiJournal | null {
  if (efi?.esp === undefined) return null
  return { uuid: efi.esp.uuid, at: efi.esp.at, nextBefore: null }
}

/** All that is ours in the old system. */
export const FOLDER = '/pine-update'
export const JOURNAL = `${FOLDER}/takeover.json`

/** Undefined where no takeover has begun. Throws `TAKEOVER_DAMAGED`. */
export async function readJournal(host: Host): Promise<TakeoverJournal | undefined> {
  const text = await host.readFile(JOURNAL)
  if (text === undefined) return undefined
  const parsed = v.safeParse(Journal, parseJson(text.toString()))
  if (parsed.success) return parsed.output
  throw new PineError('TAKEOVER_DAMAGED', `${JOURNAL} cannot be read`, {
    hint: 'it says what has to be undone: keep the machine as it is, and ask for help with that file',
  })
}

export async function writeJournal(host: Host, journal: TakeoverJournal): Promise<void> {
  await host.replaceFile(JOURNAL, `${JSON.stringify(journal, null, 2)}\n`, 0o600)
}

export async function removeJournal(host: Host): Promise<void> {
  await host.removeFile(JOURNAL)
}
