/**
 * Which bytes are numbers that say where something is, as plain numbers: `[0]` for x86-64 code, or 1, bytes of a record,
 * address of the first record, and five numbers for each field of a record.
 */
export type Shape = readonly number[]

/** What a field's number counts from: an address, the field itself, or the number of its record. */
export const COUNTS_FROM = { origin: 0, itself: 1, record: 2 } as const

export interface Field {
  readonly offset: number
  readonly width: 4 | 8
  readonly from: (typeof COUNTS_FROM)[keyof typeof COUNTS_FROM]
  /** Bytes for each one of the number; 1 where it is left out. */
  readonly scale?: number
  readonly origin?: number
}

export const CODE_SHAPE: Shape = [0]

const TABLE = 1
const TABLE_NUMBERS = 3
const FIELD_NUMBERS = 5
const MAX_BYTES = 4096
const MAX_ADDRESS = 2 ** 52

export function tableShape(recordBytes: number, start: number, fields: readonly Field[]): Shape {
  const numbers = fields.flatMap(({ offset, width, from, scale = 1, origin = 0 }) => [
    offset,
    width,
    from,
    scale,
    origin,
  ])
  return [TABLE, recordBytes, start, ...numbers]
}

export function isShape(numbers: readonly number[]): boolean {
  const [kind, record = 0, start = 0, ...fields] = numbers
  if (kind !== TABLE) return kind === CODE_SHAPE[0] && numbers.length === CODE_SHAPE.length
  if (numbers.length < TABLE_NUMBERS || fields.length % FIELD_NUMBERS !== 0) return false
  if (record < 1 || record > MAX_BYTES || !isAddress(start)) return false
  for (let i = 0; i < fields.length; i += FIELD_NUMBERS)
    if (!isField(fields.slice(i, i + FIELD_NUMBERS), record)) return false
  return true
}

function isField(
  [offset = -1, width = 0, from = -1, scale = 0, origin = 0]: readonly number[],
  record: number,
): boolean {
  const isInside = offset >= 0 && (width === 4 || width === 8) && offset + width <= record
  return (
    isInside &&
    from >= 0 &&
    from <= COUNTS_FROM.record &&
    scale >= 1 &&
    scale <= MAX_BYTES &&
    isAddress(origin)
  )
}

export function isAddress(at: number): boolean {
  return Number.isInteger(at) && Math.abs(at) <= MAX_ADDRESS
}
