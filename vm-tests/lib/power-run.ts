import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { StatusReport } from '../../src/agent/status.ts'
import { type Random, seededRandom } from '../../test/power-cut/random.ts'
import { copyDisk } from './commands.ts'
import { type LossyDisk, openLossyDisk } from './lossy-disk.ts'
import { type NbdServer, serveNbd } from './nbd-server.ts'
import { POWER_RELEASES, type PowerKit, VERSIONS } from './power-kit.ts'
import { CUT_POINTS, type CutPoint, phaseOf } from './power-phases.ts'
import { addCounts, emptyReport, type RunReport } from './power-report.ts'
import { type Guest, openStory, type Story, type StoryCounts } from './power-story.ts'
import { startVm, type Vm } from './qemu.ts'

export interface RunOptions {
  kit: PowerKit
  /** For disks and serial logs. */
  dir: string
  name: string
  kills: number
  seed: number
  bus: 'virtio' | 'scsi'
  /** Another disk than one that keeps what is flushed, to see that it is found out. */
  openDisk?: (path: string) => LossyDisk
  /** Told of each kill. */
  onKill?: (text: string) => void
}

/** qemu 7.2 without KVM garbles the flags after CMPXCHG16B; the kernel has no entropy before a minute without RDRAND. */
export const CPU = ['-cpu', 'qemu64,-cx16,+rdrand']
const BOOT_MS = 20 * 60_000
const COMMAND_MS = 30 * 60_000
/** How long a start with an update, the restart and the confirmation take, in boots. */
const CYCLE_BOOTS = 4.5
const FIRST_BOOT_MS = 20_000
const AT_POINT = 1 / 3

/**
 * Takes disks through the story, one after another, and cuts the power `kills` times; the last story then ends
 * undisturbed. The same seed makes the same choices, though the guest is never at the same place. Throws at the first
 * machine that breaks a promise; its disk and serial log stay.
 */
export async function runStories(options: RunOptions): Promise<RunReport> {
  const random = seededRandom(options.seed)
  const report = emptyReport()
  do {
    report.stories++
    addCounts(report, await runStory(options, random, report))
  } while (report.kills < options.kills)
  return report
}

interface Machine {
  path: string
  disk: LossyDisk
  server: NbdServer
}

async function runStory(options: RunOptions, random: Random, report: RunReport): Promise<StoryCounts> {
  const { kit, dir, name, openDisk = openLossyDisk } = options
  const path = join(dir, `${name}-${report.stories}.img`)
  copyDisk(kit.disk, path)
  const disk = openDisk(path)
  const server = await serveNbd(disk, `${path}.socket`)
  const story = openStory(kit, random)
  try {
    await tellStory({ ...options, machine: { path, disk, server }, story, random, report })
  } finally {
    await server.close()
    disk.close()
  }
  rmSync(path)
  return story.counts
}

interface Telling extends RunOptions {
  machine: Machine
  story: Story
  random: Random
  report: RunReport
}

/** From power-on to power-on, until one is not cut. */
async function tellStory(telling: Telling): Promise<void> {
  const { machine, story, random, report, name, seed } = telling
  let bootMs = FIRST_BOOT_MS
  for (let isOver = false; !isOver; ) {
    const cut = report.kills < telling.kills ? chooseCut(random, bootMs) : undefined
    const serialLog = join(telling.dir, `${name}-${report.stories}-${report.kills}.log`)
    const boot = await powerOn({ ...telling, serialLog, cut })
    if (boot.bootMs !== undefined) bootMs = boot.bootMs
    addCounts(report.loss, machine.disk.cut(random))
    isOver = !boot.isCut
    if (boot.isCut) {
      report.kills++
      report.phases.set(boot.phase, (report.phases.get(boot.phase) ?? 0) + 1)
      telling.onKill?.(`${name}: kill ${report.kills}, seed ${seed}: ${boot.phase}`)
    }
    await checkDisk(machine.path, story, serialLog)
  }
}

/** So many milliseconds after power-on, or after a text of the serial port. */
interface Cut {
  point: CutPoint | undefined
  delayMs: number
}

