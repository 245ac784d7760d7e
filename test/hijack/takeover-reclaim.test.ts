import { afterEach, describe, expect, test } from 'vitest'
import { planReclaim, reclaim } from '../../src/hijack/reclaim.ts'
import { readTable } from '../../src/host/sfdisk.ts'
import { parseLayout, ROLES } from '../../src/model/layout.ts'
import { planConfirm } from '../../src/plan/verdict.ts'
import { executePlan } from '../../src/run/execute.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import { bootDisk } from '../support/boot-disk.ts'
import { type Box, rootOf, WITH_MBR, withoutBox } from './box.ts'
import { digest } from './box-files.ts'
import { DEVICE } from './box-host.ts'
import { explore } from './cuts.ts'
import { DEBIAN, endsOf, readAt } from './gpt-disk.ts'
import { makeRehearsed } from './rehearsing.ts'
import { READERS } from './table-readers.ts'
import { commitOn, type Machine } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: reclaim on a real disk`)

let box: Box
afterEach(() => box?.close())

/** Our loader has started slot a, and it was confirmed there. */
async function openConfirmed(script: string): Promise<void> {
  box = await makeRehearsed(script)
  await commitOn(box)
  expect(await bootDisk(box.host, DEVICE)).toBe('a')
  await onDisk(async (machine) =>
    executePlan(planConfirm(await observe(machine)), { machine, onStep: () => undefined }),
  )
}

function onDisk<T>(use: Parameters<typeof withMachine<T>>[2]): Promise<T> {
  return withMachine(box.host, { disk: DEVICE, writable: true }, use)
}

const TOLD = ['partx', 'udevadm', 'resize2fs']

/** What the kernel would be told is noted: this disk is a file, of which it knows no partitions. */
function telling({ host, ...rest }: Machine, told: string[]): Machine {
  const exec: Box['host']['exec'] = async (command, args, options) => {
    if (!TOLD.includes(command)) return host.exec(command, args, options)
    told.push([command, ...args].join(' '))
    return ''
  }
  return { ...rest, host: { ...host, exec } }
}

async function reclaimOn({ host }: Machine): Promise<void> {
  const facts = await onDisk(observe)
  await reclaim(host, { path: DEVICE, layout: facts.layout }, planReclaim(facts))
}

const layoutNow = async () => parseLayout(await readTable(box.host, DEVICE), DEVICE)

/** A disk, and its partitions before and after. */
const DISKS: [string, string, number[], number[]][] = [
  ['a GPT', DEBIAN, [1, 2, 3, 4, 5, 6, 7], [1, 3, 4, 5, 6, 7]],
  ['what was an MBR', WITH_MBR, [1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 7, 8, 9]],
]

describe.skipIf(reason !== undefined).each(DISKS)('reclaim on %s', (_, script, before, after) => {
  test('leaves the new system where it is, and gives the rest to its state partition', async () => {
    await openConfirmed(script)
    const [found, root] = [await layoutNow(), rootOf(box.disk)]
    const kept = ROLES.map((role) => contentOf(found.partitions[role]))
    const told: string[] = []
    await reclaimOn(telling(box, told))

    const { old, partitions } = await layoutNow()
    expect(old).toBeUndefined()
    const others = ROLES.filter((role) => role !== 'state')
    for (const role of others) expect(partitions[role]).toEqual(found.partitions[role])
    const { state } = partitions
    expect(state).toEqual({ ...found.partitions.state, bytes: state.bytes })
    const next = others.map((role) => partitions[role].offset).filter((offset) => offset > state.offset)
    expect(state.offset + state.bytes).toBe(Math.min(root.offset + root.bytes, ...next))
    expect(state.bytes).toBeGreaterThan(found.partitions.state.bytes)
    expect(ROLES.map((role) => contentOf(found.partitions[role]))).toEqual(kept)
    expect(told).toEqual([
      // Both are there, before anything is written.
      'partx --version',
      'udevadm --version',
      `partx --delete --nr ${root.number} ${DEVICE}`,
      `partx --update --nr ${state.number} ${DEVICE}`,
      'udevadm trigger --settle --subsystem-match=block',
      `resize2fs /dev/disk/by-partuuid/${state.uuid}`,
    ])
  })

  test('is one sector: whenever the power goes all readers find the one table, or the other', async () => {
    await openConfirmed(script)
    const seen = new Set<string>()
    const problems = await explore(
      box,
      (machine) => reclaimOn(telling(machine, [])),
      async ({ disk }) => {
        const rows = Object.values(READERS).map((read) => read(endsOf(disk)) ?? 'nothing')
        for (const row of rows) seen.add(row)
        return new Set(rows).size === 1 ? [] : ['not all readers find the same']
      },
    )
    expect(problems).toEqual([])
    const numbers = [...seen].map((rows) => rows.split('\n').map((row) => Number(row.split(' ')[0]) + 1))
    expect(numbers).toEqual([before, after])
  })
})

function contentOf({ offset, bytes }: { offset: number; bytes: number }): string {
  return digest(readAt(box.disk, offset, bytes))
}
