import { describe, expect, test } from 'vitest'
import { describeReview, describeTakeover } from '../../src/hijack/describe.ts'
import { failureOf, stageOf, type TakeoverFacts } from '../../src/hijack/takeover-state.ts'
import { arm, confirm, reject } from '../../src/model/boot-state.ts'
import { emptyRecords, withRejection } from '../../src/model/records.ts'
import { MIB } from './gpt-disk.ts'
import { FIRST_BOOT, GOOD_BOX, journalWith } from './takeover-facts.ts'

const RECORDS = emptyRecords('test')
const REJECTION = { digest: 'd1', version: '1.0', reason: 'web: no answer', at: '2026-05-01T00:00:00.000Z' }
const BEFORE = [{ offset: 0, content: 'AAAA' }]

const STAGED: TakeoverFacts = {
  journal: journalWith(),
  isArmed: false,
  boot: FIRST_BOOT,
  records: RECORDS,
  lastBoot: undefined,
  isFlipped: false,
  isFallback: false,
  wasGivenOneStart: false,
}
/** The rehearsal resets the trial before it is asked for. */
const TRIED = { ...STAGED, boot: arm(FIRST_BOOT, 'a', 3, true) }
const GOOD = { ...TRIED, boot: confirm(TRIED.boot, 'a') }
const BAD = { ...TRIED, boot: reject(TRIED.boot, 'a'), records: withRejection(RECORDS, REJECTION) }
const NOTED = journalWith({ before: BEFORE })

const LIFE: [string, TakeoverFacts, ReturnType<typeof stageOf>][] = [
  ['the image is being copied', { ...STAGED, journal: journalWith({ isStaged: false }) }, 'begun'],
  ['what should be the boot state is none', { ...STAGED, boot: undefined, records: undefined }, 'begun'],
  ['its records cannot be read', { ...STAGED, records: undefined }, 'begun'],
  ['all of it is written', STAGED, 'staged'],
  ['GRUB is asked to start it', { ...TRIED, isArmed: true }, 'armed'],
  ['it is asked again after a good one', { ...GOOD, isArmed: true }, 'armed'],
  ['it ended, and nobody said anything', TRIED, 'silent'],
  ['it gave itself up', BAD, 'failed'],
  ['somebody confirmed it', GOOD, 'rehearsed'],
  ['commit noted what it writes over', { ...GOOD, journal: NOTED }, 'rehearsed'],
  ['commit was cut off behind the new trial', { ...TRIED, journal: NOTED }, 'rehearsed'],
  ['our loader is in the boot sector', { ...TRIED, journal: NOTED, isFlipped: true }, 'committed'],
  ['the firmware had it started once', { ...TRIED, journal: NOTED, wasGivenOneStart: true }, 'returned'],
  ['it is, and the state cannot be read', { ...TRIED, boot: undefined, isFlipped: true }, 'committed'],
  ['it is, and the new system gave itself up', { ...BAD, journal: NOTED, isFlipped: true }, 'committed'],
]

describe('how far a takeover has come', () => {
  test.each(LIFE)('%s', (_, facts, stage) => {
    expect(stageOf(facts)).toBe(stage)
  })

  test('each stage is one that somebody can reach, and says what is next', () => {
    const texts = LIFE.map(([, facts]) => describeTakeover(facts)[0])
    expect(new Set(texts).size).toBe(new Set(LIFE.map(([, , stage]) => stage)).size)
    for (const text of texts) expect(text).toContain('next')
  })

  test('why it was not good is told in the words of the new system', () => {
    expect(failureOf(BAD)).toBe('web: no answer')
    expect(describeTakeover(BAD).join('\n')).toContain('web: no answer')
    expect(failureOf(STAGED)).toBeUndefined()
    expect(failureOf({ ...STAGED, records: undefined })).toBeUndefined()
  })
  test('of one that said nothing is told how far it had come', () => {
    expect(failureOf(TRIED)).toContain('did not get as far as its health checks')
    const lastBoot = { event: 'boot', verdict: 'healthy', at: '2026-05-01T00:03:00.000Z' }
    expect(failureOf({ ...TRIED, lastBoot })).toContain(
      'up and healthy at 2026-05-01T00:03:00.000Z, and nobody',
    )
  })

  const COMMITTED = { ...TRIED, journal: NOTED, isFlipped: true }
  const FELL_BACK = { ...COMMITTED, isFallback: true }
  const spent = { ...TRIED.boot.slots.a, left: 0 }
  test.each<[string, Partial<TakeoverFacts>, RegExp]>([
    ['could not be loaded', {}, /^its kernel or initrd could not be loaded$/],
    [
      'never came up',
      { boot: { ...TRIED.boot, slots: { ...TRIED.boot.slots, a: spent } } },
      /tries were spent/,
    ],
    ['was told to make room', { boot: { ...TRIED.boot, last: 'r' } }, /"hijack abort" there asked/],
    ['has a state that nobody can read', { boot: undefined }, /cannot be read/],
    [
      'had its one start, and could not be loaded',
      { isFlipped: false, wasGivenOneStart: true },
      /not be loaded/,
    ],
  ])('of one that our loader passed over is told why: it %s', (_, facts, reason) => {
    expect(failureOf({ ...FELL_BACK, ...facts })).toMatch(reason)
    expect(failureOf({ ...COMMITTED, ...facts, isFallback: false }) ?? '').not.toMatch(reason)
  })

  test('that the new system starts first is not said where our loader has passed it over', () => {
    expect(describeTakeover(COMMITTED)[0]).toContain('the new system starts first')
    expect(describeTakeover(FELL_BACK)[0]).toContain('started this system and not the new one')
  })

  test('an old system that our loader started once is no failure of the next takeover', () => {
    expect(failureOf({ ...STAGED, isFallback: true })).toBeUndefined()
  })
})

test('a plan says that an MBR becomes a GPT and can be had back, and of a GPT nothing', () => {
  const image = { digest: 'd1', bytes: 50 * MIB, fs: 'squashfs', version: '1.0', epoch: 0 }
  const plan = { image, found: undefined, problems: [], wanted: [] }
  const disk = { ...GOOD_BOX.disk, table: 'dos' } as NonNullable<typeof GOOD_BOX.disk>
  const table = (lines: string[]) => lines.filter((line) => line.startsWith('table'))
  expect(table(describeReview({ ...plan, facts: { ...GOOD_BOX, disk } }))).toEqual([
    'table       MBR: "commit" makes it a GPT with the same numbers, "abort" makes it the MBR that it was',
  ])
  expect(table(describeReview({ ...plan, facts: GOOD_BOX }))).toEqual([])
})
