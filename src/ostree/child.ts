// The process that libostree is loaded into. It lives as long as whoever started it wants, and no longer than they do.
import type { Binding } from './bind.ts'
import { openLibrary } from './library.ts'
import { type FromChild, sendable, type ToChild } from './messages.ts'
import { type RunningTask, startSession, type Task } from './session.ts'
import { versionOf } from './version.ts'

const running = new Map<number, RunningTask>()

function send(message: FromChild): void {
  // Nobody listens any more: then `disconnect` has come, or will.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}

/** More often than this nobody reads it. */
const PROGRESS_MS = 50

function progressTo(id: number): Task['progress'] {
  let sent = { at: 0, done: -1 }
  return (done, total) => {
    const at = performance.now()
    if (done === sent.done || (done < total && at - sent.at < PROGRESS_MS)) return
    sent = { at, done }
    send({ kind: 'progress', id, done, total })
  }
}

async function answer(id: number, task: RunningTask): Promise<void> {
  running.set(id, task)
  try {
    const result = await task.result
    send({ kind: 'done', id, result })
  } catch (error) {
    send({ kind: 'failed', id, error: sendable(error) })
  } finally {
    running.delete(id)
  }
}

const END_MS = 5000

/** What runs is cancelled, and its transaction taken back, before the process ends. */
async function end(): Promise<void> {
  // Where libostree hangs, nobody is left to end it; and `exit` would wait for its thread.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), END_MS)
  const tasks = [...running.values()]
  for (const task of tasks) task.cancel()
  await Promise.allSettled(tasks.map(({ result }) => result))
  process.exit(0)
}

// prctl(2), linux/prctl.h
const PR_SET_PDEATHSIG = 1
const SIGKILL = 9

/**
 * Where who started us is killed, the lock of the machine goes with them, and the next one may begin to write where we still
 * do. What is half done then, the next transaction clears away.
 */
function dieWithParent(binding: Binding): void {
  const { prctl } = binding.functions({ cancellable: undefined, keep: () => undefined })
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) !== 0) throw new Error('prctl refused PR_SET_PDEATHSIG')
}

async function main(): Promise<void> {
  // A terminal sends them to us too; whoever started us decides what is to end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.on('disconnect', () => void end())
  const { PINE_OSTREE_FFI: ffi, PINE_OSTREE_LIBRARY: file } = process.env
  try {
    const binding = await openLibrary({ ffi, file })
    dieWithParent(binding)
    const run = startSession(binding)
    process.on('message', (message: ToChild) => {
      if ('cancel' in message) return running.get(message.cancel)?.cancel()
      const { id, verb, repo, request } = message
      void answer(id, run({ verb, repo, request, progress: progressTo(id) }))
    })
    send({ kind: 'ready', ffi: binding.ffi, version: versionOf(binding) })
  } catch (error) {
    send({ kind: 'unable', error: sendable(error) })
  }
}

void main()
