import { PineError } from '../core/error.ts'
import type { GptTable } from './gpt.ts'
import type { GptEntry } from './gpt-entry.ts'

/** With further entries, which may overlap others. No entry changes its number. Throws `LAYOUT_INVALID`. */
export function addEntries(table: GptTable, entries: readonly GptEntry[]): GptTable {
  return entries.reduce(added, table)
}

function added(table: GptTable, wanted: GptEntry): GptTable {
  const [typeGuid, uniqueGuid] = [wanted.typeGuid.toLowerCase(), wanted.uniqueGuid.toLowerCase()]
  const entry = { ...wanted, typeGuid, uniqueGuid }
  const { number } = entry
  if (!Number.isInteger(number) || number < 1 || number > table.entryCount)
    throw refused(`there is no number ${number}, it has ${table.entryCount}`)
  if (table.entries.some((other) => other.number === number)) throw refused(`number ${number} is taken`)
  if (table.entries.some((other) => other.uniqueGuid === uniqueGuid))
    throw refused(`there is a partition ${uniqueGuid} already`)
  requirePlace(table, entry)
  return withEntries(table, [...table.entries, entry])
}

/** The lowest numbers that no entry has; fewer where there are not so many. */
export function freeNumbers({ entries, entryCount }: GptTable, count: number): number[] {
  const taken = new Set(entries.map(({ number }) => number))
  const all = Array.from({ length: entryCount }, (_, index) => index + 1)
  return all.filter((number) => !taken.has(number)).slice(0, count)
}

/** Throws `LAYOUT_INVALID` where there is no such entry. */
export function withoutEntry(table: GptTable, number: number): GptTable {
  const gone = entryOf(table, number)
  return withEntries(
    table,
    table.entries.filter((entry) => entry !== gone),
  )
}

/** With another end for one entry. Throws `LAYOUT_INVALID`. */
export function resized(table: GptTable, number: number, lastLba: number): GptTable {
  return changed(table, number, { lastLba })
}

/** With another name for one entry: what is there already is given a role. Throws `LAYOUT_INVALID`. */
export function renamed(table: GptTable, number: number, name: string): GptTable {
  return changed(table, number, { name })
}

function changed(table: GptTable, number: number, edit: Partial<GptEntry>): GptTable {
  const after = { ...entryOf(table, number), ...edit }
  requirePlace(table, after)
  return withEntries(
    table,
    table.entries.map((entry) => (entry.number === number ? after : entry)),
  )
}

function entryOf({ entries }: GptTable, number: number): GptEntry {
  const found = entries.find((entry) => entry.number === number)
  if (found === undefined) throw refused(`it has no partition ${number}`)
  return found
}

function requirePlace({ firstUsable, lastUsable }: GptTable, { number, firstLba, lastLba }: GptEntry): void {
  const isWhole = Number.isSafeInteger(firstLba) && Number.isSafeInteger(lastLba)
  if (isWhole && firstUsable <= firstLba && firstLba <= lastLba && lastLba <= lastUsable) return
  throw refused(
    `partition ${number} would be at ${firstLba} to ${lastLba}, there is ${firstUsable} to ${lastUsable}`,
  )
}

function withEntries(table: GptTable, entries: readonly GptEntry[]): GptTable {
  return { ...table, entries: [...entries].sort((one, other) => one.number - other.number) }
}

function refused(problem: string): PineError {
  return new PineError('LAYOUT_INVALID', `the partition table cannot be changed: ${problem}`, {
    hint: 'it was changed meanwhile: look at it with "sfdisk --list"',
  })
}
