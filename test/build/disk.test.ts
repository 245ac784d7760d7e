import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildDisk, type DiskRequest } from '../../src/build/disk.ts'
import type { OpenRegion } from '../../src/core/region.ts'
import type { Host } from '../../src/host/host.ts'
import { makeHost, openWorkshop, type Workshop } from '../support/cli.ts'

const MIB = 1024 * 1024
const DISK_BYTES = 64 * MIB
const ESP = { offset: MIB, bytes: 33 * MIB }
const FOR_UEFI = 'name=esp, size=33MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B'

let shop: Workshop

/** The workshop's layout with esp in place of bios-boot, and one with both. */
beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  const forBios = readFileSync(shop.path('layout.sfdisk'), 'utf8')
  writeFileSync(shop.path('uefi.sfdisk'), forBios.replace(/^name=bios-boot.*$/m, FOR_UEFI))
  writeFileSync(shop.path('both.sfdisk'), `${forBios.trimEnd()}, size=1MiB\n${FOR_UEFI}\n`)
})
afterEach(() => shop.close())

const build = (layout: string, out: string): string =>
  `disk build --layout @${layout}.sfdisk --size 64M --image @1.0.img --compatible test --release 1.0 --out @${out}`

function espOf(name: string): Buffer {
  return readFileSync(shop.path(name)).subarray(ESP.offset, ESP.offset + ESP.bytes)
}

describe('a disk for UEFI', () => {
  test('says what is where, holds the loader for UEFI alone, and is then a disk like any other', async () => {
    const { stdout } = await shop.ok(build('uefi', 'uefi.img'))
    expect(stdout).toMatch(/1 {2}esp +33\.0 MiB .* the loader \(GRUB\) for UEFI\n {2}2 {2}bootstate/)
    expect(
      readFileSync(shop.path('uefi.img'))
        .subarray(0, 440)
        .every((byte) => byte === 0),
    ).toBe(true)
    const files = execFileSync('mdir', ['-b', '-/', '-i', `${shop.path('uefi.img')}@@${ESP.offset}`, '::'])
    expect(String(files)).toContain('::/EFI/BOOT/BOOTX64.EFI')
    const { slots, nextBoot } = (await shop.ok('status --json --disk @uefi.img')).json()
    expect(nextBoot).toBe('a')
    expect(slots[0]).toMatchObject({ condition: 'confirmed', image: { version: '1.0' } })
  })

  test('has the same loader each time', async () => {
    await shop.ok(build('uefi', 'one.img'))
    await shop.ok(build('uefi', 'two.img'))
    expect(espOf('one.img').equals(espOf('two.img'))).toBe(true)
  })

  test('and for BIOS has both loaders', async () => {
    const { stdout } = await shop.ok(build('both', 'both.img'))
    expect(stdout).toMatch(/bios-boot .* for BIOS\n(.*\n)*.*esp .* for UEFI/)
    expect(readFileSync(shop.path('both.img')).readUInt16LE(0x66)).toBe(0x9090)
  })
})

describe('what firmware looks for is written last', () => {
  interface Done {
    /** Undefined: a flush. */
    write?: { offset: number; bytes: Buffer }
  }

  /** A host that remembers what it wrote to the target as a whole. */
  function watched(target: string): { host: Host; done: Done[] } {
    const done: Done[] = []
    const watch = (region: OpenRegion): OpenRegion => ({
      ...region,
      write: (bytes, offset) => {
        done.push({ write: { offset, bytes: Buffer.from(bytes) } })
        return region.write(bytes, offset)
      },
      flush: () => {
        done.push({})
        return region.flush()
      },
    })
    const openRegion: Host['openRegion'] = async (path, options) => {
      const region = await shop.host.openRegion(path, options)
      return path === target && options?.offset === undefined ? watch(region) : region
    }
    return { host: { ...shop.host, openRegion }, done }
  }

  test.each(['uefi', 'both'])('%s', async (layout) => {
    const target = shop.path('old.img')
    // The disk held something that boots, at the same places.
    writeFileSync(target, Buffer.alloc(DISK_BYTES, 0xeb))
    const { host, done } = watched(target)
    const { partitions } = await buildDisk(host, await requestFor(layout, target), () => undefined)
    const esp = partitions.esp?.offset ?? 0
    const starts = layout === 'both' ? [0, esp] : [esp]

    // All the rest is on the disk, then come these, each within one sector.
    const last = done.slice(-starts.length - 2)
    expect(last.map(({ write }) => write?.offset)).toEqual([undefined, ...starts, undefined])
    expect(last.every(({ write }) => (write?.bytes.length ?? 0) <= 512)).toBe(true)
    // Until then firmware finds nothing to start, neither new nor old.
    const earlier = done.slice(0, -last.length).flatMap(({ write }) => write ?? [])
    for (const place of [0, esp]) {
      const there = earlier.filter(({ offset, bytes }) => offset <= place && place < offset + bytes.length)
      expect(there.length).toBeGreaterThan(0)
      expect(there.every(({ bytes }) => bytes.every((byte) => byte === 0))).toBe(true)
    }
  })
})

describe('a machine that lacks a program', () => {
  const PROGRAMS = ['sfdisk', 'tar', 'grub-mkimage', 'mkfs.vfat', 'mmd', 'mcopy', 'mkswap', 'mke2fs']

  /** This machine, with just these programs. */
  function hostWith(programs: readonly string[]): Host {
    mkdirSync(shop.path('bin'))
    for (const name of programs) {
      const found = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
      symlinkSync(found, shop.path(`bin/${name}`))
    }
    const exec: Host['exec'] = (command, args, options) =>
      shop.host.exec(command, args, { ...options, env: { ...options?.env, PATH: shop.path('bin') } })
    return { ...shop.host, exec }
  }

  test('has these', async () => {
    const target = shop.path('new.img')
    await shop.host.createSparse(target, DISK_BYTES)
    await buildDisk(hostWith(PROGRAMS), await requestFor('uefi', target), () => undefined)
  })

  test.each([
    ['mkfs.vfat', 'dosfstools mtools'],
    ['mmd', 'mtools'],
    ['mcopy', 'mtools'],
    ['grub-mkimage', 'grub-common'],
  ])('%s: is told what to install, and the disk keeps what it has', async (name, packages) => {
    const target = shop.path('kept.img')
    writeFileSync(target, Buffer.alloc(DISK_BYTES, 0xeb))
    const host = hostWith(PROGRAMS.filter((program) => program !== name))
    const built = buildDisk(host, await requestFor('uefi', target), () => undefined)
    await expect(built).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      hint: `install it: apt-get install ${packages}`,
    })
    expect(readFileSync(target).every((byte) => byte === 0xeb)).toBe(true)
  })
})

async function requestFor(layout: string, target: string): Promise<DiskRequest> {
  const script = readFileSync(shop.path(`${layout}.sfdisk`), 'utf8')
  const origin = { image: shop.path('1.0.img') }
  const content = { layout: script, origin, workDir: shop.dir, target, diskBytes: DISK_BYTES }
  return { ...content, compatible: 'test', version: '1.0', epoch: 0, append: '' }
}
