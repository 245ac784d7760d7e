import { expect, test } from 'vitest'
import { encodeMeta } from '../../src/boot/meta.ts'
import { parseCmdline } from '../../src/model/cmdline.ts'
import { emptyRecords, parseRecords, withRejection } from '../../src/model/records.ts'

const rejection = (digest: string) => ({ digest, version: digest, reason: 'x', at: '2026' })

test('records survive being written and read', () => {
  const records = withRejection(emptyRecords('web'), rejection('d1'))
  expect(parseRecords(JSON.parse(JSON.stringify(records)))).toEqual(records)
})

test('what a newer pine-update added is kept: after a fallback the older one writes them', () => {
  const newer = { ...emptyRecords('web'), moon: { phase: 3 } }
  const records = parseRecords(JSON.parse(JSON.stringify(newer))) ?? emptyRecords('?')
  expect(withRejection(records, rejection('d1'))).toMatchObject({ moon: { phase: 3 } })
})

test('records of an older pine-update are read: what it did not know has a default', () => {
  const { timeFloor: _, ...older } = emptyRecords('web')
  expect(parseRecords(older)).toEqual(emptyRecords('web'))
})

test.each([[undefined], [null], [{}], [{ ...emptyRecords('web'), slots: {} }]])(
  'records of another shape are not believed: %j',
  (value) => expect(parseRecords(value)).toBeUndefined(),
)

test('a rejection is kept once, and the oldest go beyond 32', () => {
  let records = emptyRecords('web')
  for (let round = 0; round < 40; round++) records = withRejection(records, rejection(`d${round}`))
  records = withRejection(records, rejection('d20'))
  expect(records.rejected).toHaveLength(32)
  expect(records.rejected.at(-1)?.digest).toBe('d20')
  expect(records.rejected.filter(({ digest }) => digest === 'd20')).toHaveLength(1)
})

test('rejections fit the records, whatever a health check printed', () => {
  let records = emptyRecords('web')
  const reason = `\u001b[31mfailed\n${'\u{1f4a5}'.repeat(50_000)}`
  for (let round = 0; round < 40; round++)
    records = withRejection(records, { ...rejection('d'.repeat(64)), digest: `${round}`.padEnd(64), reason })
  expect(records.rejected.at(-1)?.reason).toMatch(/^\[31mfailed \S+$/)
  expect(encodeMeta(1, records)).toHaveLength(65_536)
})

test('the last word of a name wins on a kernel command line', () => {
  const cmdline = parseCmdline('quiet root=PARTUUID=ab pine.slot=a  pine.slot=b\n')
  expect([...cmdline]).toEqual([
    ['quiet', ''],
    ['root', 'PARTUUID=ab'],
    ['pine.slot', 'b'],
  ])
})
