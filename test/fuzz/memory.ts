import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Target } from './target.ts'

const MIB = 1024 * 1024
const MOST_GROWTH = 192 * MIB
/** What code and caches of the engine itself take over a long run. */
const MOST_RETAINED = 32 * MIB

/** What the process takes, held against what it took before the first execution. */
export interface MemoryGauge {
  /** What is wrong with the highest that was ever resident; one system call. */
  peakProblem(): string | undefined
  /** What is wrong with what is still held after all garbage is gone. */
  leakProblem(): Promise<string | undefined>
  peakBytes(): number
}

export async function openGauge({
  mostMemory = MOST_GROWTH,
}: Pick<Target, 'mostMemory'>): Promise<MemoryGauge> {
  await collectGarbage()
  const heldBefore = heldBytes()
  const cap = peakBytes() + mostMemory
  return {
    peakBytes,
    peakProblem: () =>
      peakBytes() > cap ? `took ${inMiB(peakBytes())}, the cap is ${inMiB(cap)}` : undefined,
    async leakProblem() {
      // With garbage it is not less.
      if (heldBytes() - heldBefore <= MOST_RETAINED) return undefined
      await collectGarbage()
      const grown = heldBytes() - heldBefore
      return grown > MOST_RETAINED
        ? `holds ${inMiB(grown)} more than before, the cap is ${inMiB(MOST_RETAINED)}`
        : undefined
    },
  }
}

/** getrusage(2): the kernel keeps it, so nothing is missed between two looks. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024
}

function heldBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Memory of native objects is given back a turn of the event loop after them. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  for (let turn = 0; turn < 3; turn++) {
    collect()
    await setImmediate()
  }
}

function inMiB(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}
