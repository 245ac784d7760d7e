import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Ostree } from '../../src/ostree/ostree.ts'
import { LOADERS, lines, ostree, trees, withOstree } from './support.ts'

const TIME = 1_700_000_000
const TIMESTAMP = new Date(TIME * 1000).toISOString()

/** A repository of the command line's, with two commits of the same ref. */
function theirs(folder: string) {
  const { old, new: next } = trees(folder)
  const path = join(folder, 'theirs')
  ostree('init', `--repo=${path}`, '--mode=bare-user')
  const commit = (tree: string, subject: string, ...args: string[]): string =>
    ostree(
      'commit',
      `--repo=${path}`,
      '--branch=main',
      `--subject=${subject}`,
      `--timestamp=${TIMESTAMP}`,
      ...args,
      tree,
    ).trim()
  const first = commit(old, 'the first', '--body=of two')
  const second = commit(next, 'the second', '--add-metadata-string=version=2')
  return { path, old, next, first, second }
}

function contents(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()
  const entries = names.map((name) => {
    const path = join(root, name)
    const stat = lstatSync(path)
    if (stat.isSymbolicLink()) return [name, `-> ${readlinkSync(path)}`]
    return [name, stat.isFile() ? readFileSync(path).toString('base64') : 'folder']
  })
  return Object.fromEntries(entries)
}

