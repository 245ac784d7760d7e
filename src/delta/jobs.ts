/** Failures are for whoever uses the result. */
export interface Jobs {
  /** Starts when its turn comes; `bytes` are what it holds until it ends. */
  add<Made>(bytes: number, start: () => Promise<Made>): Promise<Made>
  /** Resolves when there is room for one more with so many bytes. */
  free(bytes: number): Promise<void>
  drain(): Promise<void>
}

/** What waits beyond one job for each core, at most: so that no core is idle while a payload is made on another. */
export const AHEAD_BYTES = 1024 * 1024

/** At most `parallel` of them run at once: each has an encoder of its own. */
export function startJobs(parallel: number): Jobs {
  const unfinished = new Set<Promise<void>>()
  const waiting: (() => void)[] = []
  let held = 0
  let running = 0

  async function turn(): Promise<void> {
    if (running < parallel) running += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }

  function next(): void {
    const resolve = waiting.shift()
    if (resolve) resolve()
    else running -= 1
  }

  return {
    add(bytes, start) {
      held += bytes
      const job = turn().then(start).finally(next)
      const end = (): void => {
        held -= bytes
        unfinished.delete(settled)
      }
      const settled = job.then(end, end)
      unfinished.add(settled)
      return job
    },
    async free(bytes) {
      while (unfinished.size >= parallel && held + bytes > AHEAD_BYTES) await Promise.race(unfinished)
    },
    async drain() {
      await Promise.all(unfinished)
    },
  }
}
