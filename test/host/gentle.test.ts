import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { beGentle } from '../../src/host/gentle.ts'
import type { Host } from '../../src/host/host.ts'
import { native } from '../../src/host/native.ts'
import { realHost } from '../../src/host/real-host.ts'

afterEach(() => void vi.unstubAllEnvs())

const threads = (): string[] => readdirSync('/proc/self/task')
const ioClass = (thread: string): string =>
  execFileSync('ionice', ['-p', thread], { encoding: 'utf8' }).trim()
/** proc_pid_stat(5): field 19; the name before it may hold spaces. */
const niceness = (thread: string): number =>
  Number(
    readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[16],
  )

/** Keeps every thread of the pool that native code runs in busy for a moment. */
async function useThePool(): Promise<void> {
  await Promise.all(Array.from({ length: 8 }, () => native().blake3Async(Buffer.alloc(4_000_000))))
}

describe('a gentle process', () => {
  test('is so with all its threads: its own, those of native code, and those it starts later', async () => {
    await useThePool()
    const before = threads()
    // JavaScript, the four of the pool, and those of V8.
    expect(before.length).toBeGreaterThan(5)
    expect(before.map(ioClass)).not.toContain('idle')

    expect(await beGentle(realHost())).toEqual([])
    const worker = new Worker('setInterval(() => undefined, 1000)', { eval: true })
    await once(worker, 'online')
    await useThePool()
    const after = threads()
    expect(after.length).toBeGreaterThan(before.length)
    expect(new Set(after.map(ioClass))).toEqual(new Set(['idle']))
    expect(new Set(after.map(niceness))).toEqual(new Set([10]))
    await worker.terminate()
  })

  test('says what could not be done where the programs are missing, and stops nothing', async () => {
    vi.stubEnv('PATH', '/nonexistent')
    expect(await beGentle(realHost())).toEqual([
      'the program ionice is not installed',
      'the program renice is not installed',
    ])
  })

  test('does one thing where it cannot do the other', async () => {
    const host = realHost()
    const done: string[] = []
    const exec: Host['exec'] = async (command, args) => {
      const said = await host.exec(command, command === 'ionice' ? ['-p', '999999999'] : args)
      done.push(command)
      return said
    }
    expect(await beGentle({ ...host, exec })).toEqual([expect.stringContaining('ionice failed')])
    expect(done).toEqual(['renice'])
  })

  test('looks again for threads that were started meanwhile', async () => {
    const asked: string[] = []
    const lists = [['1', '2'], ['1', '2', '3'], ['1', '2', '3'], ['1'], ['1']]
    const host = {
      ...realHost(),
      listFolder: async () => lists.shift() ?? [],
      exec: async (command: string, args: readonly string[]) => {
        asked.push([command, ...args].join(' '))
        return ''
      },
    }
    await beGentle(host)
    expect(asked).toEqual(['ionice -c 3 -p 1 2', 'ionice -c 3 -p 3', 'renice -n 10 -p 1'])
  })
})
