import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CoreImage } from '../../src/boot/grub-core.ts'
import { openDevices } from '../faults/devices.ts'
import { MIB } from './gpt-disk.ts'

/**
 * A core as grub-install makes it for / on ext4 and an MBR; `config` runs before it looks for its menu, with these modules in
 * it. `scratch` is a new folder.
 */
export function debianCore(scratch: string, config = '', modules: readonly string[] = []): CoreImage {
  mkdirSync(scratch)
  const [script, core] = [join(scratch, 'early.cfg'), join(scratch, 'core.img')]
  writeFileSync(script, config)
  const all = ['biosdisk', 'part_msdos', 'ext2', ...modules]
  const where = ['-O', 'i386-pc', '-p', '(,msdos1)/boot/grub', '-c', script, '-o', core]
  execFileSync('grub-mkimage', [...where, ...all], { stdio: 'pipe' })
  return { boot: readFileSync('/usr/lib/grub/i386-pc/boot.img'), core: readFileSync(core) }
}

/**
 * Installs GRUB on a disk as Debian does, with grub-bios-setup and all that it adds to a core. `scratch` is a new folder. Needs
 * what `withoutDevices` looks for.
 */
export function installDebianGrub(disk: string, { boot, core }: CoreImage, scratch: string): void {
  mkdirSync(scratch)
  const [file, map] = [join(scratch, 'grub.ext4'), join(scratch, 'device.map')]
  const descriptor = openSync(file, 'w')
  ftruncateSync(descriptor, 8 * MIB)
  closeSync(descriptor)
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', file])
  const devices = openDevices()
  try {
    const folder = devices.ext4(join(scratch, 'grub'), file)
    writeFileSync(join(folder, 'boot.img'), boot)
    writeFileSync(join(folder, 'core.img'), core)
    const device = execFileSync('findmnt', ['-no', 'SOURCE', folder], { encoding: 'utf8' }).trim()
    writeFileSync(map, `(hd0) ${disk}\n(hd1) ${device}\n`)
    execFileSync('/usr/lib/grub/i386-pc/grub-bios-setup', ['-m', map, '-d', folder, '(hd0)'], {
      stdio: 'pipe',
    })
  } finally {
    devices.close()
  }
}
