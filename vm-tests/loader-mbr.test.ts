import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatBootstate } from '../src/boot/bootstate-area.ts'
import { makeCoreImage } from '../src/boot/grub-core.ts'
import { bootPartition, renderGrubCfg } from '../src/boot/grub-script.ts'
import { planConversion } from '../src/hijack/convert.ts'
import { type CarvedPart, JOURNAL } from '../src/hijack/journal.ts'
import { realHost } from '../src/host/real-host.ts'
import type { GptPiece } from '../src/model/gpt.ts'
import { ROLES, type Role } from '../src/model/layout.ts'
import { debianCore, installDebianGrub } from '../test/hijack/debian-grub.ts'
import { MIB, sfdiskTable, writePieces } from '../test/hijack/gpt-disk.ts'
import { FIRST_BOOT } from '../test/hijack/takeover-facts.ts'
import { memoryRegion } from '../test/support/memory-region.ts'
import { type LoaderBench, openLoaderBench } from './lib/loader-bench.ts'
import { APPEND, OLD_SYSTEM } from './lib/prediction.ts'

const TEMPLATE = join(import.meta.dirname, '..', 'src', 'system', 'grub.cfg')
/** What a GRUB does that Debian installed: it says so, and shows what it sees of its partition. */
const OLD_CONFIG = `serial --unit=0 --speed=115200
terminal_output console serial
echo "the old loader"
ls (hd0,msdos1)/
sleep 1
reboot
`
const OLD_MODULES = ['serial', 'terminal', 'echo', 'ls', 'sleep', 'reboot']
const TABLE = 'label: dos\nstart=2048, size=40MiB, bootable\n'

let bench: LoaderBench
beforeAll(async () => {
  bench = await openLoaderBench('bios')
}, 300_000)
afterAll(() => bench.close())

/** In the middle of the old root; numbered as on a disk with one partition. */
const PARTS: CarvedPart[] = ROLES.map((name, index) => ({
  ...{ name, number: index + 3, logical: 0, offset: (8 + 4 * index) * MIB, bytes: 2 * MIB },
  uuid: `0e000000-0000-4000-8000-00000000000${index}`,
}))

function partOf(role: Role): CarvedPart {
  const part = PARTS.find(({ name }) => name === role)
  if (part === undefined) throw new Error(`no ${role} in ${JOURNAL}`)
  return part
}

/** A disk with an MBR, GRUB of Debian in its gap, and a new system carved out of its one partition. */
function makeOldDisk(): string {
  const disk = bench.path('mbr.disk')
  closeSync(openSync(disk, 'w'))
  const file = openSync(disk, 'r+')
  ftruncateSync(file, 44 * MIB)
  closeSync(file)
  execFileSync('sfdisk', ['--quiet', disk], { input: TABLE, stdio: 'pipe' })
  installDebianGrub(disk, debianCore(bench.path('core'), OLD_CONFIG, OLD_MODULES), bench.path('grub'))
  const grubCfg = renderGrubCfg(readFileSync(TEMPLATE, 'utf8'), {
    ...{ a: bootPartition(partOf('rootfs-a')), b: bootPartition(partOf('rootfs-b')) },
    ...{ r: { ...OLD_SYSTEM, part: 'gpt1' }, statePartuuid: partOf('state').uuid },
    ...{ append: APPEND, sleepSeconds: 1 },
  })
  writePieces(disk, [
    { offset: MIB, bytes: bench.kit.contents.ext4 },
    { offset: partOf('bootstate').offset, bytes: formatBootstate({ state: FIRST_BOOT, grubCfg }) },
    { offset: partOf('rootfs-a').offset, bytes: bench.kit.contents['squashfs-gzip'] },
  ])
  return disk
}

async function expectOld(disk: string): Promise<void> {
  const { output, cmdline } = await bench.run(disk)
  expect(output).toContain('the old loader')
  // By its table, which is an MBR still.
  expect(output).toContain(OLD_SYSTEM.kernel.slice(1))
  expect(cmdline).toBe(null)
}

test('the old loader starts until ours does, at each step from an MBR to a GPT', {
  timeout: 300_000,
}, async () => {
  const disk = makeOldDisk()
  await expectOld(disk)
  const root = { number: 1, offset: MIB, bytes: 40 * MIB }
  const original = readFileSync(disk)
  const image = await makeCoreImage(realHost(), { sleepSeconds: 1 })
  const [move, convert] = await planConversion(memoryRegion(original), image, { parts: PARTS, root })
  if (move === undefined || convert === undefined) throw new Error('GRUB was not in the way')
  const start = (pieces: readonly GptPiece[]) => writePieces(disk, pieces)

  start(move.prepare)
  await expectOld(disk)
  start([move.flip])
  await expectOld(disk)
  start(convert.prepare)
  await expectOld(disk)
  // Whatever a power cut leaves there, nobody looks at it.
  start([{ offset: 512, bytes: Buffer.alloc(71 * 512, 0xa5) }])
  await expectOld(disk)
  start(convert.prepare)

  start([convert.flip])
  const picks: (string | undefined)[] = []
  for (let boot = 0; boot < 5; boot++)
    picks.push(/pine\.slot=(\w)/.exec((await bench.run(disk)).cmdline ?? '')?.[1])
  // Nobody confirms it: three tries, then the old system, by the number that its partition had.
  expect(picks).toEqual(['a', 'a', 'a', 'r', 'r'])
  expect(sfdiskTable(disk).partitions.map(({ name }) => name ?? '')).toEqual(['', 'bios-boot', ...ROLES])

  // The way back: the boot sector of the first flip, then the sectors of the GPT, then all of it.
  start([move.flip])
  await expectOld(disk)
  start([{ offset: 0, bytes: original.subarray(0, MIB) }])
  await expectOld(disk)
})
