import { expect, test } from 'vitest'
import { AHEAD_BYTES, startJobs } from '../../src/delta/jobs.ts'

interface Held {
  readonly started: () => boolean
  end(): void
  fail(): void
}

/** A job that goes on until it is told to end. */
function hold(): Held & { start: () => Promise<string> } {
  let isStarted = false
  let settle: { resolve: (made: string) => void; reject: (error: Error) => void } | undefined
  const job = new Promise<string>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return {
    start: () => {
      isStarted = true
      return job
    },
    started: () => isStarted,
    end: () => settle?.resolve('made'),
    fail: () => settle?.reject(new Error('no encoder')),
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('no more run at once than may, in the order in which they came', async () => {
  const jobs = startJobs(2)
  const held = [hold(), hold(), hold(), hold()]
  for (const { start } of held) void jobs.add(1, start)
  await turn()
  expect(held.map(({ started }) => started())).toEqual([true, true, false, false])
  held[1]?.end()
  await turn()
  expect(held.map(({ started }) => started())).toEqual([true, true, true, false])
  for (const { end } of held) end()
  await jobs.drain()
  expect(held.map(({ started }) => started())).toEqual([true, true, true, true])
})

test('one that fails makes room for the next, and is its caller’s to see', async () => {
  const jobs = startJobs(1)
  const [first, second] = [hold(), hold()]
  const failed = jobs.add(1, first.start)
  const made = jobs.add(1, second.start)
  first.fail()
  await expect(failed).rejects.toThrow('no encoder')
  second.end()
  expect(await made).toBe('made')
  await jobs.drain()
})

test('beyond one for each core only as many wait as fit into the memory for that', async () => {
  const jobs = startJobs(1)
  const [first, second] = [hold(), hold()]
  let isFree = false
  void jobs.add(AHEAD_BYTES, first.start)
  await jobs.free(0)
  void jobs.free(1).then(() => {
    isFree = true
  })
  await turn()
  expect(isFree).toBe(false)
  first.end()
  await turn()
  expect(isFree).toBe(true)
  void jobs.add(10 * AHEAD_BYTES, second.start)
  second.end()
  await jobs.drain()
})
