import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Firmware, startVm, type Vm } from './qemu.ts'

export interface Answer {
  exit: number
  text: string
}

/** A machine that is reached over ssh and in no other way. */
export interface RentedBox {
  /** The power goes, for good. */
  kill(): Promise<void>
  /** It is told to switch itself off, and does. */
  powerOff(): Promise<void>
  /** Waits until somebody can log in, and the system is the one in which `command` succeeds. */
  isUp(command: string, timeoutMs?: number): Promise<void>
  /** The same after a restart that has been asked for, or that will come. */
  isUpAgain(command: string, asked: () => Promise<unknown>): Promise<void>
  ssh(command: string): Promise<Answer>
  /** The same, expected to succeed; resolves with what it printed. */
  ok(command: string): Promise<string>
}

export interface BoxOptions {
  /** Path, or address of a server of blocks. */
  disk: string
  firmware: Firmware
  variables: string | undefined
  /** Of root. */
  key: string
  /** A disk that is not ours, with what is copied to the machine. */
  cargo: string
  dir: string
  name: string
  memoryMiB: number
}

/** See power-run.ts. */
const CPU = ['-cpu', 'qemu64,-cx16,+rdrand']
const BOOT_ID = '/proc/sys/kernel/random/boot_id'
const UP_MS = 12 * 60_000
const MOST_BYTES = 2 ** 26
const COMMAND_MS = 20 * 60_000

/** The host key that is seen first must be seen ever after. */
export async function startBox(options: BoxOptions): Promise<RentedBox> {
  const { disk, firmware, variables, key, cargo, dir, name, memoryMiB } = options
  const port = await freePort()
  const network = [
    '-netdev',
    `user,id=net,hostfwd=tcp:127.0.0.1:${port}-:22`,
    '-device',
    'virtio-net-pci,netdev=net',
  ]
  const second = ['-drive', `file=${cargo},format=raw,if=virtio,readonly=on`]
  let [starts, isOver] = [0, false]
  // Each restart is a new qemu: a kernel that is started by a reset of the emulated machine now and then hangs.
  const start = (): Vm => {
    starts++
    const started = startVm({
      ...{ disk, firmware, variables, memoryMiB, serialLog: join(dir, `${name}-${starts}.log`) },
      extraArgs: [...CPU, ...network, ...second],
    })
    const startAgain = (code: number | null): void => {
      if (!isOver && code === 0) vm = start()
    }
    // Whoever waits for the machine learns why it did not start.
    void started.exited.then(startAgain, () => undefined)
    return started
  }
  let vm = start()
  const known = [`-oUserKnownHostsFile=${join(dir, 'known_hosts')}`, '-oStrictHostKeyChecking=accept-new']
  const how = ['-i', key, '-p', String(port), '-oBatchMode=yes', '-oConnectTimeout=10', '-oLogLevel=ERROR']
  const ssh = (command: string) => run('ssh', [...how, ...known, 'root@127.0.0.1', command])

  async function isUp(command: string, timeoutMs = UP_MS): Promise<void> {
    const until = performance.now() + timeoutMs
    for (;;) {
      const { exit, text } = await ssh(command)
      if (exit === 0) return
      if (performance.now() > until) throw new Error(`"${command}" in vain on ${name}: ${text}`)
      await sleep(2000)
    }
  }

  async function isUpAgain(command: string, asked: () => Promise<unknown>): Promise<void> {
    const boot = await ok(`cat ${BOOT_ID}`)
    await asked()
    await isUp(`test "$(cat ${BOOT_ID})" != ${boot} && ${command}`)
  }

  async function ok(command: string): Promise<string> {
    const { exit, text } = await ssh(command)
    if (exit !== 0) throw new Error(`"${command}" ended with ${exit}: ${text}`)
    return text
  }
  async function kill(): Promise<void> {
    isOver = true
    await vm.kill()
  }

  async function powerOff(): Promise<void> {
    isOver = true
    await ssh('systemctl poweroff')
    await vm.exited
  }
  return { kill, powerOff, isUp, isUpAgain, ssh, ok }
}

async function run(command: string, args: readonly string[]): Promise<Answer> {
  try {
    const options = { timeout: COMMAND_MS, maxBuffer: MOST_BYTES }
    const { stdout, stderr } = await promisify(execFile)(command, args, options)
    return { exit: 0, text: (stdout + stderr).trim() }
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string }
    return { exit: typeof code === 'number' ? code : -1, text: `${stdout ?? ''}${stderr ?? ''}`.trim() }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
