import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import type { GptTable } from '../model/gpt.ts'
import { freeNumbers } from '../model/gpt-edit.ts'
import { hasGpt, readDiskTable, readMbrTable } from './disk-table.ts'
import { tableFromMbr } from './table-from-mbr.ts'

/** Up to here our loader looks for the bootstate partition. */
const LAST_NUMBER = 16

/**
 * Numbers that are free in the table: what has one keeps it, and with it the name of its device. Throws `TAKEOVER_REFUSED`
 * where there are not so many, and `LAYOUT_INVALID`.
 */
export async function numbersFor(host: Host, path: string, count: number): Promise<number[]> {
  const disk = await host.openRegion(path)
  const table = await readTableToBe(disk).finally(() => disk.close())
  const numbers = freeNumbers(table, count)
  if (numbers.length === count && numbers.every((number) => number <= LAST_NUMBER)) return numbers
  throw new PineError('TAKEOVER_REFUSED', `${path} has too many partitions: ${count} more are needed`, {
    hint: 'remove some of them',
  })
}

/** The GPT that the new system is added to. */
async function readTableToBe(disk: Region): Promise<GptTable> {
  if (await hasGpt(disk)) return (await readDiskTable(disk)).table
  return tableFromMbr(await readMbrTable(disk), '')
}
