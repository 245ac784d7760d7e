import { describe, expect, test } from 'vitest'
import {
  type BootVariables,
  forgetChanges,
  isChosen,
  isFirst,
  OUR_PROGRAM,
  ourNumbers,
  preferChanges,
  startOnceChanges,
} from '../../src/model/boot-variables.ts'
import type { LoadOption } from '../../src/model/load-option.ts'

const ESP = '9a4e0001-1234-4000-8abc-0123456789ab'
const file = (path: string, partition = ESP) => ({ description: 'x', file: { partition, path } })
const DEBIAN = file('EFI/debian/shimx64.efi')
const OURS = file(OUR_PROGRAM)

function variables(change: Partial<BootVariables> = {}): BootVariables {
  const options = new Map<number, LoadOption | undefined>([
    [0, { description: 'menu', file: undefined }],
    [4, DEBIAN],
  ])
  return { order: [4, 0], next: undefined, current: 4, options, ...change }
}
const withOurs = (change: Partial<BootVariables> = {}) =>
  variables({ ...change, options: new Map([...variables().options, [1, OURS]]) })
const CONTENT = Buffer.from('an option')

describe('one start', () => {
  test('comes last: without it the new option means nothing', () => {
    expect(startOnceChanges(variables(), CONTENT)).toEqual([
      { variable: 'option', number: 1, content: CONTENT },
      { variable: 'BootNext', next: 1 },
    ])
  })

  test('takes a number that nothing names, not even an order of what is gone, or an option that is none', () => {
    const options = new Map([...variables().options, [3, undefined]])
    const [option] = startOnceChanges(variables({ order: [4, 1], next: 2, options }), CONTENT)
    expect(option).toMatchObject({ number: 5 })
  })
})

describe('whose loader starts', () => {
  test('ours is known by its partition and its file, as FAT compares names', () => {
    const others = [file(OUR_PROGRAM, '9a4e0002-1234-4000-8abc-0123456789ab'), DEBIAN, undefined]
    const options = new Map([...others, file('EFI/PINE-UPDATE/GRUBX64.EFI')].map((one, at) => [at, one]))
    expect(ourNumbers(variables({ options }), ESP)).toEqual([3])
  })

  test.each<[string, BootVariables, boolean, boolean]>([
    ['nobody was told of it', variables(), false, false],
    ['it is known, and not asked for', withOurs(), false, false],
    ['it has the next start', withOurs({ next: 1 }), false, true],
    ['it has all of them', withOurs({ order: [1, 4, 0] }), true, true],
    ['something else has the next start, it all others', withOurs({ order: [1, 4], next: 0 }), true, true],
    ['it comes second', withOurs({ order: [4, 1] }), false, false],
    ['there is no order', withOurs({ order: undefined }), false, false],
  ])('%s', (_, found, first, chosen) => {
    expect([isFirst(found, ESP), isChosen(found, ESP)]).toEqual([first, chosen])
  })
})

describe('all starts', () => {
  test('ours before the others, which keep their order', () => {
    expect(preferChanges(withOurs(), ESP)).toEqual([{ variable: 'BootOrder', order: [1, 4, 0] }])
    expect(preferChanges(withOurs({ order: [4, 1, 0] }), ESP)).toEqual([
      { variable: 'BootOrder', order: [1, 4, 0] },
    ])
    expect(preferChanges(withOurs({ order: undefined }), ESP)).toEqual([
      { variable: 'BootOrder', order: [1] },
    ])
  })

  test('nothing where it is so, or where there is none of ours', () => {
    expect(preferChanges(withOurs({ order: [1, 4] }), ESP)).toEqual([])
    expect(preferChanges(variables(), ESP)).toEqual([])
  })
})

describe('the way back', () => {
  const GONE = { variable: 'option', number: 1, content: null }

  test('what decides comes first', () => {
    expect(forgetChanges(withOurs({ order: [1, 4, 0], next: 1 }), ESP, null)).toEqual([
      { variable: 'BootOrder', order: [4, 0] },
      { variable: 'BootNext', next: null },
      GONE,
    ])
  })

  test('puts back a one-shot that ours was put in place of, and no other', () => {
    expect(forgetChanges(withOurs({ next: 1 }), ESP, 0)).toEqual([{ variable: 'BootNext', next: 0 }, GONE])
    expect(forgetChanges(withOurs(), ESP, 0)).toEqual([GONE])
    expect(forgetChanges(withOurs({ next: 4 }), ESP, 0)).toEqual([GONE])
  })

  test('leaves no order behind where there was none', () => {
    expect(forgetChanges(withOurs({ order: [1] }), ESP, null)).toEqual([
      { variable: 'BootOrder', order: null },
      GONE,
    ])
  })

  test('where nothing of ours is there does nothing', () => {
    expect(forgetChanges(variables({ next: 4 }), ESP, null)).toEqual([])
  })
})
