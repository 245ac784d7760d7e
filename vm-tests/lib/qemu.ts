import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as sleep } from 'node:timers/promises'

export type Firmware = 'bios' | 'uefi'

export interface VmOptions {
  /** Path of a raw disk image: the firmware's first disk, `/dev/vda` in the guest. It is written to. */
  disk: string
  /** Default `bios`. */
  firmware?: Firmware
  /** File with what UEFI firmware keeps, which is written to; without one each machine is a new one. */
  variables?: string | undefined
  /** Default 512. */
  memoryMiB?: number
  /** Further qemu arguments, such as a second `-drive`, `-netdev` or `-device`. */
  extraArgs?: readonly string[]
  /** File that receives every byte of the serial port. */
  serialLog: string
  /** How the host caches writes; default `writeback`. A killed qemu loses only what the guest did not send. */
  cache?: 'writeback' | 'writethrough' | 'unsafe'
  /** The disk refuses writes. */
  readOnly?: boolean
  /** What the disk hangs on; default `virtio`. With `scsi` it is `/dev/sda`, and firmware writes to its cache as well. */
  bus?: 'virtio' | 'scsi'
  /** A guest that reboots starts over in the same machine; else that ends qemu, with exit code 0. */
  restarts?: boolean
  /** Called with all serial output so far, whenever there is more. */
  onOutput?: (output: string) => void
  /** False for a machine without a serial port: nothing is seen of it but its exit code and its disk. */
  hasSerial?: boolean
}

/** A running virtual machine, seen through its first serial port. */
export interface Vm {
  /** Waits for text after the last match; resolves with what was matched. Throws when time is up or qemu ends. */
  expect(pattern: string | RegExp, timeoutMs: number): Promise<string>
  /** Types a line and Return. */
  send(line: string): void
  /** Resolves with qemu's exit code, null when it was killed. */
  readonly exited: Promise<number | null>
  /** A power cut: ends qemu at once and waits for it. */
  kill(): Promise<void>
  /** All serial output so far. */
  output(): string
}

/** OVMF without Secure Boot, of Debian's package ovmf; `PINE_OVMF` names another folder. */
const OVMF = process.env.PINE_OVMF ?? '/usr/share/OVMF'

/** Of a machine that was never started. */
export const EMPTY_VARIABLES = `${OVMF}/OVMF_VARS_4M.fd`

/** With pflash, not `-bios`: without a place for its variables OVMF writes them into a file on the disk. */
function firmwareArguments({ firmware = 'bios', variables }: VmOptions): string[] {
  if (firmware === 'bios') return []
  const code = `file=${OVMF}/OVMF_CODE_4M.fd,readonly=on`
  const kept = variables === undefined ? `file=${EMPTY_VARIABLES},snapshot=on` : `file=${variables}`
  return [code, kept].flatMap((flash) => ['-drive', `if=pflash,format=raw,${flash}`])
}

function qemuArguments(options: VmOptions): string[] {
  const serial = options.hasSerial === false ? 'none' : 'stdio'
  return [
    ...['-accel', 'tcg,thread=multi', '-m', String(options.memoryMiB ?? 512)],
    // Not -nographic: with it SeaBIOS mirrors its screen, and all of GRUB's, to the serial port.
    ...['-nodefaults', '-display', 'none', '-vga', 'std', '-monitor', 'none', '-serial', serial],
    ...(options.restarts ? [] : ['-no-reboot']),
    ...['-boot', 'strict=on'],
    ...firmwareArguments(options),
    ...diskArguments(options),
    ...(options.extraArgs ?? []),
  ]
}

function diskArguments({ disk, cache = 'writeback', readOnly, bus = 'virtio' }: VmOptions): string[] {
  const drive = [`file=${disk}`, 'format=raw', `cache=${cache}`, ...(readOnly ? ['readonly=on'] : [])]
  if (bus === 'virtio') return ['-drive', [...drive, 'if=virtio'].join(',')]
  const scsi = ['-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=disk,bootindex=0']
  return ['-drive', [...drive, 'if=none', 'id=disk'].join(','), ...scsi]
}

function indexAfter(text: string, pattern: string | RegExp, from: number): [string, number] | undefined {
  if (typeof pattern === 'string') {
    const at = text.indexOf(pattern, from)
    return at < 0 ? undefined : [pattern, at + pattern.length]
  }
  const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(text.slice(from))
  return match ? [match[0], from + match.index + match[0].length] : undefined
}

/** Starts qemu without waiting for anything. */
export function startVm(options: VmOptions): Vm {
  const child = spawn('qemu-system-x86_64', qemuArguments(options), { stdio: ['pipe', 'pipe', 'pipe'] })
  const killWithUs = () => void child.kill('SIGKILL')
  process.once('exit', killWithUs)
  const log = createWriteStream(options.serialLog)
  const decoder = new StringDecoder('utf8')
  let text = ''
  let cursor = 0
  let isOver = false
  let wake: () => void = () => {}
  const receive = (chunk: Buffer) => {
    text += decoder.write(chunk)
    log.write(chunk)
    options.onOutput?.(text)
    wake()
  }
  child.stdout.on('data', receive)
  child.stderr.on('data', receive)
  // Typing into a machine that just went away is no error of the test.
  child.stdin.on('error', () => {})
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const waitForEnd = async () => {
    try {
      return await closed
    } finally {
      isOver = true
      process.off('exit', killWithUs)
      log.end()
      await finished(log)
      wake()
    }
  }
  const exited = waitForEnd()
  exited.catch(() => {})

  const failure = (reason: string, pattern: string | RegExp) =>
    new Error(
      `${reason} before ${pattern} was seen; serial log ${options.serialLog}, last lines:\n${text.slice(-2000)}`,
    )

  return {
    async expect(pattern, timeoutMs) {
      const deadline = performance.now() + timeoutMs
      for (;;) {
        const found = indexAfter(text, pattern, cursor)
        if (found) {
          cursor = found[1]
          return found[0]
        }
        if (isOver) throw failure('qemu ended', pattern)
        const leftMs = deadline - performance.now()
        if (leftMs <= 0) throw failure(`${timeoutMs} ms passed`, pattern)
        const arrived = new Promise<void>((resolve) => {
          wake = resolve
        })
        const timer = new AbortController()
        await Promise.race([arrived, sleep(leftMs, undefined, { signal: timer.signal }).catch(() => {})])
        timer.abort()
      }
    },
    send: (line) => void child.stdin.write(`${line}\r`),
    exited,
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    output: () => text,
  }
}

export interface VmRun {
  output: string
  /** Null when the time was up and qemu was killed. */
  exitCode: number | null
}

/** Runs a machine until it reboots, powers off or leaves through isa-debug-exit, at most `timeoutMs`. */
export async function runVm(options: VmOptions, timeoutMs: number): Promise<VmRun> {
  const vm = startVm(options)
  const timer = setTimeout(() => void vm.kill(), timeoutMs)
  try {
    return { exitCode: await vm.exited, output: vm.output() }
  } finally {
    clearTimeout(timer)
  }
}
