import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import type { BootChange, BootVariables } from '../model/boot-variables.ts'
import { decodeLoadOption } from '../model/load-option.ts'

/** Where efivarfs is mounted. */
export const EFIVARS = '/sys/firmware/efi/efivars'
/** UEFI 2.10 §3.3 */
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const OPTION = new RegExp(`^Boot([0-9A-Fa-f]{4})-${GLOBAL}$`)
const ATTRIBUTES_BYTES = 4
/** Kept without power, seen while the firmware starts and by a running system. UEFI 2.10 §8.2.1 */
const ATTRIBUTES = Buffer.from([7, 0, 0, 0])

export async function isUefi(host: Host): Promise<boolean> {
  return (await host.kindOf('/sys/firmware/efi')) !== undefined
}

/** Its value, without the attributes; undefined where the firmware has no such variable. */
export async function readGlobalVariable(host: Host, name: string): Promise<Buffer | undefined> {
  const content = await host.readFile(pathOf(name))
  return content === undefined || content.length < ATTRIBUTES_BYTES
    ? undefined
    : content.subarray(ATTRIBUTES_BYTES)
}

export async function readBootVariables(host: Host): Promise<BootVariables> {
  const numbers = async (name: string) => numbersIn(await readGlobalVariable(host, name))
  const [next] = (await numbers('BootNext')) ?? []
  const [current] = (await numbers('BootCurrent')) ?? []
  const options = new Map<number, ReturnType<typeof decodeLoadOption>>()
  for (const file of await host.listFolder(EFIVARS)) {
    const digits = OPTION.exec(file)?.[1]
    if (digits === undefined) continue
    const content = await readGlobalVariable(host, `Boot${digits}`)
    options.set(Number.parseInt(digits, 16), content && decodeLoadOption(content))
  }
  return { order: await numbers('BootOrder'), next, current, options }
}

/** In their order, each read back: firmware may say yes and keep nothing. Throws `IO_FAILED`. */
export async function applyBootChanges(host: Host, changes: readonly BootChange[]): Promise<void> {
  for (const change of changes) {
    const { name, value } = variableOf(change)
    if (value === null) await host.removeVariable(pathOf(name))
    else await host.writeVariable(pathOf(name), Buffer.concat([await attributesOf(host, name), value]))
    const found = await readGlobalVariable(host, name)
    if (value === null ? found === undefined : found?.equals(value)) continue
    throw new PineError('IO_FAILED', `the firmware does not keep its variable ${name}`, {
      hint: 'restart the machine, or look into the menu of the firmware: its memory may be full or locked',
    })
  }
}

/** Those that it has: with others firmware refuses the write. */
async function attributesOf(host: Host, name: string): Promise<Buffer> {
  const content = await host.readFile(pathOf(name))
  return content === undefined || content.length < ATTRIBUTES_BYTES
    ? ATTRIBUTES
    : content.subarray(0, ATTRIBUTES_BYTES)
}

function variableOf(change: BootChange): { name: string; value: Buffer | null } {
  switch (change.variable) {
    case 'BootOrder':
      return { name: 'BootOrder', value: change.order && bytesOf(change.order) }
    case 'BootNext':
      return { name: 'BootNext', value: change.next === null ? null : bytesOf([change.next]) }
    case 'option': {
      const digits = change.number.toString(16).toUpperCase().padStart(4, '0')
      return { name: `Boot${digits}`, value: change.content }
    }
  }
}

function pathOf(name: string): string {
  return `${EFIVARS}/${name}-${GLOBAL}`
}

/** Whole 16-bit numbers; what is left over is not read. */
function numbersIn(value: Buffer | undefined): number[] | undefined {
  return value && Array.from({ length: value.length >> 1 }, (_, index) => value.readUInt16LE(2 * index))
}

function bytesOf(numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * numbers.length)
  for (const [index, number] of numbers.entries()) bytes.writeUInt16LE(number, 2 * index)
  return bytes
}
