import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LOADERS, trees, withOstree } from './support.ts'

const CALLS = 10_000
/** Until then V8 takes its time to find out how much heap it needs. */
const WARM_UP = 20_000
/** The heap moves by this much. 500 bytes forgotten in each call would be more. */
const NOISE_MB = 4
/** So many repositories left open take more than the noise, and 16,000 open files. */
const FORGOTTEN = 4000
const SAMPLE = 100
const ROUNDS = 3
const LAST = 20

/** Private memory: what a leak grows. */
function anonymousMb(pid: number): number {
  const [, kb = '0'] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kb) / 1024
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

describe.each(LOADERS)('with $ffi', ({ ffi, reason }) => {
  test.skipIf(reason !== undefined)(`${CALLS} calls take no more memory than ${WARM_UP}`, () =>
    withOstree(ffi, async (session, folder) => {
      const { old, new: next } = trees(folder)
      for (const tree of [old, next]) rmSync(join(tree, 'usr/lib/big'))
      const path = join(folder, 'repo')
      const repo = await session.init({ path, mode: 'bare-user' })
      const first = await repo.commit({ tree: old, ref: 'main', metadata: { some: ['text', 'more'] } })
      await repo.commit({ tree: next, ref: 'main' })
      // What reads, what fails, and what opens and closes: each hands out something to let go of.
      const round = [
        () => repo.resolve({ rev: 'main' }),
        () => repo.show({ rev: first }),
        () => repo.refs({}),
        () => repo.diff({ from: first, to: 'main' }),
        () => repo.resolve({ rev: 'none' }).catch(() => undefined),
        () => repo.fsck({}),
        () => session.open({ path }).then((again) => again.close({})),
        () => session.open({ path: folder }).catch(() => undefined),
      ]
      const call = async (count: number): Promise<number[]> => {
        const samples: number[] = []
        for (let done = 0; done < count; done++) {
          await round[done % round.length]?.()
          if (done % SAMPLE === 0) samples.push(anonymousMb(session.pid))
        }
        return samples
      }
      const before = { mb: Math.max(...(await call(WARM_UP))), files: openFiles(session.pid) }
      // What leaks grows in every round; the heap, now and then, in one.
      const grown: number[] = []
      for (let mb = before.mb; grown.length < ROUNDS && !grown.some((more) => more < NOISE_MB); ) {
        const began = performance.now()
        const samples = await call(CALLS)
        const took = performance.now() - began
        // Right after a collection: between two of them it goes up and down.
        const now = Math.min(...samples.slice(-LAST))
        grown.push(now - mb)
        console.info(`${ffi}: ${(took / CALLS).toFixed(2)} ms a call, ${(now - mb).toFixed(1)} MB more`)
        mb = now
      }
      expect(Math.min(...grown)).toBeLessThan(NOISE_MB)
      expect(openFiles(session.pid)).toBe(before.files)
    }),
  )

  test.skipIf(reason !== undefined)('what is forgotten on purpose is found', () =>
    withOstree(ffi, async (session, folder) => {
      const path = join(folder, 'repo')
      await session.init({ path, mode: 'bare-user' })
      const before = { mb: anonymousMb(session.pid), files: openFiles(session.pid) }
      for (let opened = 0; opened < FORGOTTEN; opened++) await session.open({ path })
      expect(openFiles(session.pid)).toBeGreaterThan(before.files + FORGOTTEN)
      expect(anonymousMb(session.pid)).toBeGreaterThan(before.mb + NOISE_MB)
    }),
  )
})
