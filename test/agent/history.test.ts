import { describe, expect, test } from 'vitest'
import { lastRuns, readHistory, runsOf } from '../../src/agent/history.ts'
import { formatBootstate } from '../../src/boot/bootstate-area.ts'
import type { LogEvent } from '../../src/boot/event-log.ts'
import { openLog } from '../../src/boot/grub-state.ts'
import { initialBootState } from '../../src/model/boot-state.ts'
import type { Machine } from '../../src/run/machine.ts'
import { memoryRegion } from '../support/memory-region.ts'

const start = (intent: string, more: LogEvent = {}): LogEvent => ({
  event: 'start',
  intent,
  version: '2.0',
  ...more,
})
const step = (kind: string): LogEvent => ({ event: 'step', kind, step: `do ${kind}` })
const DONE: LogEvent = { event: 'done' }
const BOOT: LogEvent = { event: 'boot' }

function runs(events: readonly LogEvent[], pid?: number) {
  return runsOf(
    events.map((event, index) => ({ sequence: index + 1, event: { at: `t${index + 1}`, ...event } })),
    pid,
  )
}
const ends = (events: readonly LogEvent[], pid?: number) => runs(events, pid).map(({ end }) => end)

describe('how a run ended', () => {
  const failed = { event: 'failed', code: 'IO_FAILED' }
  test.each([
    ['done', [start('apply'), step('x'), DONE], ['done']],
    ['failed', [start('apply'), step('x'), failed], ['failed']],
    ['with the restart that it asked for', [start('apply'), step('reboot')], ['done']],
    ['with a restart that failed', [start('apply'), step('reboot'), failed], ['failed']],
    ['never, and the next one started', [start('apply'), step('x'), start('apply'), DONE], ['open', 'done']],
    ['never, and the machine was started again', [start('apply'), step('x'), BOOT, step('y')], ['open']],
    ['before the log begins', [step('x'), DONE, start('confirm'), DONE], ['done']],
  ])('%s', (_, events, expected) => {
    expect(ends(events)).toEqual(expected)
  })

  test('is open only where the process at work is another one', () => {
    const events = [start('apply', { pid: '7' }), DONE, start('apply', { pid: '12' }), step('x')]
    expect(ends(events, 12)).toEqual(['done', 'at work'])
    expect(ends(events, 13)).toEqual(['done', 'open'])
    expect(ends([...events, DONE], 12)).toEqual(['done', 'done'])
    expect(ends([start('apply'), step('x')])).toEqual(['open'])
  })
})

describe('what was done last', () => {
  const last = (events: readonly LogEvent[]) => lastRuns({ runs: runs(events) })
  const routine = [BOOT, start('confirm', { condition: 'confirmed' }), DONE, BOOT, start('verdict'), DONE]

  test('is not the routine after a boot, unless that went wrong', () => {
    expect(last([start('apply'), DONE, ...routine]).attempt).toMatchObject({ intent: 'apply', endedAt: 't2' })
    expect(last(routine)).toEqual({ attempt: null, confirmed: null })
    const broken = [
      ...routine,
      start('confirm', { condition: 'confirmed' }),
      { event: 'failed', code: 'IO_FAILED' },
    ]
    expect(last(broken).attempt).toMatchObject({ intent: 'confirm', end: 'failed', code: 'IO_FAILED' })
  })

  test('of a run that ended well is not what it did at the end', () => {
    const attempt = last([start('apply'), step('reboot')]).attempt
    expect(attempt).toMatchObject({ end: 'done', step: null, code: null, message: null })
  })

  test('became permanent only where a trial ended so', () => {
    const trial = start('confirm', { condition: 'on trial' })
    expect(last([trial, DONE, ...routine]).confirmed).toEqual({ version: '2.0', at: 't2' })
    expect(last([trial, { event: 'failed' }]).confirmed).toBe(null)
    expect(last([start('apply', { condition: 'on trial' }), DONE]).confirmed).toBe(null)
  })
})

test('a run that ends while one looks is not called interrupted', async () => {
  const region = memoryRegion(formatBootstate({ state: initialBootState('a'), grubCfg: '' }))
  const log = await openLog(region)
  await log.append({ event: 'start', intent: 'apply', pid: '12' })
  let looks = 0
  const lockId = async () => {
    looks += 1
    if (looks === 1) await log.append(DONE)
    return 'fe:00:1'
  }
  const machine = { host: { readFile: async () => undefined }, bootstate: { ...region, lockId } }
  const history = await readHistory(machine as unknown as Machine)
  expect(history.runs.map(({ end }) => end)).toEqual(['done'])
  expect([looks, history.atWork]).toEqual([2, null])
})
