import * as v from 'valibot'
import { parseJson } from '../core/json.ts'
import type { Host } from '../host/host.ts'
import { FOLDER } from './journal.ts'

const Whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const Record = v.object({
  /** Of the start that it was armed in: it happens when that ends. */
  bootId: v.string(),
  device: v.string(),
  /** In blocks of the file system: as it was, and what it is made for a while. */
  full: Whole,
  target: Whole,
})

/** That the root was to be made smaller; in the old system. What came of it is read from the disk. */
export type ShrinkRecord = v.InferOutput<typeof Record>

const RECORD = `${FOLDER}/shrink.json`
/** Of src/system/shrink-at-shutdown. */
export const SHRINK_LOG = `${FOLDER}/shrink.log`

/** Undefined where there is none, or none that can be read. */
export async function readShrinkRecord(host: Pick<Host, 'readFile'>): Promise<ShrinkRecord | undefined> {
  const text = await host.readFile(RECORD)
  if (text === undefined) return undefined
  const parsed = v.safeParse(Record, parseJson(text.toString()))
  return parsed.success ? parsed.output : undefined
}

export async function writeShrinkRecord(host: Host, record: ShrinkRecord): Promise<void> {
  await host.replaceFile(RECORD, `${JSON.stringify(record, null, 2)}\n`, 0o600)
}
