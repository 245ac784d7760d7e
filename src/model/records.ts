import * as v from 'valibot'
import { oneLine } from '../core/format.ts'

/** What a slot was last found to hold, after its bytes were read back and hashed. */
const ImageRecord = v.object({
  /** BLAKE3 of the image; of a tree, its OSTree commit. */
  digest: v.string(),
  bytes: v.number(),
  /** `tree` for a tree of files. */
  fs: v.string(),
  version: v.string(),
  epoch: v.number(),
  writtenAt: v.string(),
})
export type ImageRecord = v.InferOutput<typeof ImageRecord>

const Rejection = v.object({
  digest: v.string(),
  version: v.string(),
  reason: v.string(),
  at: v.string(),
})
export type Rejection = v.InferOutput<typeof Rejection>

const Trial = v.object({
  slot: v.picklist(['a', 'b']),
  digest: v.string(),
  version: v.string(),
  armedAt: v.string(),
  /** False for a rollback: its image was confirmed before. */
  update: v.boolean(),
})
export type Trial = v.InferOutput<typeof Trial>

const StoredKeys = v.object({
  version: v.number(),
  /** The signed key list, as in a file of one list; base64. */
  list: v.string(),
})
export type StoredKeys = v.InferOutput<typeof StoredKeys>

/**
 * pine-update's own memory, kept in the bootstate partition so that it survives updates and a wiped /etc.
 * It explains; what boots is decided by the boot state alone. What a newer pine-update adds is kept: after a fallback the
 * older one must still find its way.
 */
const Records = v.looseObject({
  compatible: v.string(),
  slots: v.strictObject({ a: v.nullable(ImageRecord), b: v.nullable(ImageRecord) }),
  trial: v.nullable(Trial),
  /** Newest last. */
  rejected: v.array(Rejection),
  /** The highest epoch ever confirmed here: releases below it are refused. */
  epochFloor: v.number(),
  /** The version confirmed last: releases below it are refused. */
  versionFloor: v.optional(v.string()),
  /** The newest signed time seen, in seconds since 1970: it cannot be earlier than that. */
  timeFloor: v.optional(v.number(), 0),
  /** The newest key list that was signed by the one before; takes the place of the keys in /etc. */
  keys: v.optional(StoredKeys),
  /** Of tree slots: whether files are links to the objects of the slot's repository, or copies, as where a slot is written while it runs. */
  treeFiles: v.optional(v.picklist(['link', 'copy']), 'link'),
})
export type Records = v.InferOutput<typeof Records>

/** What the slots of a machine hold, by the record of the one that runs. */
export type SlotKind = 'image' | 'tree'

export function kindOfRecord(record: ImageRecord | null): SlotKind {
  return record?.fs === 'tree' ? 'tree' : 'image'
}

const MAX_REJECTIONS = 32
/** All of them must fit the 64 KiB of the records, whatever a health check printed. */
const MAX_REASON_CHARS = 300

export function emptyRecords(compatible: string): Records {
  return {
    compatible,
    slots: { a: null, b: null },
    trial: null,
    rejected: [],
    epochFloor: 0,
    timeFloor: 0,
    treeFiles: 'link',
  }
}

/** Undefined where the value has another shape. */
export function parseRecords(value: unknown): Records | undefined {
  const parsed = v.safeParse(Records, value)
  return parsed.success ? parsed.output : undefined
}

/** Adds a rejection, once per digest, its reason on one line and cut to 300 characters; drops the oldest beyond 32. */
export function withRejection(records: Records, rejection: Rejection): Records {
  const others = records.rejected.filter((known) => known.digest !== rejection.digest)
  const short = { ...rejection, reason: oneLine(rejection.reason).slice(0, MAX_REASON_CHARS) }
  return { ...records, rejected: [...others, short].slice(-MAX_REJECTIONS) }
}
