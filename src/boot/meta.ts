import { digestOf } from '../core/digest.ts'
import { parseJson } from '../core/json.ts'
import { AREA } from './bootstate-area.ts'

/** One decoded copy of the records. */
export interface Meta {
  /** Grows with every write. */
  sequence: number
  value: unknown
}

const HEADER = /^pine-meta 1 ([0-9]{8}) ([0-9]{1,8}) ([0-9a-f]{64})\n/
/** Longest possible header. */
const HEADER_BYTES = 128

/** Covers the sequence too: a torn write cannot pair a new number with old content. */
function digestFor(sequence: string, json: Uint8Array): string {
  return digestOf(Buffer.concat([Buffer.from(`${sequence}\n`), json]))
}

/** One copy as it lies in `meta0` or `meta1`: magic, sequence, length and BLAKE3 in a line, then JSON, then zeros. */
export function encodeMeta(sequence: number, value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value))
  const number = String(sequence).padStart(8, '0')
  const header = `pine-meta 1 ${number} ${json.length} ${digestFor(number, json)}\n`
  if (header.length + json.length > AREA.meta0.bytes) {
    throw new Error(`the records take ${json.length} bytes, more than ${AREA.meta0.bytes - HEADER_BYTES}`)
  }
  const copy = Buffer.alloc(AREA.meta0.bytes)
  copy.write(header, 0, 'latin1')
  json.copy(copy, header.length)
  return copy
}

/** Undefined where the copy was never written, is torn, or is of another version. */
export function decodeMeta(bytes: Uint8Array): Meta | undefined {
  const match = HEADER.exec(Buffer.from(bytes.subarray(0, HEADER_BYTES)).toString('latin1'))
  if (match === null) return undefined
  const [header, sequence = '', length = '', digest] = match
  const json = bytes.subarray(header.length, header.length + Number(length))
  if (json.length !== Number(length) || digestFor(sequence, json) !== digest) return undefined
  const value = parseJson(Buffer.from(json).toString())
  return value === undefined ? undefined : { sequence: Number(sequence), value }
}
