import { afterEach, describe, expect, test } from 'vitest'
import { aroundRoot, type Box, WITH_MBR, withoutBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { andThen, commitNow, committedAgain, openRehearsed, started, undone } from './cut-ends.ts'
import { explore, onDisk } from './cuts.ts'
import { abortOn, stageIn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: power cuts while an MBR becomes a GPT`)

let box: Box
afterEach(() => box?.close())

async function open() {
  const opened = await openRehearsed(WITH_MBR)
  box = opened.box
  return opened.ends
}

describe.skipIf(reason !== undefined)('on a disk with an MBR the power goes', () => {
  test('in a commit: one of the systems starts, and commit and abort both come to their end', async () => {
    const ends = await open()
    const look = andThen(box, ends, committedAgain, undone)
    const moments = new Set<string>()
    const problems = await explore(box, commitNow, (cut) => {
      moments.add(cut.moment)
      return look(cut)
    })
    expect(problems).toEqual([])
    // Of the boot sector two: the old loader's other place, then ours.
    expect(moments.size).toBeGreaterThan(10)
    expect(aroundRoot(box.disk).equals(ends.committed)).toBe(true)
  })

  // The first one is all that was written before the second; of the second nothing was.
  test.each([1, 2])('in a commit that is made again after a cut before its flip %i', async (count) => {
    const ends = await open()
    const died = new Error('no power')
    let flips = 0
    const dying = onDisk(box, (region) => ({
      ...region,
      write: (from, at) => (at === 0 && ++flips === count ? Promise.reject(died) : region.write(from, at)),
    }))
    await expect(commitNow(dying)).rejects.toBe(died)
    expect(await stageIn(box)).toBe('rehearsed')
    expect(aroundRoot(box.disk).equals(ends.original)).toBe(false)
    expect(await explore(box, commitNow, started(ends))).toEqual([])
    expect(aroundRoot(box.disk).equals(ends.committed)).toBe(true)
  })

  test('in an abort: one of the systems starts, and another abort comes to its end', async () => {
    const ends = await open()
    await commitNow(box)
    expect(await explore(box, abortOn, andThen(box, ends, undone))).toEqual([])
    expect(aroundRoot(box.disk).equals(ends.original)).toBe(true)
    expect(filesOf(box.folder)).toEqual(ends.files)
  })

  test.each([1, 2])('in an abort of a commit that was cut off before its flip %i', async (count) => {
    const ends = await open()
    const died = new Error('no power')
    let flips = 0
    const dying = onDisk(box, (region) => ({
      ...region,
      write: (from, at) => (at === 0 && ++flips === count ? Promise.reject(died) : region.write(from, at)),
    }))
    await expect(commitNow(dying)).rejects.toBe(died)
    expect(await explore(box, abortOn, andThen(box, ends, undone))).toEqual([])
    expect(aroundRoot(box.disk).equals(ends.original)).toBe(true)
  })
})
