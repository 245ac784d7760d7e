import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCmdline } from '../../src/model/cmdline.ts'
import { ROLES } from '../../src/model/layout.ts'
import {
  parseRehearsal,
  type Rehearsal,
  rehearsalArguments,
  rehearsedLayout,
} from '../../src/model/rehearsal.ts'

const MIB = 1024 ** 2
const ID = '2c7a0001-0000-4000-8000-00000000abcd'
const PARTS = ROLES.map((name, index) => ({ name, offset: (100 + 20 * index) * MIB, bytes: 16 * MIB }))
const REHEARSAL: Rehearsal = { tableId: ID, parts: PARTS }
const read = (words: string) => parseRehearsal(parseCmdline(words))

describe('a rehearsal is told to the kernel', () => {
  test('in words that a person can read', () => {
    expect(rehearsalArguments(REHEARSAL)).toBe(
      `pine.rehearse=${ID} pine.parts=bootstate@100+16,swap@120+16,rootfs-a@140+16,rootfs-b@160+16,state@180+16`,
    )
  })

  test('and is found again, wherever the disk has its parts', () => {
    const mib = fc.integer({ min: 1, max: 999_999_999 }).map((count) => count * MIB)
    const parts = fc.tuple(
      fc.shuffledSubarray([...ROLES], { minLength: ROLES.length }),
      fc.array(fc.tuple(mib, mib), { minLength: ROLES.length, maxLength: ROLES.length }),
    )
    fc.assert(
      fc.property(fc.uuid(), parts, (tableId, [names, places]) => {
        const found = names.map((name, index) => {
          const [offset, bytes] = places[index] ?? [0, 0]
          return { name, offset, bytes }
        })
        const words = `quiet root=/dev/loop0 ${rehearsalArguments({ tableId, parts: found })} pine.slot=a`
        expect(read(words)).toEqual({ tableId, parts: found })
      }),
    )
  })

  test('the disk may have an MBR: then it is its signature', () => {
    const rehearsal = { ...REHEARSAL, tableId: '1a2b3c4d' }
    expect(read(rehearsalArguments(rehearsal))).toEqual(rehearsal)
  })

  test('the GUID may be in capitals: it is compared with lower case', () => {
    expect(read(rehearsalArguments({ ...REHEARSAL, tableId: ID.toUpperCase() }))?.tableId).toBe(ID)
  })
})

describe('it is no rehearsal', () => {
  const whole = rehearsalArguments(REHEARSAL)
  test.each([
    ['without a word of it', 'root=PARTUUID=1 ro pine.slot=a'],
    ['without the disk', whole.replace(/pine\.rehearse=\S+/, '')],
    ['without the parts', whole.replace(/pine\.parts=\S+/, '')],
    ['where one part is missing', whole.replace('swap@120+16,', '')],
    ['where one part is there twice', `${whole},swap@300+16`],
    ['where one is cut off', whole.slice(0, -2)],
    ['where a place is not in whole MiB', whole.replace('@120+16', '@120.5+16')],
  ])('%s', (_, words) => {
    expect(read(words)).toBeUndefined()
  })
})

test('its layout has the places, and nothing that only a table gives', () => {
  const { partitions, old } = rehearsedLayout(REHEARSAL)
  expect(old).toBeUndefined()
  expect(partitions['rootfs-a']).toEqual({
    role: 'rootfs-a',
    number: 0,
    offset: 140 * MIB,
    bytes: 16 * MIB,
    uuid: '',
  })
  expect(Object.keys(partitions).sort()).toEqual([...ROLES].sort())
})
