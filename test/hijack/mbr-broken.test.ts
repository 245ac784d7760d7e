import { afterEach, describe, expect, test } from 'vitest'
import { type Box, WITH_MBR, withoutBox } from './box.ts'
import { commitNow, type Ends, openRehearsed, started } from './cut-ends.ts'
import { explore, onDisk } from './cuts.ts'
import { SECTOR } from './gpt-disk.ts'
import { abortOn, type Machine } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: broken ways from an MBR to a GPT`)

let box: Box
afterEach(() => box?.close())

const died = new Error('no power')
type Region = Parameters<Parameters<typeof onDisk>[1]>[0]

/** With another way to write; `isFirst`: of the boot sector, nothing was written before. */
function writing(
  machine: Machine,
  write: (region: Region, from: Uint8Array, at: number, isFirst: boolean) => Promise<void>,
): Machine {
  return onDisk(machine, (region) => {
    let flips = 0
    return { ...region, write: (from, at) => write(region, from, at, at === 0 && ++flips === 1) }
  })
}

const BROKEN: [string, (machine: Machine, ends: Ends) => Promise<void>, string][] = [
  [
    'a commit that writes the GPT over the old loader',
    (machine) =>
      commitNow(
        writing(machine, async (region, from, at, isFirst) => (isFirst ? undefined : region.write(from, at))),
      ),
    'the old core is damaged',
  ],
  [
    'a commit that leaves the list of the moved loader as it was',
    (machine) => {
      let told = Buffer.alloc(0)
      const isCopy = (bytes: Uint8Array, at: number) => bytes.length > SECTOR && at > SECTOR && at < 300_000
      return commitNow(
        onDisk(machine, (region) => ({
          ...region,
          // What is read back is what was meant.
          read: async (into, at) =>
            isCopy(into, at) && into.length === told.length ? void told.copy(into) : region.read(into, at),
          write(from, at) {
            if (!isCopy(from, at)) return region.write(from, at)
            const core = Buffer.from(from)
            told = Buffer.from(from)
            core.writeBigUInt64LE(2n, 0x1f4)
            return region.write(core, at)
          },
        })),
      )
    },
    'the old core is damaged',
  ],
  [
    'a commit that never waits for the disk',
    (machine) => commitNow(onDisk(machine, (region) => ({ ...region, flush: async () => undefined }))),
    'our core is not whole',
  ],
  [
    'a commit that says that there is a GPT before there is one',
    (machine, { committed }) =>
      commitNow(
        writing(machine, async (region, from, at) => {
          if (at === SECTOR) {
            await region.write(committed.subarray(0, SECTOR), 0)
            await region.flush()
          }
          await region.write(from, at)
        }),
      ),
    'linux finds another table, with our boot sector',
  ],
  [
    'an abort that brings the old loader back while ours starts',
    async (machine) => {
      await commitNow(machine)
      await abortOn(
        writing(machine, async (region, from, at, isFirst) => (isFirst ? undefined : region.write(from, at))),
      )
    },
    'with our boot sector',
  ],
  [
    'an abort that starts the old loader from a copy that was never made',
    async (machine) => {
      const dying = writing(machine, (region, from, at) =>
        at > SECTOR && at < 300_000 ? Promise.reject(died) : region.write(from, at),
      )
      await expect(commitNow(dying)).rejects.toBe(died)
      // It takes the sectors of the GPT for written.
      const read = (region: Region, into: Uint8Array, at: number) =>
        region.read(into, at === SECTOR ? 4 * SECTOR : at)
      await abortOn(onDisk(machine, (region) => ({ ...region, read: (into, at) => read(region, into, at) })))
    },
    'the old core is damaged',
  ],
]

describe.skipIf(reason !== undefined)('what is broken on purpose is found', () => {
  test.each(BROKEN)('%s', async (_, act, finds) => {
    const opened = await openRehearsed(WITH_MBR)
    box = opened.box
    const { ends } = opened
    const problems = await explore(box, (machine) => act(machine, ends), started(ends))
    expect(problems).toContainEqual(expect.stringContaining(finds))
  })
})