function chooseCut(random: Random, bootMs: number): Cut {
  if (!random.chance(AT_POINT)) return { point: undefined, delayMs: random.below(CYCLE_BOOTS * bootMs) }
  const point = CUT_POINTS[random.below(CUT_POINTS.length)]
  return { point, delayMs: random.below((point?.windowBoots ?? 1) * bootMs) }
}

interface PowerOn extends Telling {
  serialLog: string
  cut: Cut | undefined
}

interface PowerEnd {
  isCut: boolean
  phase: string
  /** Undefined where init did not come up. */
  bootMs: number | undefined
}

/** From power-on to the cut or to the end of the story. In both cases the power goes without a warning. */
async function powerOn({ kit, bus, machine, story, serialLog, cut }: PowerOn): Promise<PowerEnd> {
  story.powerOn()
  const start = performance.now()
  let bootMs: number | undefined
  let isCut = false
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  const cutIn = (delayMs: number): void => {
    timer ??= setTimeout(() => {
      if (isOver) return
      isCut = true
      machine.server.disconnect()
      void vm.kill()
    }, delayMs)
  }
  const vm: Vm = startVm({
    ...{ disk: machine.server.url, bus, restarts: true, serialLog },
    extraArgs: [...CPU, '-drive', `file=${kit.cargo},format=raw,if=virtio,readonly=on`],
    onOutput(output) {
      if (cut?.point?.pattern.test(output)) cutIn(cut.delayMs)
      if (bootMs === undefined && output.includes('<up>')) bootMs = performance.now() - start
    },
  })
  if (cut && cut.point === undefined) cutIn(cut.delayMs)
  try {
    await story.live(guestOf(vm))
  } catch (error) {
    if (!isCut) throw failed(error, serialLog)
  } finally {
    isOver = true
    clearTimeout(timer)
    machine.server.disconnect()
    await vm.kill()
  }
  const trouble = /Kernel panic|EXT4-fs error|needs repair|cannot start slot|nothing can be booted/.exec(
    vm.output(),
  )
  if (trouble) throw failed(trouble[0], serialLog)
  return { isCut, phase: phaseOf(vm.output()), bootMs }
}

export function guestOf(vm: Vm): Guest {
  return {
    up: async () => void (await vm.expect('<up>\n', BOOT_MS)),
    async ask(command) {
      vm.send(`${command}; echo "<done $?>"`)
      const seen = await vm.expect(/[\s\S]*?<done \d+>/, COMMAND_MS)
      const [, text = '', exit] = /^([\s\S]*)<done (\d+)>$/.exec(seen) ?? []
      return { exit: Number(exit), text: text.trim() }
    },
  }
}

/** What a disk holds right after a cut: the slot that boots next has, bit for bit, a release that may boot. */
async function checkDisk(path: string, story: Story, serialLog: string): Promise<void> {
  const status = await readStatus(path).catch((error: unknown) => {
    throw failed(error, serialLog)
  })
  const slot = status.slots.find((candidate) => candidate.slot === status.nextBoot)
  const release = POWER_RELEASES.find((name) => VERSIONS[name] === slot?.image?.version)
  const isAllowed = release !== undefined && story.mayBootNext().includes(release)
  if (isAllowed && slot?.verified === true) return
  throw failed(
    `after the cut the disk has ${JSON.stringify(status)}, ${story.mayBootNext()} may boot`,
    serialLog,
  )
}

async function readStatus(path: string): Promise<StatusReport> {
  const program = join(process.cwd(), 'dist/pine-update.cjs')
  const args = [program, 'status', '--disk', path, '--verify', '--json']
  // Also where it finds something wrong, which is in what it prints.
  const { stdout } = await promisify(execFile)(process.execPath, args).catch((error: unknown) => {
    if (error instanceof Error && 'stdout' in error && error.stdout) return { stdout: String(error.stdout) }
    throw error
  })
  return JSON.parse(stdout)
}

function failed(what: unknown, serialLog: string): Error {
  const text = what instanceof Error ? what.message : String(what)
  return new Error(`${text}\nserial log: ${serialLog}`, { cause: what })
}
