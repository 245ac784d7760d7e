import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import { distFolder } from '../host/assets.ts'
import type { FromChild, ToChild } from './messages.ts'

/** The other end of child.ts. */
export interface OstreeProcess {
  readonly pid: number
  send(message: ToChild): void
  onMessage(listener: (message: FromChild) => void): void
  /** How it ended, whatever the reason. */
  readonly ended: Promise<string>
  /** At once, whatever it is doing. */
  kill(): void
  /** Has what runs cancelled; resolves when the process has ended. */
  stop(): Promise<void>
}

const PROGRAM = 'ostree-child.cjs'
const STDERR_CHARS = 2000
const STOP_MS = 10_000

const ENV = {
  // GLib would look for a session bus and start threads of its own.
  GIO_USE_VFS: 'local',
  // Older libostree counts its locks by thread.
  UV_THREADPOOL_SIZE: '1',
}

/** Its own garbage is small and short-lived; V8 would let 30 MB of it gather before it looks. */
const NODE_OPTIONS = ['--max-semi-space-size=1']

/** Throws `OSTREE_MISSING` where this installation comes without. */
export function startChild(env: Readonly<Record<string, string>>): OstreeProcess {
  const program = join(distFolder(), PROGRAM)
  if (!existsSync(program)) {
    throw new PineError('OSTREE_MISSING', `${program} is not there`, { hint: 'install pine-update with npm' })
  }
  const child = fork(program, {
    env: { ...process.env, ...env, ...ENV },
    execArgv: NODE_OPTIONS,
    // Bytes and big numbers arrive as they are.
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const ended = endOf(child)
  return {
    pid: child.pid ?? 0,
    send: (message) => void child.send(message, () => undefined),
    onMessage: (listener) => void child.on('message', listener),
    ended,
    kill: () => void child.kill('SIGKILL'),
    stop: () => stop(child, ended),
  }
}

/** Node's own `close` does not come where it was us who ended the channel. */
function endOf(child: ChildProcess): Promise<string> {
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-STDERR_CHARS)
  })
  const how = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`))
  })
  // What it sent and said last may come after its end.
  const silent = new Promise((resolve) => child.stderr?.on('close', resolve))
  const disconnected = new Promise((resolve) => child.on('disconnect', resolve))
  return Promise.all([how, silent, disconnected]).then(([end]) => {
    const last = said.trim().split('\n').slice(-3).join('; ')
    return last === '' ? end : `${end}: ${last}`
  })
}

/** What is half done in a repository then, the next transaction clears away. */
async function stop(child: ChildProcess, ended: Promise<string>): Promise<void> {
  if (child.connected) child.disconnect()
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await ended
  clearTimeout(timer)
}
