import { afterEach, describe, expect, test } from 'vitest'
import { type Box, withoutBox } from './box.ts'
import { andThen, commitNow, type Ends, openRehearsed, started, undone } from './cut-ends.ts'
import { explore, onDisk } from './cuts.ts'
import { MIB } from './gpt-disk.ts'
import { abortOn, commitOn, type Machine, OLD } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: broken orders of a takeover`)

let box: Box
afterEach(() => box?.close())

const BROKEN: [string, (machine: Machine, ends: Ends) => Promise<void>, string][] = [
  [
    'a commit that writes the boot sector first',
    (machine, { committed }) =>
      commitNow(
        onDisk(machine, (region) => ({
          ...region,
          async write(from, position) {
            if (position !== 0) {
              await region.write(committed.subarray(0, 512), 0)
              await region.flush()
            }
            await region.write(from, position)
          },
        })),
      ),
    'linux finds another table, with our boot sector',
  ],
  [
    'a commit that never waits for the disk',
    (machine) => commitNow(onDisk(machine, (region) => ({ ...region, flush: async () => undefined }))),
    'our core is not whole',
  ],
  [
    'a commit that writes over the old loader',
    (machine) =>
      commitNow(
        onDisk(machine, (region) => ({
          ...region,
          read: (into, position) => region.read(into, overOld(position)),
          write: (from, position) => region.write(from, overOld(position)),
        })),
      ),
    'the old core is damaged',
  ],
  [
    'a commit that does not say what it writes over',
    (machine) => commitNow({ ...machine, host: { ...machine.host, replaceFile: async () => undefined } }),
    'abort leaves another disk',
  ],
  [
    'a commit that keeps the script that was staged',
    (machine) => commitOn(machine, OLD),
    'does not know the old system of today',
  ],
  [
    'an abort that writes the boot sector last',
    async (machine) => {
      await commitNow(machine)
      await abortOn(
        onDisk(machine, (region) => {
          let kept: Uint8Array | undefined
          return {
            ...region,
            async write(from, position) {
              if (position === 0) kept = Buffer.from(from)
              else await region.write(from, position)
            },
            async close() {
              if (kept !== undefined) await region.write(kept, 0)
              await region.flush()
              await region.close()
            },
          }
        }),
      )
    },
    'linux finds another table, with our boot sector',
  ],
]

describe.skipIf(reason !== undefined)('what is broken on purpose is found', () => {
  test.each(BROKEN)('%s', async (_, act, finds) => {
    const opened = await openRehearsed()
    box = opened.box
    const { ends } = opened
    const look = finds.startsWith('abort') ? andThen(box, ends, undone) : started(ends)
    const problems = await explore(box, (machine) => act(machine, ends), look)
    expect(problems).toContainEqual(expect.stringContaining(finds))
  })
})

/** The core of the old loader is at the start of its partition, ours behind it. */
function overOld(position: number): number {
  return position > MIB && position < 2 * MIB ? MIB : position
}
