import { copyFileSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import type { StatusReport } from '../../src/agent/status.ts'
import { type Firmware, startVm, type Vm } from './qemu.ts'

const MINUTE_MS = 60_000
const BOOT_MS = 5 * MINUTE_MS
/** For one command; an apply reads and writes two images on an emulated processor. */
const COMMAND_MS = 8 * MINUTE_MS
const SECTOR_BYTES = 512

/** qemu 7.2 without KVM garbles the flags after CMPXCHG16B; a kernel that uses it dies of double faults. */
const CPU = ['-cpu', 'qemu64,-cx16']

export interface Answer {
  exit: number
  /** Standard output and error. */
  text: string
}

/** One boot of the server, from power-on to a restart. */
export interface Boot {
  /** Waits for the root prompt and for the verdict of the health service. */
  up(): Promise<void>
  type(command: string): Promise<Answer>
  /** The same, expected to succeed; resolves with what it printed. */
  ok(command: string): Promise<string>
  status(): Promise<StatusReport>
  /** Applies the bundle of this boot; more options in `options`. */
  apply(options: string): Promise<Answer>
  /** The same with `--reboot`; resolves when the machine restarts. */
  applyAndRestart(): Promise<void>
  /** Waits for the text on the serial port. */
  sees(text: string | RegExp): Promise<string>
  /** Waits until the machine restarts by itself. */
  restarts(): Promise<void>
  /** Asks it to. */
  reboot(): Promise<void>
  powerOff(): Promise<void>
}

export interface BootOptions {
  /** Lies on the second disk. */
  bundle?: string
  /** One more device, as qemu names it. */
  device?: string
  /** Default `bios`. */
  firmware?: Firmware
}

export interface Server {
  /** Power on. */
  boot(name: string, options?: BootOptions): Boot
  /** Ends what still runs. */
  stop(): Promise<void>
  /** One file for each boot. */
  readonly logs: readonly string[]
}

/** A server with that disk: 512 MiB, a serial port, no network. */
export function openServer(disk: string, dir: string): Server {
  const logs: string[] = []
  let running: Vm | undefined
  return {
    logs,
    boot(name, { bundle, device, firmware = 'bios' } = {}) {
      const serialLog = join(dir, `${logs.length + 1}-${name}.log`)
      logs.push(serialLog)
      const extraArgs = [
        ...CPU,
        ...(bundle === undefined ? [] : secondDisk(bundle, dir)),
        ...(device === undefined ? [] : ['-device', device]),
      ]
      const vm = startVm({ disk, firmware, serialLog, extraArgs })
      running = vm
      return openBoot(vm, bundle === undefined ? 0 : statSync(bundle).size)
    },
    stop: async () => running?.kill(),
  }
}

/** The bundle as a raw disk, filled up to whole sectors. */
function secondDisk(bundle: string, dir: string): string[] {
  const raw = join(dir, 'bundle.disk')
  copyFileSync(bundle, raw)
  truncateSync(raw, Math.ceil(statSync(bundle).size / SECTOR_BYTES) * SECTOR_BYTES)
  return ['-drive', `file=${raw},format=raw,if=virtio,readonly=on`]
}

function openBoot(vm: Vm, bundleBytes: number): Boot {
  let commands = 0

  async function type(command: string): Promise<Answer> {
    commands += 1
    // The typed line has a quote inside the marks, so only what the shell prints matches.
    const marks = [`<${commands}<`, `>${commands}>`]
    vm.send(`echo '<'${commands}'<'; { ${command}; } 2>&1; echo '>'${commands}'>' $?`)
    const seen = await vm.expect(new RegExp(`${marks[0]}\\r?\\n[^]*?${marks[1]} \\d+`), COMMAND_MS)
    const text = seen.replaceAll('\r', '')
    const end = text.lastIndexOf(marks[1] ?? '')
    return {
      exit: Number(text.slice(end).split(' ')[1]),
      text: text.slice(text.indexOf('\n') + 1, end).trim(),
    }
  }

  async function ok(command: string): Promise<string> {
    const { exit, text } = await type(command)
    if (exit !== 0) throw new Error(`"${command}" ended with ${exit}: ${text}`)
    return text
  }

  const applyLine = (options: string) => `head -c ${bundleBytes} /dev/vdb | pine-update apply - ${options}`

  async function restarts(): Promise<void> {
    const timer = setTimeout(() => void vm.kill(), BOOT_MS)
    const code = await vm.exited
    clearTimeout(timer)
    if (code !== 0)
      throw new Error(`qemu ended with ${code}, expected a restart; last lines:\n${vm.output().slice(-2000)}`)
  }

  return {
    type,
    ok,
    restarts,
    async up() {
      await vm.expect(/root@\w+:~# /, BOOT_MS)
      // Kernel messages would end up in the middle of what commands print.
      await ok('dmesg --console-off; stty cols 400')
      const state = 'systemctl show --value --property ActiveState pine-update-health'
      await ok(`until ${state} | grep -qxE 'active|failed'; do sleep 1; done`)
    },
    status: async () => JSON.parse(await ok('pine-update status --json')),
    apply: (options) => type(applyLine(options)),
    async applyAndRestart() {
      vm.send(applyLine('--reboot'))
      await restarts()
    },
    sees: (text) => vm.expect(text, BOOT_MS),
    async reboot() {
      vm.send('systemctl reboot')
      await restarts()
    },
    async powerOff() {
      vm.send('systemctl poweroff')
      await restarts()
    },
  }
}
