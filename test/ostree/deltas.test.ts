import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Ostree } from '../../src/ostree/ostree.ts'
import { DUMMY, LOADERS, ostree, trees, withOstree } from './support.ts'

const CLEAN = 'no errors found'

/** Secret and public, as libostree has them: seed and point, and the point. */
function ed25519() {
  const { privateKey } = generateKeyPairSync('ed25519')
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' })
  const [seed, point] = [Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]
  return { secretKey: Buffer.concat([seed, point]).toString('base64'), publicKey: point.toString('base64') }
}

/** A repository with two commits, and one that has only the first. */
async function pair(session: Ostree, folder: string) {
  const { old, new: next } = trees(folder)
  const paths = { full: join(folder, 'full'), behind: join(folder, 'behind') }
  const full = await session.init({ path: paths.full, mode: 'bare-user' })
  const first = await full.commit({ tree: old, ref: 'main' })
  const behind = await session.init({ path: paths.behind, mode: 'bare-user' })
  await behind.pullLocal({ from: paths.full })
  const second = await full.commit({ tree: next, ref: 'main' })
  return { full, behind, first, second, paths, file: join(folder, 'delta') }
}

describe.each(LOADERS)('with $ffi', ({ ffi, reason }) => {
  const story = (
    name: string,
    tell: (ostree: Ostree, folder: string) => Promise<void>,
    env: Record<string, string> = {},
  ) => test.skipIf(reason !== undefined)(name, () => withOstree(ffi, tell, env))

  story('our delta applies here and on the command line', async (session, folder) => {
    const { full, behind, first, second, paths, file } = await pair(session, folder)
    const other = join(folder, 'other')
    ostree('init', `--repo=${other}`, '--mode=bare-user')
    ostree('pull-local', `--repo=${other}`, paths.behind)
    await full.makeDelta({ from: first, to: second, file })
    // The 6 MB file differs in eight bytes; it is in the delta, as a difference.
    expect(readFileSync(file).length).toBeLessThan(100_000)

    await behind.applyDelta({ file })
    await behind.setRef({ ref: 'main', commit: second })
    expect((await behind.fsck({})).problems).toEqual([])
    expect(ostree('fsck', `--repo=${paths.behind}`)).toContain(CLEAN)

    ostree('static-delta', `--repo=${other}`, 'apply-offline', file)
    ostree('refs', `--repo=${other}`, '--create=next', second)
    expect(ostree('fsck', `--repo=${other}`)).toContain(CLEAN)
    expect(ostree('show', `--repo=${other}`, 'next')).toContain(second)
  })

  story('a delta of the command line applies here', async (session, folder) => {
    const { behind, first, second, paths, file } = await pair(session, folder)
    const args = [
      `--from=${first}`,
      `--to=${second}`,
      `--filename=${file}`,
      '--inline',
      '--min-fallback-size=0',
    ]
    ostree('static-delta', `--repo=${paths.full}`, 'generate', ...args)
    await behind.applyDelta({ file })
    expect(await behind.show({ rev: second })).toMatchObject({ parent: first, isPartial: false })
    expect((await behind.fsck({})).problems).toEqual([])
    // Once more there is nothing to do.
    await behind.applyDelta({ file })
  })

  story('a delta from nothing is a whole release', async (session, folder) => {
    const { full, second, file } = await pair(session, folder)
    await full.makeDelta({ from: null, to: 'main', file })
    const path = join(folder, 'empty')
    const empty = await session.init({ path, mode: 'archive' })
    await empty.applyDelta({ file })
    await empty.setRef({ ref: 'main', commit: second })
    expect((await empty.fsck({})).problems).toEqual([])
    expect(ostree('fsck', `--repo=${path}`)).toContain(CLEAN)
  })

  story('a delta without its base is refused', async (session, folder) => {
    const { full, first, second, file } = await pair(session, folder)
    await full.makeDelta({ from: first, to: second, file })
    const empty = await session.init({ path: join(folder, 'empty'), mode: 'bare-user' })
    await expect(empty.applyDelta({ file })).rejects.toMatchObject({
      code: 'OSTREE_NOT_FOUND',
      message: expect.stringContaining(first),
    })
    const nowhere = empty.applyDelta({ file: join(folder, 'nowhere') })
    await expect(nowhere).rejects.toMatchObject({ code: 'OSTREE_NOT_FOUND' })
  })

  story(
    'a signed delta is applied for who trusts its key, and for nobody else',
    async (session, folder) => {
      const { full, behind, first, second, paths, file } = await pair(session, folder)
      const from = { from: first, to: second }
      await full.makeDelta({ ...from, file, sign: { type: 'dummy', secretKey: 'ours' } })
      const trust = (...publicKeys: string[]) => ({ type: 'dummy' as const, publicKeys })
      await expect(behind.applyDelta({ file, trust: trust('theirs') })).rejects.toMatchObject({
        code: 'OSTREE_UNTRUSTED',
      })
      await expect(behind.show({ rev: second })).rejects.toMatchObject({ code: 'OSTREE_NOT_FOUND' })
      await behind.applyDelta({ file, trust: trust('theirs', 'ours') })
      expect(await behind.show({ rev: second })).toMatchObject({ parent: first })
      // The same bytes, as the command line checks them.
      const verify = ['static-delta', `--repo=${paths.full}`, 'verify', '--sign-type=dummy', file]
      expect(ostree(...verify, 'ours')).toContain('Verification OK')
      expect(() => ostree(...verify, 'theirs')).toThrow()

      const unsigned = join(folder, 'unsigned')
      await full.makeDelta({ ...from, file: unsigned })
      await expect(behind.applyDelta({ file: unsigned, trust: trust('ours') })).rejects.toMatchObject({
        code: 'OSTREE_UNTRUSTED',
      })
    },
    DUMMY,
  )

  story('ed25519 signs, or is an error where libostree has none', async (session, folder) => {
    const { full, behind, first, second, file } = await pair(session, folder)
    const { secretKey, publicKey } = ed25519()
    const make = () => full.makeDelta({ from: first, to: second, file, sign: { type: 'ed25519', secretKey } })
    if (!hasEd25519()) {
      console.warn(`libostree ${session.version} is built without ed25519: only its error is tested`)
      await expect(make()).rejects.toMatchObject({ code: 'OSTREE_MISSING' })
      expect(existsSync(file)).toBe(false)
      return
    }
    await make()
    const apply = (key: string) => behind.applyDelta({ file, trust: { type: 'ed25519', publicKeys: [key] } })
    await expect(apply(ed25519().publicKey)).rejects.toMatchObject({ code: 'OSTREE_UNTRUSTED' })
    await expect(apply('short')).rejects.toMatchObject({ code: 'KEY_INVALID' })
    const bytes = readFileSync(file)
    const changed = Buffer.from(bytes)
    changed[bytes.length >> 1] = (changed[bytes.length >> 1] ?? 0) ^ 1
    writeFileSync(file, changed)
    await expect(apply(publicKey)).rejects.toMatchObject({ code: 'OSTREE_UNTRUSTED' })
    writeFileSync(file, bytes)
    await apply(publicKey)
    expect(await behind.show({ rev: second })).toMatchObject({ parent: first })
  })

  story('signatures that this libostree cannot make are an error, not left out', async (session, folder) => {
    const { full, behind, first, second, paths, file } = await pair(session, folder)
    const sign = { type: 'dummy' as const, secretKey: 'ours' }
    await expect(full.makeDelta({ from: first, to: second, file, sign })).rejects.toMatchObject({
      code: 'OSTREE_MISSING',
      message: expect.stringContaining('no dummy signatures'),
    })
    expect(existsSync(file)).toBe(false)
    await withOstree(
      ffi,
      async (allowed) => {
        const repo = await allowed.open({ path: paths.full })
        await repo.makeDelta({ from: first, to: second, file, sign })
      },
      DUMMY,
    )
    const trust = { type: 'dummy' as const, publicKeys: ['ours'] }
    await expect(behind.applyDelta({ file, trust })).rejects.toMatchObject({ code: 'OSTREE_MISSING' })
  })
})

/** In the features that the command line lists. */
function hasEd25519(): boolean {
  return ostree('--version').includes('ed25519')
}