describe.each(LOADERS)('with $ffi', ({ ffi, reason }) => {
  const story = (name: string, tell: (ostree: Ostree, folder: string) => Promise<void>) =>
    test.skipIf(reason !== undefined)(name, () => withOstree(ffi, tell))

  story('what the command line made is read as it says itself', async (session, folder) => {
    const { path, first, second } = theirs(folder)
    const repo = await session.open({ path })
    expect(await repo.refs({})).toEqual({ main: second })
    expect(await repo.resolve({ rev: 'main' })).toBe(ostree('rev-parse', `--repo=${path}`, 'main').trim())
    expect(await repo.resolve({ rev: 'main^' })).toBe(first)
    expect(await repo.show({ rev: first })).toEqual({
      commit: first,
      parent: null,
      subject: 'the first',
      body: 'of two',
      timestamp: TIME,
      metadata: { 'ostree.ref-binding': ['main'] },
      isPartial: false,
    })
    expect(await repo.show({ rev: 'main' })).toMatchObject({
      parent: first,
      metadata: { version: '2', 'ostree.ref-binding': ['main'] },
    })
    const fsck = await repo.fsck({})
    expect(fsck.problems).toEqual([])
    expect(fsck.objects).toBe(lines(execObjects(path)).length)
  })

  story('the same folder, subject and time make the same commits', async (session, folder) => {
    const { old, next, first, second } = theirs(folder)
    const path = join(folder, 'ours')
    const repo = await session.init({ path, mode: 'bare-user' })
    const common = { ref: 'main', timestamp: TIME }
    const ours = await repo.commit({ ...common, tree: old, subject: 'the first', body: 'of two' })
    expect(ours).toBe(first)
    const metadata = { version: '2' }
    expect(await repo.commit({ ...common, tree: next, subject: 'the second', metadata })).toBe(second)
    expect(ostree('fsck', `--repo=${path}`)).toContain('object fsck of')
    expect(ostree('refs', `--repo=${path}`).trim()).toBe('main')
  })

  story('metadata of every type comes back', async (session, folder) => {
    const { old } = trees(folder)
    const repo = await session.init({ path: join(folder, 'ours'), mode: 'bare-user' })
    const metadata = {
      text: 'grüße',
      yes: true,
      whole: 2 ** 40,
      negative: -1,
      half: 0.5,
      huge: 2n ** 64n - 1n,
      bytes: Buffer.from([0, 1, 255]),
      empty: Buffer.alloc(0),
      list: ['a', ''],
    }
    await repo.commit({ tree: old, ref: 'main', metadata })
    const shown = await repo.show({ rev: 'main' })
    expect(shown.metadata).toEqual({ 'ostree.ref-binding': ['main'], ...metadata })
  })

  story('two commits differ as the command line says', async (session, folder) => {
    const { path, first, second } = theirs(folder)
    const repo = await session.open({ path })
    const { modified, removed, added } = await repo.diff({ from: first, to: second })
    expect(modified).toEqual(['/etc/release', '/usr/lib/big'])
    const ours = [
      ...modified.map((name) => `M    ${name}`),
      ...removed.map((name) => `D    ${name}`),
      ...added.map((name) => `A    ${name}`),
    ]
    expect(ours.sort()).toEqual(lines(ostree('diff', `--repo=${path}`, first, second)))
    expect(await repo.diff({ from: first, to: first })).toEqual({ modified: [], removed: [], added: [] })
  })

  story('a checkout has the files of the commit, as links or as copies', async (session, folder) => {
    const { path, next } = theirs(folder)
    const repo = await session.open({ path })
    for (const files of ['link', 'copy'] as const) {
      const to = join(folder, files)
      await repo.checkout({ rev: 'main', to, files, asUser: true })
      expect(contents(to)).toEqual(contents(next))
      expect(statSync(join(to, 'usr/lib/big')).nlink > 1).toBe(files === 'link')
      const again = repo.checkout({ rev: 'main', to, files, asUser: true })
      await expect(again).rejects.toMatchObject({ code: 'FILE_EXISTS' })
    }
    // Links cannot have the owners that the commit has, and then it is an error instead of a copy.
    const owned = repo.checkout({ rev: 'main', to: join(folder, 'owned'), files: 'link' })
    await expect(owned).rejects.toMatchObject({ code: 'OSTREE_FAILED' })
  })

  story(
    'commits are taken from another repository, with and without their parents',
    async (session, folder) => {
      const { path, first, second } = theirs(folder)
      const archive = join(folder, 'archive')
      const repo = await session.init({ path: archive, mode: 'archive' })
      await repo.pullLocal({ from: path })
      expect(await repo.refs({})).toEqual({ main: second })
      await expect(repo.show({ rev: first })).rejects.toMatchObject({ code: 'OSTREE_NOT_FOUND' })
      expect((await repo.fsck({})).problems).toEqual([])
      ostree('fsck', `--repo=${archive}`)
      await repo.pullLocal({ from: path, refs: ['main'], depth: -1, trusted: true })
      expect(await repo.show({ rev: first })).toMatchObject({ subject: 'the first' })
      // What one pull leaves in GLib's main context, the next one would meet.
      for (let pulls = 0; pulls < 20; pulls++) await repo.pullLocal({ from: path, depth: pulls % 2 })
      expect((await repo.fsck({})).problems).toEqual([])
    },
  )

  story('what no ref leads to is pruned, after a look', async (session, folder) => {
    const { path, first } = theirs(folder)
    const repo = await session.open({ path })
    await repo.setRef({ ref: 'older', commit: first })
    await repo.setRef({ ref: 'main', commit: null })
    expect(await repo.refs({})).toEqual({ older: first })
    const look = await repo.prune({ refsOnly: true, dryRun: true })
    expect(look.removed).toBeGreaterThan(0)
    expect(await repo.prune({ refsOnly: true, dryRun: true })).toEqual(look)
    expect(await repo.prune({ refsOnly: true })).toEqual(look)
    expect(await repo.prune({ refsOnly: true })).toMatchObject({ removed: 0 })
    expect(lines(execObjects(path)).length).toBe(look.objects - look.removed)
    ostree('fsck', `--repo=${path}`)
  })

  story('a repository is not taken for one of another mode', async (session, folder) => {
    const path = join(folder, 'repo')
    await session.init({ path, mode: 'archive' })
    await session.init({ path, mode: 'archive' })
    await expect(session.init({ path, mode: 'bare' })).rejects.toMatchObject({ code: 'FILE_EXISTS' })
    await expect(session.open({ path: folder })).rejects.toMatchObject({ code: 'OSTREE_NOT_FOUND' })
    await expect(session.open({ path: join(folder, 'nowhere') })).rejects.toMatchObject({
      code: 'OSTREE_NOT_FOUND',
    })
  })
})

/** Objects of a repository, one a line. */
function execObjects(repo: string): string {
  const names = readdirSync(join(repo, 'objects'), { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.includes('.') && !name.endsWith('.commitmeta')).join('\n')
}

test.skipIf(LOADERS.some(({ reason }) => reason !== undefined))('both packages tell the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pine-ostree-'))
  try {
    const { path, first, second } = theirs(folder)
    const told: unknown[] = []
    for (const { ffi } of LOADERS) {
      await withOstree(ffi, async (session) => {
        const repo = await session.open({ path })
        const shown = [await repo.show({ rev: first }), await repo.show({ rev: second })]
        const diff = await repo.diff({ from: first, to: second })
        told.push([session.version, await repo.refs({}), shown, diff, await repo.fsck({})])
      })
    }
    expect(told[1]).toEqual(told[0])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
