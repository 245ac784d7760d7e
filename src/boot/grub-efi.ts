import type { Host } from '../host/host.ts'
import { type GrubImageOptions, type GrubPlatform, makeGrubImage } from './grub-image.ts'

// What is printed goes where the firmware prints: a screen, a serial port, or both. GRUB's own serial driver would
// print everything there a second time. efi_gop: without it the kernel is not told of the screen.
const UEFI: GrubPlatform = {
  format: 'x86_64-efi',
  packages: 'grub-efi-amd64-bin grub-common dosfstools mtools',
  modules: ['efi_gop'],
  console: '',
}

/** Makes GRUB for UEFI: one program, for any disk. It is not signed. Throws `TOOL_MISSING`. */
export function makeEfiImage(host: Host, options: GrubImageOptions = {}): Promise<Buffer> {
  return makeGrubImage(host, UEFI, options)
}
