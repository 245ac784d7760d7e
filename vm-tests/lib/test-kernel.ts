import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Exit code of qemu once the test kernel has run; GRUB's own reboot gives 0. */
export const TEST_KERNEL_EXIT = 99
export const TEST_KERNEL_DEVICE = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4']

/** Assembles test-kernel.S in `dir`. Needs binutils. */
export function buildTestKernel(dir: string): Buffer {
  const object = join(dir, 'test-kernel.o')
  const image = join(dir, 'test-kernel')
  execFileSync('as', ['--32', '-o', object, join(import.meta.dirname, 'test-kernel.S')])
  execFileSync('ld', ['-m', 'elf_i386', '-Ttext', '0', '--oformat', 'binary', '-o', image, object])
  return readFileSync(image)
}

/** What a test kernel printed. */
export interface KernelReport {
  hasInitrd: boolean
  cmdline: string
}

/** Undefined where no kernel was started. */
export function parseKernelReport(serial: string): KernelReport | undefined {
  const [, initrd, cmdline] = /<test-kernel initrd=([01]) cmdline=(.*?)>/.exec(serial) ?? []
  return cmdline === undefined ? undefined : { hasInitrd: initrd === '1', cmdline }
}
