import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PineError } from '../../src/core/error.ts'
import type { Ostree } from '../../src/ostree/ostree.ts'
import { LOADERS, ostree, trees, withOstree } from './support.ts'

/** What may come of damaged input: an error that says so. */
const TYPED = /^OSTREE_(CORRUPT|NOT_FOUND|FAILED)$/

function objectPath(repo: string, ending: string): string {
  const names = readdirSync(join(repo, 'objects'), { recursive: true, encoding: 'utf8' })
  const found = names.sort().find((name) => name.endsWith(ending))
  if (found === undefined) throw new Error(`no ${ending} in ${repo}`)
  return join(repo, 'objects', found)
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] ?? 0) ^ 0xff
  writeFileSync(path, bytes)
}

async function repoOf(session: Ostree, folder: string) {
  const { old } = trees(folder)
  rmSync(join(old, 'usr/lib/big'))
  const path = join(folder, 'repo')
  const repo = await session.init({ path, mode: 'bare-user' })
  const commit = await repo.commit({ tree: old, ref: 'main', timestamp: 1 })
  return { repo, path, commit }
}

function codeOf(error: unknown): string {
  return error instanceof PineError ? error.code : String(error)
}

function fails(run: () => unknown): boolean {
  try {
    run()
    return false
  } catch {
    return true
  }
}

