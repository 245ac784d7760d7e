import { describe, expect, test } from 'vitest'
import { formatBytes } from '../../src/core/format.ts'
import type { Place } from '../../src/hijack/box-facts.ts'
import { drawDisk } from '../../src/hijack/draw.ts'
import { roomProblem, wantedPartitions } from '../../src/hijack/wanted.ts'
import { MIB } from './gpt-disk.ts'
import { GOOD_BOX, ROOT } from './takeover-facts.ts'

const bytesOf = (imageMib: number, slotMib?: number, memoryMib = 256): Record<string, number> => {
  const sizes = { slotBytes: slotMib && slotMib * MIB, stateBytes: 256.5 * MIB }
  const wanted = wantedPartitions(imageMib * MIB, sizes, memoryMib * MIB)
  return Object.fromEntries(wanted.map(({ name, bytes }) => [name, bytes / MIB]))
}

describe('what is to be found room for', () => {
  test('slots are twice the image, in steps of 32 MiB, and none too small for a kernel', () => {
    expect(bytesOf(100)).toEqual({ 'rootfs-a': 224, 'rootfs-b': 224, bootstate: 1, swap: 32, state: 257 })
    expect(bytesOf(3)['rootfs-a']).toBe(128)
    expect(bytesOf(100, 150)['rootfs-b']).toBe(150)
  })

  test('a machine with 128 MB has more to swap to', () => {
    expect([bytesOf(100, undefined, 127).swap, bytesOf(100, undefined, 255).swap]).toEqual([128, 32])
  })

  test('only the state partition grows', () => {
    const wanted = wantedPartitions(MIB, { slotBytes: undefined, stateBytes: MIB }, 256 * MIB)
    expect(wanted.filter(({ grows }) => grows).map(({ name }) => name)).toEqual(['state'])
  })

  test.each([
    ['of a small one no less than 200 MiB', 2048, 200],
    ['of a large one a twentieth', 20_480, 1024],
  ])('it has to be free, beside what the running system keeps: %s', (_, rootMib, keptMib) => {
    const wanted = wantedPartitions(100 * MIB, { slotBytes: undefined, stateBytes: 256 * MIB }, 256 * MIB)
    const needed = 224 + 224 + 1 + 32 + 256 + keptMib
    const problemsWith = (freeMib: number) =>
      roomProblem({ ...GOOD_BOX, root: rootOf(rootMib), freeBytes: freeMib * MIB }, wanted)
    expect(problemsWith(needed)).toEqual([])
    const [problem] = problemsWith(needed - 1)
    expect(problem).toMatchObject({ severity: 'stop', hint: expect.stringContaining('--slot-size') })
    expect(problem?.text).toMatch(/^\/ has .* free, .* are needed, of which .* stay free$/)
    expect(problem?.text).toContain(`of which ${formatBytes(keptMib * MIB)} stay`)
  })
})

function rootOf(mib: number): Place {
  const { partition } = ROOT
  return { ...ROOT, partition: partition && { ...partition, bytes: mib * MIB } }
}

describe('a disk is drawn', () => {
  test('as 64 letters in its own proportions, and what each of them is', () => {
    const half = { name: 'old system (ext4)', offset: 32 * MIB, bytes: 32 * MIB }
    const [line, row] = drawDisk([half], 64 * MIB)
    expect(line).toBe(`  |${'.'.repeat(32)}${'A'.repeat(32)}|`)
    expect(row).toBe('  A  old system (ext4)         32.0 MiB  at 32.0 MiB')
  })

  test('what lies inside covers what it lies in, and the smallest piece is seen', () => {
    const outer = { name: 'outer', offset: 0, bytes: 64 * MIB }
    const tiny = { name: 'tiny', offset: 32 * MIB, bytes: 1 }
    const [line, ...rows] = drawDisk([tiny, outer], 64 * MIB)
    expect(line).toBe(`  |${'A'.repeat(32)}B${'A'.repeat(31)}|`)
    expect(rows.map((row) => row.slice(2, 10).trim())).toEqual(['A  outer', 'B  tiny'])
  })

  test('also at the very end', () => {
    const [line = ''] = drawDisk([{ name: 'last', offset: 64 * MIB - 1, bytes: 1 }], 64 * MIB)
    expect(line).toBe(`  |${'.'.repeat(63)}A|`)
  })
})
