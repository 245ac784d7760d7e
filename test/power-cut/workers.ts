import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Job, JobResult } from './jobs.ts'

/** Much is allocated, and hardly any of it kept. `apply` asks for a small heap, which here would cost half of the time. */
const ROOM = ['--min-semi-space-size=64', '--max-semi-space-size=64']

/** Gives each process one job after the other; results come as they are done. */
export async function runJobs(
  jobs: readonly Job[],
  { program, args, processes }: { program: string; args: readonly string[]; processes: number },
  onResult: (result: JobResult) => void,
): Promise<void> {
  const queue = [...jobs]
  const workers = Array.from({ length: processes }, () => fork(program, args, { execArgv: ROOM }))
  try {
    await Promise.all(workers.map((worker) => workOff(worker, queue, onResult)))
  } finally {
    for (const worker of workers) worker.kill()
  }
}

async function workOff(
  worker: ChildProcess,
  queue: Job[],
  onResult: (result: JobResult) => void,
): Promise<void> {
  const ended = once(worker, 'exit').then(([code]) => {
    throw new Error(`a process of the run ended early, with ${code}`)
  })
  ended.catch(() => undefined)
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
    worker.send(job)
    const [result] = (await Promise.race([once(worker, 'message'), ended])) as [JobResult]
    onResult(result)
  }
}