describe.each(LOADERS)('with $ffi', ({ ffi, reason }) => {
  const story = (name: string, tell: (ostree: Ostree, folder: string) => Promise<void>) =>
    test.skipIf(reason !== undefined)(name, () => withOstree(ffi, tell))

  story(
    'an object of each kind that is changed is found, by us as by the command line',
    async (session, folder) => {
      const { path } = await repoOf(session, folder)
      for (const ending of ['.file', '.dirtree', '.dirmeta', '.commit']) {
        const copy = join(folder, ending)
        execFileSync('cp', ['-a', path, copy])
        ostree('fsck', `--repo=${path}`)
        const object = objectPath(copy, ending)
        flip(object, ending === '.commit' ? 60 : 0)
        const repo = await session.open({ path: copy })
        const { problems } = await repo.fsck({})
        const name = object.slice(join(copy, 'objects').length + 1).replace('/', '')
        expect(problems).toContainEqual({ object: name, found: expect.stringMatching(/corrupt|checksum/i) })
        expect(fails(() => ostree('fsck', `--repo=${copy}`))).toBe(true)
      }
    },
  )

  story('an object that is gone, and a ref to nothing, are found', async (session, folder) => {
    const { repo, path, commit } = await repoOf(session, folder)
    const file = objectPath(path, '.file')
    const name = file.slice(join(path, 'objects').length + 1).replace('/', '')
    rmSync(file)
    const lost = 'f'.repeat(64)
    writeFileSync(join(path, 'refs/heads/lost'), `${lost}\n`)
    const { problems } = await repo.fsck({})
    expect(problems).toEqual([
      { object: name, found: `missing, commit ${commit} needs it` },
      { object: 'lost', found: expect.stringContaining(lost) },
    ])
    const copied = repo.checkout({ rev: 'main', to: join(folder, 'out'), files: 'copy' })
    await expect(copied).rejects.toMatchObject({ code: 'OSTREE_NOT_FOUND' })
    rmSync(objectPath(path, '.dirtree'))
    const [first] = (await repo.fsck({})).problems
    expect(first).toEqual({ object: `${commit}.commit`, found: expect.stringContaining('dirtree') })
  })

  story('a commit of which only a part was taken is no damage', async (session, folder) => {
    const { path, commit } = await repoOf(session, folder)
    const partial = join(folder, 'partial')
    ostree('init', `--repo=${partial}`, '--mode=bare-user')
    ostree('pull-local', `--repo=${partial}`, '--commit-metadata-only', path, 'main')
    const repo = await session.open({ path: partial })
    expect(await repo.fsck({})).toEqual({ objects: 1, partialCommits: [commit], problems: [] })
    expect(await repo.show({ rev: 'main' })).toMatchObject({ isPartial: true })
  })

  story('a damaged object is not taken from another repository', async (session, folder) => {
    const { path, commit } = await repoOf(session, folder)
    flip(objectPath(path, '.file'), 0)
    const other = await session.init({ path: join(folder, 'other'), mode: 'bare-user' })
    await expect(other.pullLocal({ from: path })).rejects.toMatchObject({ code: 'OSTREE_CORRUPT' })
    expect(await other.refs({})).toEqual({})
    await expect(other.resolve({ rev: commit.slice(0, 8) })).rejects.toMatchObject({
      code: 'OSTREE_NOT_FOUND',
    })
  })

  story(
    'a delta that is cut or changed anywhere is an error, and leaves nothing damaged',
    async (session, folder) => {
      const { old, new: next } = trees(folder)
      for (const tree of [old, next]) rmSync(join(tree, 'usr/lib/big'))
      const path = join(folder, 'repo')
      const repo = await session.init({ path, mode: 'bare-user' })
      const first = await repo.commit({ tree: old, ref: 'main' })
      const behindPath = join(folder, 'behind')
      const behind = await session.init({ path: behindPath, mode: 'bare-user' })
      await behind.pullLocal({ from: path })
      const second = await repo.commit({ tree: next, ref: 'main' })
      const file = join(folder, 'delta')
      await repo.makeDelta({ from: first, to: second, file })
      const whole = readFileSync(file)

      const apply = async (variant: Uint8Array): Promise<string> => {
        writeFileSync(file, variant)
        const outcome = await behind.applyDelta({ file }).then(() => 'applied', codeOf)
        // What it brought has no ref yet: the next one finds nothing of it.
        await behind.prune({ refsOnly: true })
        return outcome
      }
      for (let length = 0; length < whole.length; length += 17) {
        expect(await apply(whole.subarray(0, length)), `cut to ${length}`).toMatch(TYPED)
      }
      const outcomes: string[] = []
      for (let at = 0; at < whole.length; at += 11) {
        const changed = Buffer.from(whole)
        changed[at] = (changed[at] ?? 0) ^ 0x55
        outcomes.push(await apply(changed))
      }
      // Some bytes carry nothing that is checked, such as the time that it was made.
      expect(outcomes.filter((outcome) => TYPED.test(outcome)).length).toBeGreaterThan(outcomes.length / 2)
      expect(outcomes.filter((outcome) => outcome !== 'applied' && !TYPED.test(outcome))).toEqual([])
      expect((await behind.fsck({})).problems).toEqual([])
      writeFileSync(file, whole)
      await behind.applyDelta({ file })
      expect(await behind.show({ rev: second })).toMatchObject({ isPartial: false })
      await behind.setRef({ ref: 'main', commit: second })
      expect(ostree('fsck', `--repo=${behindPath}`)).toContain('no errors found')
    },
  )

  story(
    'what ends libostree itself is an error here, and the repository is whole after it',
    async (session, folder) => {
      const { old, new: next } = trees(folder)
      const path = join(folder, 'repo')
      const repo = await session.init({ path, mode: 'bare-user' })
      const first = await repo.commit({ tree: old, ref: 'main' })
      const archivePath = join(folder, 'archive')
      const archive = await session.init({ path: archivePath, mode: 'archive' })
      await archive.pullLocal({ from: path })
      await repo.commit({ tree: next, ref: 'main' })
      const file = join(folder, 'delta')
      await repo.makeDelta({ from: first, to: 'main', file })
      // libostree 2022.7 stops at "code should not be reached" where a difference is against an archive.
      const applied = archive.applyDelta({ file })
      await expect(applied).rejects.toMatchObject({
        code: expect.stringMatching(/^OSTREE_(CRASHED|CORRUPT)$/),
      })
      expect(ostree('fsck', `--repo=${archivePath}`)).toContain('no errors found')
    },
  )
})
