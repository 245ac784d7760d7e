import type { Region } from '../core/region.ts'
import type { BootState } from '../model/boot-state.ts'
import { BOOTSTATE_BYTES } from '../model/layout.ts'
import { encodeEnvBlock } from './env-block.ts'

/**
 * Where each member's payload is. The bootstate partition is a ustar stream, because GRUB's tar driver can rewrite a
 * member in place, and any `tar` can list it. Every payload starts on a 4096-byte boundary (one physical sector);
 * headers are written once, here.
 */
export const AREA = {
  env0: { offset: 4096, bytes: 1024 },
  env1: { offset: 8192, bytes: 1024 },
  'grub.cfg': { offset: 16384, bytes: 32768 },
  meta0: { offset: 65536, bytes: 65536 },
  meta1: { offset: 196608, bytes: 65536 },
  log: { offset: 327680, bytes: 262144 },
} as const

export type AreaName = keyof typeof AREA

const AREA_NAMES = [
  'env0',
  'env1',
  'grub.cfg',
  'meta0',
  'meta1',
  'log',
] as const satisfies readonly AreaName[]
const BLOCK_BYTES = 512

/** One header. POSIX.1-2001 pax, "ustar Interchange Format". */
function tarHeader(name: string, bytes: number): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`
  header.write(name, 0, 'latin1')
  header.write(octal(0o644, 7), 100, 'latin1')
  header.write(octal(0, 7), 108, 'latin1')
  header.write(octal(0, 7), 116, 'latin1')
  header.write(octal(bytes, 11), 124, 'latin1')
  header.write(octal(0, 11), 136, 'latin1')
  header.write('        0', 148, 'latin1')
  header.write('ustar\u000000', 257, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

/** Headers and padding members only; the two zero blocks that end a tar stream are the zeros after the last member. */
function emptyArea(): Buffer {
  const area = Buffer.alloc(BOOTSTATE_BYTES)
  let end = 0
  for (const [index, name] of AREA_NAMES.entries()) {
    const { offset, bytes } = AREA[name]
    const padBytes = offset - end - 2 * BLOCK_BYTES
    tarHeader(`pad${index}`, padBytes).copy(area, end)
    tarHeader(name, bytes).copy(area, offset - BLOCK_BYTES)
    end = offset + bytes
  }
  return area
}

/** The loader's script as it lies on disk, filled up with newlines. Throws where it does not fit. */
export function encodeGrubCfg(text: string): Buffer {
  const { bytes } = AREA['grub.cfg']
  const script = Buffer.from(text)
  if (script.length > bytes) throw new Error(`grub.cfg has ${script.length} bytes, at most ${bytes} fit`)
  return Buffer.concat([script, Buffer.alloc(bytes - script.length, '\n')])
}

/** A whole fresh bootstate partition, 1 MiB: both copies of `state`, the script, no records and an empty log. */
export function formatBootstate(content: { state: BootState; grubCfg: string }): Buffer {
  const area = emptyArea()
  encodeEnvBlock(content.state).copy(area, AREA.env0.offset)
  encodeEnvBlock(content.state).copy(area, AREA.env1.offset)
  encodeGrubCfg(content.grubCfg).copy(area, AREA['grub.cfg'].offset)
  return area
}

/** True where a region has our layout, whatever its members hold. */
export async function isBootstateArea(region: Region): Promise<boolean> {
  if (region.bytes < BOOTSTATE_BYTES) return false
  const header = Buffer.alloc(BLOCK_BYTES)
  await region.read(header, AREA.env0.offset - BLOCK_BYTES)
  return header.equals(tarHeader('env0', AREA.env0.bytes))
}
