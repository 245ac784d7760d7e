import { afterEach, describe, expect, test } from 'vitest'
import { aroundRoot, type Box, withoutBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { andThen, commitNow, committedAgain, openRehearsed, started, undone } from './cut-ends.ts'
import { explore, onDisk } from './cuts.ts'
import { abortOn, stageIn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: power cuts in a takeover`)

let box: Box
afterEach(() => box?.close())

async function open() {
  const opened = await openRehearsed()
  box = opened.box
  return opened.ends
}

describe.skipIf(reason !== undefined)('the power goes', () => {
  test('in a commit: one of the systems starts, and commit and abort both come to their end', async () => {
    const ends = await open()
    const look = andThen(box, ends, committedAgain, undone)
    const moments = new Set<string>()
    const problems = await explore(box, commitNow, (cut) => {
      moments.add(cut.moment)
      return look(cut)
    })
    expect(problems).toEqual([])
    // The journal, the boot state in two copies, what is prepared, the table, the boot sector.
    expect(moments.size).toBeGreaterThan(10)
    expect(aroundRoot(box.disk).equals(ends.committed)).toBe(true)
  })

  test('in a commit that is made again after a cut just before its end', async () => {
    const ends = await open()
    const died = new Error('no power')
    const dying = onDisk(box, (region) => ({
      ...region,
      write: (from, at) => (at === 0 ? Promise.reject(died) : region.write(from, at)),
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
})
