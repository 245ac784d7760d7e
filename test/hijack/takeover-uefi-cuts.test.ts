import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findBackend } from '../../src/boot/backend.ts'
import { openOnDisk } from '../../src/hijack/content.ts'
import { withNewSystem } from '../../src/hijack/disk-table.ts'
import type { TakeoverJournal } from '../../src/hijack/journal.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { aroundRoot, withoutBox } from './box.ts'
import { digest, filesOf } from './box-files.ts'
import { type Cut, explore } from './cuts.ts'
import { endsOf, parse } from './gpt-disk.ts'
import { becomeRehearsed } from './rehearsing.ts'
import { READERS, type Seen, seenOf } from './table-readers.ts'
import { abortOn, commitOn, journalIn, type Machine, stageIn } from './takeover-steps.ts'
import {
  copyUefiBox,
  makeUefiBox,
  OLD_GRUB,
  OUR_GRUB,
  startFirmware,
  type UefiBox,
  variablesOf,
} from './uefi-box.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: power cuts in a takeover on UEFI`)

let box: UefiBox
afterEach(() => box?.close())

interface Known {
  original: string
  journal: TakeoverJournal
  tables: { old: Seen; new: Seen }
  /** What the firmware started, in the order of the cuts. */
  started: string[]
}

/** All that a takeover may have left behind. */
function leftOn({ disk, folder }: UefiBox): string {
  const { BootCurrent: _, ...variables } = variablesOf({ disk })
  return JSON.stringify([digest(aroundRoot(disk)), filesOf(folder), variables])
}

async function open(): Promise<Known> {
  box = await makeUefiBox()
  const original = leftOn(box)
  await becomeRehearsed(box)
  const [table, journal] = [parse(endsOf(box.disk)), await journalIn(box)]
  const tables = { old: seenOf(table), new: seenOf(withNewSystem(table, journal)) }
  return { original, journal, tables, started: [] }
}

/** What the machine would miss that is started after a cut: the firmware decides who starts. */
async function startProblems(copy: UefiBox, { tables, started }: Known): Promise<string[]> {
  const program = (name: string) => {
    const path = join(copy.esp, 'EFI', name, 'grubx64.efi')
    return existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
  }
  const who = startFirmware(copy)
  started.push(who)
  const allowed = who === 'debian' ? [tables.old, tables.new] : [tables.new]
  const problems = Object.entries(READERS)
    .filter(([, read]) => !allowed.includes(read(endsOf(copy.disk))))
    .map(([name]) => `${name} finds another table, and ${who} starts`)
  if (!program('debian').equals(OLD_GRUB)) problems.push('the old loader is damaged')
  if (who === 'debian') return problems
  if (!program('pine-update').equals(OUR_GRUB)) problems.push('our loader is not whole')
  return [...problems, ...(await trialProblems(copy))]
}

async function trialProblems(copy: UefiBox): Promise<string[]> {
  const region = await openOnDisk(copy.host, await journalIn(copy), 'bootstate')
  try {
    const state = await (await findBackend(region)).readAsLoader(region)
    const isTrial = simulateLoader(state, () => true).pick === 'a' && state?.slots.a.left === 3
    return isTrial ? [] : ['our loader does not start a trial of slot a']
  } finally {
    await region.close()
  }
}

type Next = (copy: UefiBox) => Promise<string[]>

/** Each with a machine of its own. */
function andThen(known: Known, ...next: Next[]): (cut: Cut) => Promise<string[]> {
  const inCopy = async ({ disk }: Cut, use: Next) => {
    const copy = copyUefiBox({ disk, loaders: box.loaders })
    return use(copy).finally(() => copy.close())
  }
  return async (cut) => {
    const problems = await inCopy(cut, (copy) => startProblems(copy, known))
    if (cut.isWhole) for (const each of next) problems.push(...(await inCopy(cut, each)))
    return problems
  }
}

const undone =
  ({ original }: Known): Next =>
  async (copy) => {
    await abortOn(copy)
    return leftOn(copy) === original ? [] : ['abort leaves something behind']
  }

const committedAgain: Next = async (copy) => {
  startFirmware(copy)
  await commitOn(copy)
  return (await stageIn(copy)) === 'committed' ? trialProblems(copy) : ['it is not committed']
}

describe.skipIf(reason !== undefined)('with UEFI, whose variables are a folder here, the power goes', () => {
  test('in a commit: one of the systems starts, and commit and abort both come to their end', async () => {
    const known = await open()
    const problems = await explore(box, commitOn, andThen(known, undone(known), committedAgain))
    expect(problems).toEqual([])
    // The last thing that is done decides.
    expect(known.started.length).toBeGreaterThan(10)
    expect(new Set(known.started.slice(0, -1))).toEqual(new Set(['debian']))
    expect(known.started.at(-1)).toBe('pine-update')
  })

  test('in an abort: one of the systems starts, and another abort comes to its end', async () => {
    const known = await open()
    await commitOn(box)
    expect(await explore(box, abortOn, andThen(known, undone(known)))).toEqual([])
    expect(known.started[0]).toBe('pine-update')
    expect(known.started.at(-1)).toBe('debian')
    expect(leftOn(box)).toBe(known.original)
  })

  test.each<[string, (machine: Machine) => Promise<void>, string]>([
    [
      'a commit that asks the firmware first',
      async (machine) => {
        const kept: [string, Uint8Array][] = []
        const early = {
          ...machine.host,
          exec: async (...all: Parameters<typeof machine.host.exec>) => {
            if (all[0] === 'mkdir')
              for (const each of kept.splice(0)) await machine.host.writeVariable(...each)
            return machine.host.exec(...all)
          },
        }
        kept.push(...(await ordersOf(machine)))
        await commitOn({ ...machine, host: early })
      },
      'our loader is not whole',
    ],
    [
      'an abort that removes our loader first',
      async (machine) => {
        await commitOn(machine)
        await machine.host.exec('rm', ['-rf', '/boot/efi/EFI/pine-update'])
        await machine.carving.settleFileSystem('/boot/efi')
        await abortOn(machine)
      },
      'our loader is not whole',
    ],
  ])('%s is found', async (_, act, text) => {
    const known = await open()
    const problems = await explore(box, act, andThen(known))
    expect(problems).toContainEqual(expect.stringContaining(text))
  })
})

/** What a commit tells the firmware. */
async function ordersOf(machine: Machine): Promise<[string, Uint8Array][]> {
  const orders: [string, Uint8Array][] = []
  const copy = copyUefiBox(box)
  const host = {
    ...copy.host,
    writeVariable: async (path: string, content: Uint8Array) => {
      orders.push([path, content])
      await copy.host.writeVariable(path, content)
    },
  }
  await commitOn({ ...machine, ...copy, host }).finally(() => copy.close())
  return orders
}
