import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { AREA, formatBootstate } from '../../src/boot/bootstate-area.ts'
import { embedCore, makeCoreImage } from '../../src/boot/grub-core.ts'
import { makeEfiImage } from '../../src/boot/grub-efi.ts'
import { makeEfiPartition } from '../../src/boot/grub-efi-partition.ts'
import { renderGrubCfg } from '../../src/boot/grub-script.ts'
import { squashfsPacking } from '../../src/build/image.ts'
import { tableChange } from '../../src/hijack/table-change.ts'
import { realHost } from '../../src/host/real-host.ts'
import { initialBootState } from '../../src/model/boot-state.ts'
import { GPT_HEAD_BYTES, GPT_TAIL_BYTES, parseGpt } from '../../src/model/gpt.ts'
import { addEntries } from '../../src/model/gpt-edit.ts'
import { BOOTSTATE_BYTES } from '../../src/model/layout.ts'
import type { LoaderCase, SlotContent } from '../loader-cases.ts'
import { APPEND, OLD_SYSTEM, PARTS } from './prediction.ts'
import { buildTestKernel } from './test-kernel.ts'

/** Another GRUB than the installed one: a folder as /usr/lib/grub. Its grub-mkimage has to be first in PATH. */
const MODULES = process.env.PINE_GRUB_MODULES
const loaderOptions = (format: string) => ({
  sleepSeconds: 1,
  ...(MODULES && { modulesDir: join(MODULES, format) }),
})
const MIB = 1024 * 1024
const SECTOR_BYTES = 512
const TEMPLATE = join(import.meta.dirname, '..', '..', 'src', 'system', 'grub.cfg')

/**
 * Partitions of the test disk, each 1 MiB, in order from 1 MiB on; esp is larger. It boots with BIOS and with UEFI. As
 * after a takeover, state was carved out of the partition of the old system, and the table was written by us.
 */
const OFFSETS = {
  core: MIB,
  bootstate: 2 * MIB,
  a: 3 * MIB,
  b: 4 * MIB,
  r: 5 * MIB,
  state: 6 * MIB,
  esp: 7 * MIB,
}
const ESP_BYTES = 33 * MIB
const DISK_BYTES = 41 * MIB

const TABLE = `label: gpt
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios-boot
size=2048, type=L, name=bootstate
size=2048, type=L, name=rootfs-a, uuid=${PARTS.a.partuuid}
size=2048, type=L, name=rootfs-b, uuid=${PARTS.b.partuuid}
size=4096, type=L, name=old, uuid=${PARTS.r.partuuid}
7: start=14336, size=33MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp
`

/** A disk with our loader and nothing in the slots, and what can be put into them. */
export interface LoaderKit {
  dir: string
  /** Path of the blank disk. */
  blank: string
  contents: Record<SlotContent, Buffer>
}

/** Builds loader, blank disk and slot images in `dir`. */
export async function buildLoaderKit(dir: string): Promise<LoaderKit> {
  const blank = join(dir, 'blank.disk')
  writeFileSync(blank, Buffer.alloc(DISK_BYTES))
  execFileSync('sfdisk', ['--quiet', '--no-reread', blank], { input: TABLE })
  await patch(blank, carvedTable(readFileSync(blank)))
  const bios = await makeCoreImage(realHost(), loaderOptions('i386-pc'))
  const placed = embedCore(bios, { coreLba: OFFSETS.core / SECTOR_BYTES, availableBytes: MIB })
  const uefi = await makeEfiImage(realHost(), loaderOptions('x86_64-efi'))
  await patch(blank, [
    [placed.bootCode, 0],
    [placed.core, OFFSETS.core],
    [await makeEfiPartition(realHost(), uefi, ESP_BYTES), OFFSETS.esp],
  ])
  return { dir, blank, contents: buildContents(dir) }
}

/** The table of a blank disk with state in it. */
function carvedTable(disk: Buffer): [Buffer, number][] {
  const head = disk.subarray(0, GPT_HEAD_BYTES)
  const table = parseGpt(head, disk.subarray(-GPT_TAIL_BYTES), disk.length, SECTOR_BYTES)
  const state = {
    ...{ number: 6, name: 'state', attributes: 0n, uniqueGuid: PARTS.state.partuuid },
    typeGuid: '0fc63daf-8483-4772-8e79-3d69d8477de4',
    firstLba: OFFSETS.state / SECTOR_BYTES,
    lastLba: OFFSETS.esp / SECTOR_BYTES - 1,
  }
  const { prepare, flip } = tableChange(table, addEntries(table, [state]), head)
  return [...prepare, flip].map(({ bytes, offset }) => [bytes, offset])
}

