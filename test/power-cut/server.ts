import { setFlagsFromString } from 'node:v8'
import { main } from '../../src/cli/program.ts'
import type { Host } from '../../src/host/host.ts'
import type { SlotName } from '../../src/model/boot-state.ts'
import type { Role } from '../../src/model/layout.ts'
import { type Disk, type Piece, writePiece } from './disk.ts'
import { type Fixture, versionIn } from './fixture.ts'
import { startLoader } from './loader.ts'
import { type Recording, recordFlush, recordWrite, startRecording } from './recording.ts'
import { once, type Running, runningHost } from './running-host.ts'

/** What releases do once they were started, by version; default: each is healthy. */
export type Behaviours = Readonly<Record<string, 'unhealthy' | 'panics'>>

export interface ServerOptions extends Pick<Running, 'twist'> {
  readonly fixture: Fixture
  /** Taken over: the server writes to it. */
  readonly disk: Disk
  readonly behaviour?: Behaviours | undefined
}

/** A server that runs from a disk in memory: the loader's model, and the real command line. */
export interface Server {
  readonly disk: Disk
  readonly host: Host
  /** What went wrong for good, in words; empty where nothing did. */
  readonly problems: string[]
  /** Versions that were started, in order. */
  readonly started: string[]
  /** What releases do from now on. */
  behave(behaviour: Behaviours): void
  /** From here on every write and flush is recorded. */
  record(): Recording
  stopRecording(): void
  /** One start, as the loader does it; the version that is started, `torn` where it is none that was ever whole. */
  boot(): string | null
  /** Starts it until it stays up: each release has its behaviour, and the health service its say. */
  live(): Promise<void>
  /** Runs one command line; throws where it does not end with `exit`. */
  pine(line: string, exit?: number): Promise<string>
}

interface State extends ServerOptions {
  readonly problems: string[]
  readonly started: string[]
  behaviour: Behaviours
  recording: Recording | undefined
  /** Undefined while the power is off. */
  running: { slot: SlotName; version: string } | undefined
  cmdline: string
  restarting: boolean
  seconds: number
}

export function startServer({ behaviour = {}, ...options }: ServerOptions): Server {
  const off = { recording: undefined, running: undefined, cmdline: '', restarting: false, seconds: 0 }
  const state: State = { ...options, behaviour, problems: [], started: [], ...off }
  const host = runningHost(partsOf(state))
  const pine = (line: string, exit = 0) => runCommand(host, line, exit)
  return {
    disk: state.disk,
    host,
    problems: state.problems,
    started: state.started,
    behave(behaviour) {
      state.behaviour = behaviour
    },
    record() {
      state.recording = startRecording(state.disk)
      return state.recording
    },
    stopRecording() {
      state.recording = undefined
    },
    boot: () => boot(state),
    pine,
    live: () => live(state, pine),
  }
}

/** Reading a clock takes a second: times differ, and are the same in each run. */
const START = Date.parse('2026-01-01T00:00:00Z')

function partsOf(state: State): Running {
  const { fixture, disk, twist } = state
  return {
    ...{ fixture, disk, twist },
    cmdline: () => state.cmdline,
    isHealthy: () => state.behaviour[state.running?.version ?? ''] === undefined,
    write: (piece) => write(state, piece),
    flush: (role) => flush(state, role),
    restart() {
      state.restarting = true
    },
    now: () => new Date(START + 1000 * state.seconds++),
  }
}

const MAX_STARTS = 12

async function live(state: State, pine: Server['pine']): Promise<void> {
  for (let starts = 0; starts < MAX_STARTS; starts++) {
    const does = state.behaviour[boot(state) ?? '']
    if (does === 'panics') continue
    await pine('health --boot', does === 'unhealthy' ? 4 : 0)
    if (!state.restarting) return
  }
  state.problems.push(`it does not stay up, after ${MAX_STARTS} starts`)
}

function boot(state: State): string | null {
  const { fixture, disk, problems, started } = state
  const { pick, copy, saves, cmdline } = startLoader(disk, fixture.layout)
  state.running = undefined
  for (const piece of saves) write(state, piece)
  if (copy === null) problems.push('the loader finds no usable copy of the boot state')
  if (pick === null) {
    problems.push('the loader finds nothing to start')
    return null
  }
  const version = versionIn(fixture, disk, pick)
  started.push(version)
  Object.assign(state, { running: { slot: pick, version }, cmdline, restarting: false })
  return version
}

function write({ disk, running, recording, problems }: State, piece: Piece): void {
  if (piece.role === `rootfs-${running?.slot}`)
    problems.push(`writes to the slot that runs, ${running?.slot}`)
  if (recording !== undefined) recordWrite(recording, piece)
  writePiece(disk, piece)
}

async function flush({ recording }: State, role: Role): Promise<void> {
  if (recording === undefined) return
  const end = recordFlush(recording, role)
  // It takes its time: what is written meanwhile is not covered.
  await new Promise((resolve) => setImmediate(resolve))
  end()
}

async function runCommand(host: Host, line: string, exit: number): Promise<string> {
  let [stdout, stderr] = ['', '']
  const code = await main(line.split(' '), {
    host,
    stdout: (text) => {
      stdout += text
    },
    stderr: (text) => {
      stderr += text
    },
    interactive: false,
    stdin: once(Buffer.alloc(0)),
  })
  // `apply` asks for a small heap and small code: this process has more to do.
  setFlagsFromString('--no-optimize-for-size')
  if (code !== exit) throw new Error(`"${line}" ended with ${code}, expected ${exit}: ${stderr.trim()}`)
  return stdout
}
