import type { LoadOption, OptionFile } from './load-option.ts'

/** What firmware starts, and in which order. UEFI 2.10 §3.3; undefined where there is no such variable. */
export interface BootVariables {
  /** `BootOrder`: numbers of options, one after the other until one starts. */
  order: readonly number[] | undefined
  /** `BootNext`: before all others, once; the firmware deletes it before it starts it. */
  next: number | undefined
  /** `BootCurrent`: what started what runs. */
  current: number | undefined
  /** By number; undefined where the variable is there, and is none. */
  options: ReadonlyMap<number, LoadOption | undefined>
}

/** One variable as it should be. */
export type BootChange =
  | { variable: 'BootOrder'; order: readonly number[] | null }
  | { variable: 'BootNext'; next: number | null }
  | { variable: 'option'; number: number; content: Buffer | null }

/** Of our loader on an EFI system partition; firmware and FAT take upper and lower case for the same. */
export const OUR_PROGRAM = 'EFI/pine-update/grubx64.efi'

/** Numbers of the options that start our loader from the partition with that GUID, the lowest first. */
export function ourNumbers({ options }: BootVariables, partition: string): number[] {
  const isOurs = ({ file }: LoadOption) => file !== undefined && isSameFile(file, partition)
  return [...options].flatMap(([number, option]) => (option && isOurs(option) ? number : [])).sort(byNumber)
}

function isSameFile(file: OptionFile, partition: string): boolean {
  return file.partition === partition && file.path.toLowerCase() === OUR_PROGRAM.toLowerCase()
}

/** Where nobody asks for anything else, our loader starts. */
export function isFirst(variables: BootVariables, partition: string): boolean {
  const [first] = variables.order ?? []
  return first !== undefined && ourNumbers(variables, partition).includes(first)
}

/** Our loader was given the next start, or all of them. */
export function isChosen(variables: BootVariables, partition: string): boolean {
  const { next } = variables
  const isNext = next !== undefined && ourNumbers(variables, partition).includes(next)
  return isNext || isFirst(variables, partition)
}

/**
 * Has the firmware start our loader once. The option comes first: `BootNext` alone decides. Once, because nobody knows yet
 * what this firmware makes of our loader: where it hangs, the old one comes at the next power cycle.
 */
export function startOnceChanges(variables: BootVariables, content: Buffer): BootChange[] {
  const number = freeNumber(variables)
  return [
    { variable: 'option', number, content },
    { variable: 'BootNext', next: number },
  ]
}

/** One that nothing names: firmware may keep an order of options that are gone. */
function freeNumber({ order = [], next, options }: BootVariables): number {
  let number = 0
  while (options.has(number) || order.includes(number) || next === number) number++
  return number
}

/** Our loader before all others, which keep their order; none where it is so already, or where there is no option of ours. */
export function preferChanges(variables: BootVariables, partition: string): BootChange[] {
  const [number] = ourNumbers(variables, partition)
  if (number === undefined || isFirst(variables, partition)) return []
  const others = (variables.order ?? []).filter((other) => other !== number)
  return [{ variable: 'BootOrder', order: [number, ...others] }]
}

/**
 * As if our loader had never been there: what decides comes first. `BootNext` is put back to what commit found only while
 * ours stands in its place: later that start was made, and is not owed any more. What others changed meanwhile stays.
 */
export function forgetChanges(
  variables: BootVariables,
  partition: string,
  nextBefore: number | null,
): BootChange[] {
  const { order, next } = variables
  const ours = ourNumbers(variables, partition)
  const rest = order?.filter((number) => !ours.includes(number)) ?? []
  const changes: BootChange[] = []
  if (order !== undefined && rest.length < order.length)
    changes.push({ variable: 'BootOrder', order: rest.length === 0 ? null : rest })
  if (next !== undefined && ours.includes(next)) changes.push({ variable: 'BootNext', next: nextBefore })
  return [...changes, ...ours.map((number) => ({ variable: 'option', number, content: null }) as const)]
}

function byNumber(one: number, other: number): number {
  return one - other
}
