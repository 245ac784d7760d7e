import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { AREA, formatBootstate } from '../../src/boot/bootstate-area.ts'
import { decodeEnvBlock } from '../../src/boot/env-block.ts'
import { type CoreImage, embedCore, makeCoreImage } from '../../src/boot/grub-core.ts'
import { makeEfiImage } from '../../src/boot/grub-efi.ts'
import { makeEfiPartition } from '../../src/boot/grub-efi-partition.ts'
import { type BootFiles, type GrubCfgValues, renderGrubCfg } from '../../src/boot/grub-script.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { initialBootState } from '../../src/model/boot-state.ts'
import { BOOTSTATE_BYTES } from '../../src/model/layout.ts'

function withFile<T>(content: Uint8Array, use: (path: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'pine-area-'))
  try {
    writeFileSync(join(dir, 'file'), content)
    return use(join(dir, 'file'))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const TEMPLATE = readFileSync(join(import.meta.dirname, '../../src/system/grub.cfg'), 'utf8')
const values: GrubCfgValues = {
  a: { part: 'gpt4', partuuid: '0a' },
  b: { part: 'gpt5', partuuid: '0b' },
  statePartuuid: '0d',
  append: 'console=ttyS0,115200n8 quiet',
  sleepSeconds: 30,
}

describe('grub.cfg', () => {
  test('every placeholder is filled', () => {
    const script = renderGrubCfg(TEMPLATE, values)
    expect(script).not.toMatch(/@[a-z_]+@/)
    expect(script).toContain('root=PARTUUID=0b ro')
    expect(script).toContain('set part="gpt4"')
    expect(script).toContain('sleep 30\nreboot\n')
    expect(Buffer.byteLength(script)).toBeLessThan(AREA['grub.cfg'].bytes / 2)
  })

  const OLD: BootFiles = {
    part: 'msdos1',
    kernel: '/vmlinuz-6.1.0-1-amd64',
    initrd: '/initrd.img-6.1.0-1-amd64',
    arguments: 'root=UUID=0c-0d ro quiet net.ifnames=0',
  }

  test('the old system is left empty, or started as it starts itself', () => {
    expect(renderGrubCfg(TEMPLATE, values)).toContain('set arguments=" panic=10 pine.slot=r"')
    const script = renderGrubCfg(TEMPLATE, { ...values, r: OLD })
    expect(script).toContain('set part="msdos1"')
    expect(script).toContain('set kernel="/vmlinuz-6.1.0-1-amd64"')
    expect(script).toContain('set initrd="/initrd.img-6.1.0-1-amd64"')
    expect(script).toContain('set arguments="root=UUID=0c-0d ro quiet net.ifnames=0 panic=10 pine.slot=r"')
    execFileSync('grub-script-check', { input: script })
  })

  test.each<[string, Partial<BootFiles>]>([
    ['r_part', { part: 'hd0' }],
    ['r_part', { part: '' }],
    ['r_kernel', { kernel: '' }],
    ['r_kernel', { kernel: 'vmlinuz' }],
    ['r_kernel', { kernel: '/boot/vmlinuz 6' }],
    ['r_kernel', { kernel: '/boot/vmlinuz"; halt; "' }],
    ['r_initrd', { initrd: '/boot/' }],
    ['r_initrd', { initrd: '/initrd.img\n' }],
    ['r_initrd', { initrd: '/$root/initrd.img' }],
    ['r_arguments', { arguments: 'ds=nocloud;s=http://host/' }],
    ['r_arguments', { arguments: 'dyndbg="file x +p"' }],
    ['r_arguments', { arguments: 'quiet\nhalt' }],
  ])('%s of the old system is checked: %j', (name, edit) => {
    expect(() => renderGrubCfg(TEMPLATE, { ...values, r: { ...OLD, ...edit } })).toThrow(
      `${name} of grub.cfg`,
    )
  })

  test('is what GRUB’s own parser accepts', () => {
    execFileSync('grub-script-check', { input: renderGrubCfg(TEMPLATE, values) })
    expect(() =>
      execFileSync('grub-script-check', { input: 'if [', stdio: ['pipe', 'ignore', 'ignore'] }),
    ).toThrow()
  })

  test('an unknown and a missing placeholder are found', () => {
    expect(() => renderGrubCfg(`${TEMPLATE}@surprise@`, values)).toThrow('@surprise@')
    expect(() => renderGrubCfg(TEMPLATE.replace(/@append@/, ''), values)).toThrow('no place for: append')
  })

  test.each(['a"b', "a'b", 'a;b', 'a$b', 'a\\b', 'a{b}', 'a#b', 'a\nb', 'a*', 'a|b', 'a`b`', 'ä'])(
    'kernel arguments with %j are refused',
    (append) => expect(() => renderGrubCfg(TEMPLATE, { ...values, append })).toThrow('append'),
  )

  test('other values are checked as well', () => {
    const a = (part: string, partuuid: string) => ({ ...values, a: { part, partuuid } })
    expect(() => renderGrubCfg(TEMPLATE, a('gpt4"', '0a'))).toThrow('a_part')
    expect(() => renderGrubCfg(TEMPLATE, a('gpt4', '0a init=/bin/sh'))).toThrow('a_partuuid')
    expect(() => renderGrubCfg(TEMPLATE, { ...values, statePartuuid: '' })).toThrow('state_partuuid')
    expect(() => renderGrubCfg(TEMPLATE, { ...values, sleepSeconds: 1.5 })).toThrow('sleep_seconds')
  })
})

describe('the bootstate area', () => {
  const state = initialBootState('a')
  const area = formatBootstate({ state, grubCfg: 'reboot\n' })

  test('is a tar stream with the members at their places', () => {
    expect(area.length).toBe(BOOTSTATE_BYTES)
    const listed = withFile(area, (file) =>
      execFileSync('tar', ['--list', '--verbose', '--block-number', '--file', file], { encoding: 'utf8' }),
    )
    for (const [name, { offset, bytes }] of Object.entries(AREA)) {
      expect(offset % 4096).toBe(0)
      expect(listed).toMatch(new RegExp(`^block ${offset / 512 - 1}: .* ${bytes} .* ${name}$`, 'm'))
    }
  })

  test('holds both copies and the script, filled up with newlines', () => {
    for (const { offset, bytes } of [AREA.env0, AREA.env1]) {
      expect(decodeEnvBlock(area.subarray(offset, offset + bytes))).toEqual(state)
    }
    const { offset, bytes } = AREA['grub.cfg']
    expect(area.subarray(offset, offset + bytes).toString()).toBe('reboot\n'.padEnd(bytes, '\n'))
  })

  test('refuses a script that does not fit', () => {
    expect(() => formatBootstate({ state, grubCfg: '#'.repeat(32769) })).toThrow('at most 32768 fit')
  })
})

describe('the core image', () => {
  let image: CoreImage
  beforeAll(async () => {
    image = await makeCoreImage(realHost())
  })
  const place = { coreLba: 2048, availableBytes: 1024 * 1024 }

  test('is whole sectors, well within a bios-boot partition of 1 MiB, and the same each time', async () => {
    expect(image.boot.length).toBe(512)
    expect(image.core.length % 512).toBe(0)
    expect(image.core.length).toBeLessThan(512 * 1024)
    expect((await makeCoreImage(realHost())).core.equals(image.core)).toBe(true)
  })

  test('is told where it lies', () => {
    const { bootCode, core } = embedCore(image, place)
    expect(bootCode.length).toBe(440)
    expect(bootCode.readBigUInt64LE(0x5c)).toBe(2048n)
    expect(bootCode.readUInt16BE(0x66)).toBe(0x9090)
    expect(core.readBigUInt64LE(0x1f4)).toBe(2049n)
    expect(core.readUInt16LE(0x1fc)).toBe(core.length / 512 - 1)
    expect(core.readUInt16LE(0x1fe)).toBe(0x820)
    // Nothing but the block list differs, and the image itself can be placed again.
    expect(core.subarray(512).equals(image.core.subarray(512))).toBe(true)
    expect(core.subarray(0, 0x1f4).equals(image.core.subarray(0, 0x1f4))).toBe(true)
    expect(image.core.readBigUInt64LE(0x1f4)).not.toBe(2049n)
  })

  test('is refused where it does not fit', () => {
    const placeIn = (availableBytes: number) => () => embedCore(image, { ...place, availableBytes })
    expect(placeIn(image.core.length)).not.toThrow()
    expect(placeIn(image.core.length - 1)).toThrow('the bios-boot partition has')
  })

  test('a machine without GRUB’s files is told what to install', async () => {
    const made = makeCoreImage(realHost(), { modulesDir: '/nonexistent' })
    await expect(made).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      hint: expect.stringContaining('grub-pc-bin'),
    })
  })
})