async function patch(path: string, pieces: readonly [Uint8Array, number][]): Promise<void> {
  const file = await open(path, 'r+')
  try {
    for (const [bytes, offset] of pieces) await file.write(bytes, 0, bytes.length, offset)
  } finally {
    await file.close()
  }
}

interface Tree {
  kernel?: Buffer
  initrd?: Buffer
  /** Versioned names, with `vmlinuz` and `initrd.img` pointing to them. */
  links?: boolean
  /** The names that the old system has, beside the others. */
  old?: boolean
}

function makeTree(dir: string, { kernel, initrd, links, old }: Tree): string {
  mkdirSync(join(dir, 'boot'), { recursive: true })
  if (old && kernel) writeFileSync(join(dir, OLD_SYSTEM.kernel), kernel)
  if (old && initrd) writeFileSync(join(dir, OLD_SYSTEM.initrd), initrd)
  const suffix = links ? '-6.1.0-1-amd64' : ''
  if (kernel) writeFileSync(join(dir, 'boot', `vmlinuz${suffix}`), kernel)
  if (initrd) writeFileSync(join(dir, 'boot', `initrd.img${suffix}`), initrd)
  if (links) {
    symlinkSync(`vmlinuz${suffix}`, join(dir, 'boot', 'vmlinuz'))
    symlinkSync(`/boot/initrd.img${suffix}`, join(dir, 'boot', 'initrd.img'))
  }
  return dir
}

function squashfs(tree: string, compression: string): Buffer {
  const image = `${tree}.${compression}`
  const options = [...squashfsPacking(compression), '-noappend', '-quiet', '-no-progress']
  execFileSync('mksquashfs', [tree, image, ...options])
  return readFileSync(image)
}

/** With the file system features that mke2fs turns on by itself, as a slot image would have. */
function ext4(tree: string): Buffer {
  const image = `${tree}.ext4`
  writeFileSync(image, Buffer.alloc(MIB))
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-d', tree, image])
  return readFileSync(image)
}

function buildContents(dir: string): Record<SlotContent, Buffer> {
  const kernel = buildTestKernel(dir)
  const initrd = Buffer.from('a few bytes are enough')
  const tree = (name: string, content: Tree) => makeTree(join(dir, name), content)
  const whole = tree('whole', { kernel, initrd, old: true })
  const sound = squashfs(whole, 'gzip')
  return {
    'squashfs-gzip': sound,
    'squashfs-xz': squashfs(whole, 'xz'),
    'squashfs-zstd': squashfs(whole, 'zstd'),
    ext4: ext4(whole),
    symlinks: ext4(tree('links', { kernel, initrd, links: true })),
    'no-kernel': ext4(tree('no-kernel', { initrd, old: true })),
    'no-initrd': squashfs(tree('no-initrd', { kernel }), 'gzip'),
    'not-a-kernel': squashfs(tree('no-bzimage', { kernel: Buffer.alloc(4096, 'x'), initrd }), 'gzip'),
    empty: Buffer.alloc(0),
    'half-written': Buffer.from(sound).fill(0, middle(sound)),
    'corrupt-data': Buffer.from(sound).fill(0xa5, SQUASHFS_SUPERBLOCK_BYTES, middle(sound)),
    'kernel-unreadable': damaged(squashfs(tree('big-kernel', { kernel: padded(kernel), initrd }), 'gzip')),
    'initrd-unreadable': damaged(squashfs(tree('big-initrd', { kernel, initrd: padded(initrd) }), 'gzip')),
  }
}

const SQUASHFS_SUPERBLOCK_BYTES = 96

function middle(image: Buffer): number {
  return Number(image.readBigUInt64LE(40) / 2n) // bytes_used of the superblock
}

/** 400 KiB that can be compressed: four blocks of a squashfs. */
function padded(start: Buffer): Buffer {
  const filler = Array.from({ length: 40_000 }, (_, index) => `${index * 7919}`.padStart(10)).join('')
  return Buffer.concat([start, Buffer.alloc(-start.length & 511), Buffer.from(filler)])
}

