import { expect, test } from 'vitest'
import { checkStart } from '../../src/plan/preflight.ts'
import { factsOf, imageOf } from '../support/facts.ts'

const MiB = 1024 * 1024
const facts = factsOf({ a: '1.0' })

function problems(...args: Parameters<typeof checkStart>): unknown[] {
  return checkStart(...args).flatMap(({ problem }) => problem?.code ?? [])
}

test('a state partition with room is looked at and has no problem; a disk that does not run has none to look at', () => {
  const state = { writable: true, freeBytes: 16 * MiB }
  expect(problems(facts, imageOf('2.0'), state)).toEqual([])
  expect(checkStart(facts, imageOf('2.0'), state).at(-1)?.found).toBe('16.0 MiB free, needs 16.0 MiB')
  expect(checkStart(facts, imageOf('2.0'), undefined).map(({ name }) => name)).not.toContain(
    'state partition',
  )
})

test('a full or read-only state partition is refused: the next boot could not make its /etc', () => {
  expect(problems(facts, imageOf('2.0'), { writable: true, freeBytes: 16 * MiB - 1 })).toEqual(['STATE_FULL'])
  expect(problems(facts, imageOf('2.0'), { writable: false, freeBytes: 1e9 })).toEqual(['STATE_READ_ONLY'])
})

test('all that is wrong is named at once', () => {
  const bad = { ...facts, loaderSeesState: false, boot: { ...facts.boot, slots: { ...facts.boot.slots } } }
  bad.boot.slots.a = { ...bad.boot.slots.a, confirmed: false }
  const state = { writable: false, freeBytes: 0 }
  expect(problems(bad, { ...imageOf('2.0'), fs: 'erofs' }, state)).toEqual([
    ...['BOOT_STATE_UNSEEN', 'TRIAL_PENDING', 'IMAGE_UNBOOTABLE', 'STATE_READ_ONLY'],
  ])
})
