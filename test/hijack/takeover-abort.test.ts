import { existsSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { partOf } from '../../src/hijack/content.ts'
import { planConfirm, planReject } from '../../src/plan/verdict.ts'
import { aroundRoot, type Box, makeBox, withoutBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { onDisk } from './cuts.ts'
import { rehearse, startRehearsal } from './rehearsing.ts'
import { abortOn, armOn, commitOn, journalIn, makeImage, stageIn, stageOn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: abort on a real disk`)

let box: Box
afterEach(() => box?.close())

const give = (text: string) => (facts: Parameters<typeof planReject>[0]) =>
  planReject(facts, { reason: text, now: new Date(), reboot: true })

/** From the one before to the next. */
const LIFE: [string, () => Promise<unknown>][] = [
  ['staged', async () => stageOn(box, makeImage(box))],
  ['armed', () => armOn(box)],
  ['silent', async () => startRehearsal(box)],
  [
    'failed',
    async () => {
      await armOn(box)
      await rehearse(box, give('no'))
    },
  ],
  [
    'rehearsed',
    async () => {
      await armOn(box)
      await rehearse(box, planConfirm)
    },
  ],
  ['committed', () => commitOn(box)],
]

async function live(until: string): Promise<void> {
  for (const [stage, step] of LIFE) {
    await step()
    expect(await stageIn(box)).toBe(stage)
    if (stage === until) return
  }
}

describe.skipIf(reason !== undefined)('abort', () => {
  test.each(LIFE.map(([stage]) => stage))('of what is %s leaves all as it was', async (stage) => {
    box = await makeBox()
    const [around, files] = [aroundRoot(box.disk), filesOf(box.folder)]
    await live(stage)
    await abortOn(box)
    expect(aroundRoot(box.disk).equals(around)).toBe(true)
    expect(filesOf(box.folder)).toEqual(files)
    expect(await stageIn(box)).toBeUndefined()
  })

  test.each(['on', 'off'])(
    'has the new system\u2019s swap off before its room is given back: it was %s',
    async (state) => {
      box = await makeBox()
      await live('committed')
      const { disk, parts } = await journalIn(box)
      const { offset } = partOf({ parts }, 'swap')
      const start = offset / 512 + (state === 'on' ? 0 : 8)
      const seen: Record<string, string> = {
        '/proc/swaps': 'Filename\tType\n/dev/vda7 partition\t9\t0\t-2\n',
        [`/sys/class/block/${basename(disk.path)}/vda7/start`]: `${start}\n`,
      }
      const written: string[] = []
      const host: Box['host'] = {
        ...box.host,
        readFile: async (path) =>
          seen[path] === undefined ? box.host.readFile(path) : Buffer.from(seen[path]),
        exec: async (command, args, options) => {
          if (command !== 'swapoff') return box.host.exec(command, args, options)
          written.push([command, ...args].join(' '))
          return ''
        },
      }
      const counting = onDisk({ ...box, host }, (region) => ({
        ...region,
        write: (from, at) => {
          written.push('write')
          return region.write(from, at)
        },
      }))
      await abortOn(counting)
      expect(written[0]).toBe(state === 'on' ? 'swapoff /dev/vda7' : 'write')
      expect(written.filter((each) => each !== 'write')).toHaveLength(state === 'on' ? 1 : 0)
    },
  )

  test('is followed by another takeover, which can be given up as well', async () => {
    box = await makeBox()
    const [around, files] = [aroundRoot(box.disk), filesOf(box.folder)]
    await live('committed')
    const committed = aroundRoot(box.disk)
    await abortOn(box)
    await live('committed')
    // Other GUIDs, and the same loader in the same place.
    expect(aroundRoot(box.disk).equals(committed)).toBe(false)
    expect(aroundRoot(box.disk).subarray(0, 440).equals(committed.subarray(0, 440))).toBe(true)
    await abortOn(box)
    expect(aroundRoot(box.disk).equals(around)).toBe(true)
    expect(filesOf(box.folder)).toEqual(files)
  })

  test('removes what GRUB had not got before', async () => {
    box = await makeBox()
    rmSync(join(box.folder, 'boot/grub/custom.cfg'))
    const files = filesOf(box.folder)
    await live('armed')
    await abortOn(box)
    expect(filesOf(box.folder)).toEqual(files)
  })

  test('that is killed while it removes our files is done again: the journal goes last', async () => {
    box = await makeBox()
    const files = filesOf(box.folder)
    await live('armed')
    const host: Box['host'] = {
      ...box.host,
      exec: async (command, args, options) => {
        const isLast = command === 'rm' && args.includes('/pine-update')
        if (isLast) throw new Error('killed')
        return box.host.exec(command, args, options)
      },
    }
    await expect(abortOn({ ...box, host })).rejects.toThrow('killed')
    // Keys and password hashes are in it.
    expect(existsSync(join(box.folder, 'pine-update/captured.cpio'))).toBe(false)
    expect(await stageIn(box)).toBeDefined()
    await abortOn(box)
    expect(filesOf(box.folder)).toEqual(files)
  })
})
