import { join } from 'node:path'
import { distFolder } from '../host/assets.ts'
import type { Host } from '../host/host.ts'
import { type CoreImage, makeCoreImage } from './grub-core.ts'
import { makeEfiImage } from './grub-efi.ts'

/** GRUB for BIOS as the archive brings it; from a source tree it is made here. Throws `TOOL_MISSING`. */
export async function coreImage(host: Host): Promise<CoreImage> {
  const folder = join(distFolder(), 'loader')
  const [boot, core] = [
    await host.readFile(join(folder, 'boot.img')),
    await host.readFile(join(folder, 'core.img')),
  ]
  return boot !== undefined && core !== undefined ? { boot, core } : makeCoreImage(host)
}

/** GRUB for UEFI, likewise. Throws `TOOL_MISSING`. */
export async function efiProgram(host: Host): Promise<Buffer> {
  return (await host.readFile(join(distFolder(), 'loader', 'grubx64.efi'))) ?? makeEfiImage(host)
}
