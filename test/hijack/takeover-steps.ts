import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { digestRegion } from '../../src/core/digest-region.ts'
import { abortTakeover } from '../../src/hijack/abort.ts'
import { commitTakeover } from '../../src/hijack/commit.ts'
import type { TakeoverJournal } from '../../src/hijack/journal.ts'
import { observeTakeover } from '../../src/hijack/observe.ts'
import type { OldSystem } from '../../src/hijack/old-system.ts'
import { armRehearsal, type RehearsalOptions } from '../../src/hijack/rehearse.ts'
import type { Review, TakeoverRequest } from '../../src/hijack/review.ts'
import { stage } from '../../src/hijack/stage.ts'
import { stageOf, type TakeoverStage } from '../../src/hijack/takeover-state.ts'
import type { Wanted } from '../../src/hijack/wanted.ts'
import { nativeHashing } from '../../src/host/native.ts'
import { noise } from '../support/cli.ts'
import { type Box, rootOf } from './box.ts'
import { run } from './box-files.ts'
import { endsOf, MIB, parse } from './gpt-disk.ts'
import { GOOD_BOX, ROOT } from './takeover-facts.ts'

export type Machine = Pick<Box, 'disk' | 'host' | 'carving'>

export const WANTED: Wanted[] = [
  { name: 'rootfs-a', bytes: 16 * MIB },
  { name: 'rootfs-b', bytes: 16 * MIB },
  { name: 'bootstate', bytes: MIB },
  { name: 'swap', bytes: 2 * MIB },
  { name: 'state', bytes: 16 * MIB, grows: true },
]
export const OLD: OldSystem = {
  part: 'gpt2',
  kernel: '/boot/vmlinuz-6.1',
  initrd: '/boot/initrd.img-6.1',
  arguments: 'root=UUID=6f1e0002-0000-4000-8000-000000000000 ro quiet',
}

/** A squashfs with a kernel of its own, beside the disk of the box. */
export function makeImage({ disk }: Box): string {
  const [tree, image] = [join(dirname(disk), 'tree'), join(dirname(disk), 'image')]
  mkdirSync(join(tree, 'boot'), { recursive: true })
  writeFileSync(join(tree, 'boot/vmlinuz'), noise(300_000, 1))
  writeFileSync(join(tree, 'boot/initrd.img'), noise(900_000, 2))
  run('mksquashfs', [tree, image, '-quiet', '-no-progress', '-noappend'])
  return image
}

/** What `review` would say of the box; what it looks at is not on this disk. */
export async function reviewOf({ host, disk }: Machine, image: string): Promise<Review> {
  const region = await host.openRegion(image)
  const { bytes } = region
  const found = await digestRegion(region, { hashing: nativeHashing(), bytes }).finally(() => region.close())
  const { partition, stack } = ROOT
  if (partition === undefined) throw new Error('the root is no partition')
  const root = { ...ROOT, stack, partition: { ...partition, ...rootOf(disk) } }
  const table = { tableId: parse(endsOf(disk)).diskGuid, bytes: endsOf(disk).bytes }
  const facts = { ...GOOD_BOX, root, boot: root, disk: { ...stack[1], ...table } } as Review['facts']
  return {
    facts,
    found: { old: OLD } as Review['found'],
    problems: [],
    image: { digest: found, bytes, fs: 'squashfs', version: '1.0', epoch: 0 },
    wanted: WANTED,
  }
}

export async function stageOn(box: Machine, image: string): Promise<TakeoverJournal> {
  const request: TakeoverRequest = {
    ...{ image, compatible: 'test', version: '1.0', epoch: 0, append: 'console=ttyS0', auto: null },
    ...{ slotBytes: undefined, stateBytes: 16 * MIB },
  }
  return stage(box.host, box.carving, { review: await reviewOf(box, image), request }, () => undefined)
}

export async function journalIn({ host }: Machine): Promise<TakeoverJournal> {
  const takeover = await observeTakeover(host)
  if (takeover === undefined) throw new Error('no takeover has begun')
  return takeover.journal
}

export async function stageIn({ host }: Machine): Promise<TakeoverStage | undefined> {
  const takeover = await observeTakeover(host)
  return takeover && stageOf(takeover)
}

export const CAPTURED = Buffer.from('what the new system is given')

export async function armOn(box: Machine, options: Partial<RehearsalOptions> = {}): Promise<void> {
  const all = { deadline: 600, unattended: false, captured: CAPTURED, ...options }
  await armRehearsal(box.host, box.carving, await journalIn(box), all)
}

export async function commitOn(box: Machine, old = OLD): Promise<void> {
  await commitTakeover(box.host, box.carving, { journal: await journalIn(box), old })
}

/** Does nothing where there is nothing to undo, as the command. */
export async function abortOn(box: Machine): Promise<void> {
  const takeover = await observeTakeover(box.host)
  if (takeover !== undefined) await abortTakeover(box.host, box.carving, takeover.journal)
}
