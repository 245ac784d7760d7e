import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Ostree } from '../../src/ostree/ostree.ts'
import { startOstree } from '../../src/ostree/ostree.ts'
import { LOADERS, ostree, start, withOstree } from './support.ts'

const CHILD = join(import.meta.dirname, '../../dist/ostree-child.cjs')

/** Enough to be at work for a while. */
function manyFiles(folder: string): string {
  const tree = join(folder, 'many')
  for (let d = 0; d < 10; d++) {
    mkdirSync(join(tree, String(d)), { recursive: true })
    for (let f = 0; f < 100; f++) writeFileSync(join(tree, String(d), String(f)), `${d} ${f}\n`.repeat(50))
  }
  return tree
}

/** Which shared objects a process has mapped. */
function maps(pid: number | 'self'): string {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Objects and temporary files of a repository. */
function leftovers(repo: string): string[] {
  return readdirSync(join(repo, 'tmp')).filter((name) => name !== 'cache')
}

describe.each(LOADERS)('with $ffi', ({ ffi, reason }) => {
  const story = (name: string, tell: (ostree: Ostree, folder: string) => Promise<void>) =>
    test.skipIf(reason !== undefined)(name, () => withOstree(ffi, tell))

  story('libostree is in that process alone, and gone with it', async (session, folder) => {
    await session.init({ path: join(folder, 'repo'), mode: 'bare-user' })
    expect(session.ffi).toBe(ffi)
    expect(session.version).toMatch(/^20\d\d\.\d+$/)
    expect(ostree('--version')).toContain(session.version)
    expect(maps(session.pid)).toContain('libostree-1.so')
    expect(/libostree|koffi|ffi_bindings/.test(maps('self'))).toBe(false)
    await session.close()
    expect(isAlive(session.pid)).toBe(false)
    await session.close()
    await expect(session.open({ path: folder })).rejects.toMatchObject({ code: 'OSTREE_CRASHED' })
  })

  story('a crash is an error of each call, and the next process goes on', async (session, folder) => {
    const path = join(folder, 'repo')
    const tree = manyFiles(folder)
    const repo = await session.init({ path, mode: 'bare-user' })
    const calls = [repo.commit({ tree, ref: 'main' }), repo.refs({})]
    const settled = Promise.allSettled(calls)
    await setTimeout(200)
    process.kill(session.pid, 'SIGSEGV')
    for (const outcome of await settled) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'OSTREE_CRASHED' } })
    }
    await expect(repo.refs({})).rejects.toMatchObject({
      code: 'OSTREE_CRASHED',
      message: expect.stringContaining('SIGSEGV'),
    })
    const next = await start(ffi)
    try {
      const again = await next.open({ path })
      expect(await again.refs({})).toEqual({})
      await again.commit({ tree, ref: 'main' })
      expect((await again.fsck({})).problems).toEqual([])
      expect(leftovers(path)).toEqual([])
    } finally {
      await next.close()
    }
  })

  story('each long verb can be cancelled, and nothing of it stays', async (session, folder) => {
    const path = join(folder, 'repo')
    const tree = manyFiles(folder)
    const repo = await session.init({ path, mode: 'bare-user' })
    const empty = await session.init({ path: join(folder, 'empty'), mode: 'archive' })
    await cancelled((signal) => repo.commit({ tree, ref: 'main' }, { signal }))
    expect(await repo.refs({})).toEqual({})
    await repo.commit({ tree, ref: 'main' })
    expect(leftovers(path)).toEqual([])
    await cancelled((signal) => repo.fsck({}, { signal }))
    await cancelled((signal) => empty.pullLocal({ from: path }, { signal }))
    expect(await empty.refs({})).toEqual({})
    const file = join(folder, 'delta')
    await cancelled((signal) => repo.makeDelta({ from: null, to: 'main', file }, { signal }))
    // The session is as good as before.
    expect((await repo.fsck({})).problems).toEqual([])
    await empty.pullLocal({ from: path })
    expect((await empty.fsck({})).problems).toEqual([])
  })

  story('what cannot be cancelled is ended with its process', async (session, folder) => {
    const repo = await session.init({ path: join(folder, 'repo'), mode: 'bare-user' })
    // As if libostree did not look.
    process.kill(session.pid, 'SIGSTOP')
    await cancelled((signal) => repo.fsck({}, { signal }))
    await expect(repo.refs({})).rejects.toMatchObject({ code: 'OSTREE_CRASHED' })
    expect(isAlive(session.pid)).toBe(false)
  })

  story('a verb that waits for its turn never begins where it is cancelled', async (session, folder) => {
    const tree = manyFiles(folder)
    const repo = await session.init({ path: join(folder, 'repo'), mode: 'bare-user' })
    const first = repo.commit({ tree, ref: 'first' })
    const abort = new AbortController()
    const second = repo.commit({ tree, ref: 'second' }, { signal: abort.signal })
    abort.abort(new Error('not wanted'))
    await expect(second).rejects.toThrow('not wanted')
    await first
    expect(Object.keys(await repo.refs({}))).toEqual(['first'])
    const late = repo.refs({}, { signal: abort.signal })
    await expect(late).rejects.toThrow('not wanted')
  })

  story('pull and fsck tell how far they are while they work', async (session, folder) => {
    const path = join(folder, 'repo')
    const repo = await session.init({ path, mode: 'bare-user' })
    await repo.commit({ tree: manyFiles(folder), ref: 'main' })
    const other = await session.init({ path: join(folder, 'other'), mode: 'archive' })
    const told = async (run: (onProgress: (done: number, total: number) => void) => Promise<unknown>) => {
      const steps: [number, number][] = []
      await run((done, total) => void steps.push([done, total]))
      expect(steps).toEqual([...steps].sort(([a], [b]) => a - b))
      return steps
    }
    const checks = await told((onProgress) => repo.fsck({}, { onProgress }))
    const { objects } = await repo.fsck({})
    expect(checks[0]).toEqual([0, objects])
    expect(checks.at(-1)).toEqual([objects, objects])
    // libostree counts once a second: held for so long, this pull meets that on a fast disk too.
    const pulled = await told(async (onProgress) => {
      const pull = other.pullLocal({ from: path }, { onProgress })
      await setTimeout(20)
      process.kill(session.pid, 'SIGSTOP')
      await setTimeout(1200)
      process.kill(session.pid, 'SIGCONT')
      await pull
    })
    expect(pulled.at(-1)?.[0]).toBeGreaterThan(0)
  })

  story('this process stays free while libostree works', async (session, folder) => {
    const repo = await session.init({ path: join(folder, 'repo'), mode: 'bare-user' })
    const tree = manyFiles(folder)
    let ticks = 0
    const timer = setInterval(() => ticks++, 5)
    const began = performance.now()
    await repo.commit({ tree, ref: 'main' })
    clearInterval(timer)
    expect(ticks).toBeGreaterThan((performance.now() - began) / 5 / 4)
  })

  test.skipIf(reason !== undefined)('it ends when who started it is gone', async () => {
    const child = fork(CHILD, { env: { ...process.env, PINE_OSTREE_FFI: ffi }, execArgv: [] })
    await once(child, 'message')
    // A terminal's signals are for the other process.
    child.kill('SIGINT')
    await setTimeout(100)
    expect(child.exitCode).toBe(null)
    child.disconnect()
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test.skipIf(reason !== undefined)('it ends then even where libostree hangs', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pine-ostree-'))
    try {
      ostree('init', `--repo=${folder}`, '--mode=archive')
      rmSync(join(folder, 'config'))
      // Opening it waits for somebody who writes.
      execFileSync('mkfifo', [join(folder, 'config')])
      const child = fork(CHILD, { env: { ...process.env, PINE_OSTREE_FFI: ffi }, execArgv: [] })
      await once(child, 'message')
      child.send({ id: 1, verb: 'open', repo: 0, request: { path: folder } })
      await setTimeout(200)
      child.disconnect()
      expect(await once(child, 'exit')).toEqual([null, 'SIGKILL'])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test.skipIf(reason !== undefined)('without libostree it is a clear error', async () => {
    const env = { PINE_OSTREE_FFI: ffi, PINE_OSTREE_LIBRARY: 'libostree-1.so.99' }
    await expect(startOstree({ env })).rejects.toMatchObject({
      code: 'OSTREE_MISSING',
      message: expect.stringContaining('libostree-1.so.99'),
      hint: expect.stringContaining('apt-get install libostree-1-1'),
    })
    // A library that is another one.
    const other = { PINE_OSTREE_FFI: ffi, PINE_OSTREE_LIBRARY: 'libz.so.1' }
    await expect(startOstree({ env: other })).rejects.toMatchObject({ code: 'OSTREE_MISSING' })
  })
})

/** Aborts while it works. */
async function cancelled(run: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const abort = new AbortController()
  const reason = new Error('enough')
  const running = run(abort.signal)
  const outcome = running.then(
    () => 'done',
    (error: unknown) => error,
  )
  await setTimeout(20)
  abort.abort(reason)
  expect(await outcome).toBe(reason)
}

test('without the packages it is a clear error', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pine-ostree-'))
  try {
    // Where no node_modules is above it.
    const alone = join(folder, 'ostree-child.cjs')
    cpSync(CHILD, alone)
    const child = fork(alone, {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    const [message] = await once(child, 'message')
    expect(message).toMatchObject({ kind: 'unable', error: { kind: 'pine', code: 'OSTREE_MISSING' } })
    expect(message.error.message).toMatch(/koffi.*ffi-napi/)
    child.disconnect()
    await once(child, 'exit')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a package that is not known is a wrong setting', async () => {
  const env = { PINE_OSTREE_FFI: 'dlopen' }
  await expect(startOstree({ env })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('expected koffi or ffi-napi'),
  })
})
