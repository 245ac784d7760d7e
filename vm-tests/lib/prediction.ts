import { decodeEnvBlock } from '../../src/boot/env-block.ts'
import type { BootState, BootTarget } from '../../src/model/boot-state.ts'
import { type LoaderRun, simulateLoader } from '../../src/model/loader.ts'
import { canLoad, type LoaderCase } from '../loader-cases.ts'
import { saveVariables } from './grub-save.ts'

/** PARTUUIDs and partition numbers of the test disk. */
export const PARTS: Record<BootTarget | 'state', { part: string; partuuid: string }> = {
  a: { part: 'gpt3', partuuid: '0a000000-0000-4000-8000-00000000000a' },
  b: { part: 'gpt4', partuuid: '0b000000-0000-4000-8000-00000000000b' },
  r: { part: 'gpt5', partuuid: '0c000000-0000-4000-8000-00000000000c' },
  state: { part: 'gpt6', partuuid: '0d000000-0000-4000-8000-00000000000d' },
}
export const APPEND = 'console=ttyS0,115200n8 quiet'
/** The old system has a partition for /boot, and names its root in a way of its own. */
export const OLD_SYSTEM = {
  part: PARTS.r.part,
  kernel: '/vmlinuz-6.1.0-1-amd64',
  initrd: '/initrd.img-6.1.0-1-amd64',
  arguments: 'root=UUID=0c000000-0000-4000-8000-0000000000cc ro net.ifnames=0 console=tty0',
}

/** What one boot comes to, as bytes on disk and a kernel command line. */
export interface Boot {
  /** Null where no kernel is started. */
  cmdline: string | null
  env0: Buffer
  env1: Buffer
}

export interface Prediction extends Boot {
  run: LoaderRun
}

/** Variables that the loader saves, in its order. */
export function savedVariables({ next, slots, rearms, last }: BootState): [string, string][] {
  return [
    ['next', next ?? '-'],
    ['a_left', String(slots.a.left)],
    ['b_left', String(slots.b.left)],
    ['rearm', String(rearms)],
    ['last', last ?? '-'],
  ]
}

function eight(value: number): string {
  return String(value).padStart(8, '0')
}

function cmdlineOf(copy: '0' | '1' | 'none', state: BootState | undefined, run: LoaderRun): string | null {
  if (run.pick === null) return null
  const { part, partuuid } = PARTS[run.pick]
  const ends = `pine.seq=${eight(state?.sequence ?? 0)} pine.st=${copy} pine.state=PARTUUID=${PARTS.state.partuuid}`
  if (run.pick === 'r') {
    const { kernel, arguments: words } = OLD_SYSTEM
    return `BOOT_IMAGE=(hd0,${part})${kernel} ${words} panic=10 pine.slot=r ${ends}`
  }
  const root = `BOOT_IMAGE=(hd0,${part})/boot/vmlinuz root=PARTUUID=${partuuid} ro panic=10`
  const rest = `${ends} ${APPEND}`
  const from = run.pick === 'a' ? 'b' : 'a'
  const generation = (slot: 'a' | 'b') => eight(state?.slots[slot].generation ?? 0)
  const slot = `pine.slot=${run.pick} pine.gen=${generation(run.pick)} pine.from=${from}.${generation(from)}`
  const other = `pine.other=PARTUUID=${PARTS[from].partuuid}`
  return `${root} oops=panic softlockup_panic=1 ${slot} ${other} pine.left=${run.left} ${rest}`
}

/** What the model, or another `simulate`, says of a case. */
export function predict(loaderCase: LoaderCase, simulate = simulateLoader): Prediction {
  const env0 = decodeEnvBlock(loaderCase.env0)
  const used = env0 === undefined ? 'env1' : 'env0'
  const state = env0 ?? decodeEnvBlock(loaderCase.env1)
  const copy = state === undefined ? 'none' : used === 'env0' ? '0' : '1'
  const save = (values: BootState) => saveVariables(loaderCase[used], savedVariables(values))
  const canSave = state !== undefined && !loaderCase.readOnly && save(state) !== undefined
  const run = simulate(state, (target) => canLoad(loaderCase, target), canSave)
  const after = run.after === undefined || run.after === state ? undefined : save(run.after)
  const copies = { env0: loaderCase.env0, env1: loaderCase.env1, ...(after && { [used]: after }) }
  return { run, cmdline: cmdlineOf(copy, state, run), ...copies }
}

/** Where two boots differ, in words; empty where they agree. */
export function differences(expected: Boot, found: Boot): string[] {
  const lines: string[] = []
  if (expected.cmdline !== found.cmdline) {
    lines.push(`cmdline: expected ${expected.cmdline}\n           found ${found.cmdline}`)
  }
  for (const name of ['env0', 'env1'] as const) {
    if (expected[name].equals(found[name])) continue
    const text = (block: Buffer) => JSON.stringify(block.toString('latin1').replace(/#+$/, ''))
    lines.push(`${name}: expected ${text(expected[name])}\n         found ${text(found[name])}`)
  }
  return lines
}