describe('the EFI system partition', () => {
  const host = realHost()
  const bytes = 33 * 1024 * 1024
  let program: Buffer
  let content: Buffer
  beforeAll(async () => {
    program = await makeEfiImage(host)
    content = await makeEfiPartition(host, program, bytes)
  })
  const onDisk = () => Buffer.concat([content, Buffer.alloc(bytes - content.length)])

  test('is a sound FAT32, though only its start is given', () => {
    expect(content.length).toBeLessThan(4 * 1024 * 1024)
    const checked = withFile(onDisk(), (file) =>
      execFileSync('fsck.vfat', ['-n', '-v', file], { encoding: 'utf8' }),
    )
    expect(checked).toContain('2 FATs, 32 bit entries')
    expect(checked).toMatch(/: 3 files, \d+\/66512 clusters/)
  })

  test('holds the loader where firmware looks for it', () => {
    const found = withFile(onDisk(), (file) =>
      execFileSync('mtype', ['-i', file, '::/EFI/BOOT/BOOTX64.EFI'], { maxBuffer: bytes }),
    )
    expect(found.equals(program)).toBe(true)
    // A PE program for x86-64, without a signature: UEFI 2.10 §2.1.1.
    expect(program.toString('latin1', 0, 2)).toBe('MZ')
    const header = program.readUInt32LE(0x3c)
    expect(program.toString('latin1', header, header + 4)).toBe('PE\0\0')
    expect(program.readUInt16LE(header + 4)).toBe(0x8664)
  })

  test('has the same bytes at any time, anywhere, whatever mtools are set up to do', async () => {
    const elsewhere: Host = {
      ...host,
      exec: (command, args, options) => {
        const env = { SOURCE_DATE_EPOCH: '1', TZ: 'Asia/Tokyo', MTOOLSRC: '/nonexistent', ...options?.env }
        return host.exec(command, args, { ...options, env })
      },
    }
    // FAT counts in steps of two seconds.
    await host.sleep(2100)
    expect((await makeEfiPartition(elsewhere, await makeEfiImage(elsewhere), bytes)).equals(content)).toBe(
      true,
    )
  })

  test('a machine without GRUB’s files is told what to install', async () => {
    const made = makeEfiImage(host, { modulesDir: '/nonexistent' })
    await expect(made).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      hint: expect.stringContaining('grub-efi-amd64-bin'),
    })
  })
})