/** The superblock, the tables at the end and the first block stay whole: the file opens, and fails half way. */
function damaged(image: Buffer): Buffer {
  return Buffer.from(image).fill(0xff, middle(image) - 4096, middle(image) + 4096)
}

/** The loader script for the test disk. */
export function testGrubCfg(hasOldSystem: boolean): string {
  return renderGrubCfg(readFileSync(TEMPLATE, 'utf8'), {
    a: PARTS.a,
    b: PARTS.b,
    ...(hasOldSystem && { r: OLD_SYSTEM }),
    statePartuuid: PARTS.state.partuuid,
    append: APPEND,
    sleepSeconds: 1,
  })
}

/** Writes the disk of a case to `path`. */
export async function makeCaseDisk(kit: LoaderKit, loaderCase: LoaderCase, path: string): Promise<void> {
  copyFileSync(kit.blank, path)
  const { a, b, r, env0, env1 } = loaderCase
  const area = formatBootstate({ state: initialBootState('a'), grubCfg: testGrubCfg(r !== undefined) })
  env0.copy(area, AREA.env0.offset)
  env1.copy(area, AREA.env1.offset)
  await patch(path, [
    [area, OFFSETS.bootstate],
    [kit.contents[a], OFFSETS.a],
    [kit.contents[b], OFFSETS.b],
    [kit.contents[r ?? 'empty'], OFFSETS.r],
  ])
}

/** Both copies as they are on the disk, and whether anything else of the area differs from `before`. */
export function readArea(path: string): Buffer {
  return readFileSync(path).subarray(OFFSETS.bootstate, OFFSETS.bootstate + BOOTSTATE_BYTES)
}

/** Puts bytes into a member of the bootstate area. */
export async function overwriteArea(path: string, name: keyof typeof AREA, bytes: Uint8Array): Promise<void> {
  await patch(path, [[bytes, OFFSETS.bootstate + AREA[name].offset]])
}

/** Clears the bootstate partition, headers and all. */
export async function wipeArea(path: string): Promise<void> {
  await patch(path, [[Buffer.alloc(BOOTSTATE_BYTES), OFFSETS.bootstate]])
}

/** Makes esp no file system: a power cut left the disk without what comes last. */
export async function cutEsp(path: string): Promise<void> {
  await patch(path, [[Buffer.alloc(SECTOR_BYTES), OFFSETS.esp]])
}

/** Fills slot a with an ext4 that has the files of a bootstate partition in its root. */
export async function putImpostor(kit: LoaderKit, path: string): Promise<void> {
  const tree = join(kit.dir, 'impostor')
  mkdirSync(tree)
  writeFileSync(join(tree, 'env0'), Buffer.alloc(1024, '#'))
  writeFileSync(join(tree, 'grub.cfg'), 'echo "the impostor runs"\n')
  await patch(path, [[ext4(tree), OFFSETS.a]])
}

/** PARTS.a and PARTS.b on a disk after `makeMbrTable`. */
export const MBR_PARTS = { a: 'msdos2', b: 'msdos3' }

/** Replaces the GPT by an MBR with bootstate and the slots; the loader then lies in the gap before the first. */
export async function makeMbrTable(path: string): Promise<void> {
  const loader = await makeCoreImage(realHost(), loaderOptions('i386-pc'))
  const placed = embedCore(loader, { coreLba: 1, availableBytes: MIB - SECTOR_BYTES })
  const starts = [OFFSETS.bootstate, OFFSETS.a, OFFSETS.b].map((offset) => offset / SECTOR_BYTES)
  await patch(path, [[Buffer.alloc(OFFSETS.bootstate), 0]])
  execFileSync('sfdisk', ['--quiet', '--no-reread', '--wipe', 'never', path], {
    input: `label: dos\n${starts.map((start) => `start=${start}, size=2048, type=83\n`).join('')}`,
  })
  const script = testGrubCfg(false).replace(PARTS.a.part, MBR_PARTS.a).replace(PARTS.b.part, MBR_PARTS.b)
  await overwriteArea(path, 'grub.cfg', Buffer.from(script.padEnd(AREA['grub.cfg'].bytes, '\n')))
  await patch(path, [
    [placed.bootCode, 0],
    [placed.core, SECTOR_BYTES],
  ])
}
