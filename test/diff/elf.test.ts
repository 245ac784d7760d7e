import { expect, test } from 'vitest'
import { SECTION } from '../../src/diff/elf.ts'
import { applyBytes, makeBundle } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { builds, hasCompiler } from './tree.ts'

async function roundTrip(base: Buffer, target: Buffer): Promise<number> {
  const { bytes, parts } = await makeBundle({ base, target })
  const slot = memoryRegion(Buffer.alloc(target.length))
  await applyBytes({ bytes, base, target: slot })
  expect(slot.content.equals(target)).toBe(true)
  return parts.end - (parts.segments[0] ?? 0)
}

/** Puts a number over the address of a section, in the table that the header names: System V ABI, chapter 4. */
function withAddress(file: Buffer, section: number, address: bigint): Buffer {
  const changed = Buffer.from(file)
  changed.writeBigUInt64LE(address, Number(file.readBigUInt64LE(40)) + section * 64 + 16)
  return changed
}

const RELOCATION_BYTES = 24

/** Leaves as many relocations as there are places in the first table of them. */
function withRelocations(file: Buffer, places: readonly number[]): Buffer {
  const changed = Buffer.from(file)
  const table = Number(file.readBigUInt64LE(40))
  const header = Array.from({ length: file.readUInt16LE(60) }, (_, index) => table + index * 64).find(
    (at) => file.readUInt32LE(at + 4) === SECTION.relocations,
  )
  if (header === undefined) throw new Error('there are relocations')
  const offset = Number(file.readBigUInt64LE(header + 24))
  changed.writeBigUInt64LE(BigInt(places.length * RELOCATION_BYTES), header + 32)
  for (const [index, place] of places.entries())
    changed.writeBigUInt64LE(BigInt(place), offset + index * RELOCATION_BYTES)
  return changed
}

const BASE = 0
const TARGET = 1

test.skipIf(!hasCompiler()).each(['shared', 'relocatable'] as const)(
  'a %s program that was built again costs a part of what its bytes do',
  async (kind) => {
    const { [BASE]: base, [TARGET]: target } = builds()[kind]
    if (!base || !target) throw new Error('there are builds')
    expect(await roundTrip(base, target)).toBeLessThan(target.length / 8)
  },
)

/** Such addresses are too large for the numbers of a program. */
test.skipIf(!hasCompiler()).each([2n ** 52n, 0x4141414141414141n, 2n ** 63n - 1n])(
  'a program with the address %d is compared like any other file',
  async (address) => {
    const { [BASE]: base, [TARGET]: target } = builds().shared
    if (!base || !target) throw new Error('there are builds')
    await roundTrip(withAddress(base, 12, address), withAddress(target, 12, address))
  },
)

/** The places of relocations count from each other where the steps between them are even, and two always are. */
test.skipIf(!hasCompiler())('a program with two relocations that are far apart is compared', async () => {
  const [base, target] = builds().relocatable.map((file) => withRelocations(file, [0x10, 0x10 + 5000]))
  if (!base || !target) throw new Error('there are builds')
  await roundTrip(base, target)
})

test.skipIf(!hasCompiler())('a program that is cut short is compared like any other file', async () => {
  const { [BASE]: base, [TARGET]: target } = builds().shared
  if (!base || !target) throw new Error('there are builds')
  for (const bytes of [10, 63, 64, 1000, target.length - 1]) await roundTrip(base, target.subarray(0, bytes))
  for (const bytes of [10, 64, base.length - 1]) await roundTrip(base.subarray(0, bytes), target)
})
