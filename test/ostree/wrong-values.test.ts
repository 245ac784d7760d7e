import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PineError } from '../../src/core/error.ts'
import { bind } from '../../src/ostree/bind.ts'
import type { ForeignLibrary } from '../../src/ostree/foreign.ts'
import type { Functions } from '../../src/ostree/functions.ts'
import type { Handle } from '../../src/ostree/handle.ts'
import { loadWithFfiNapi } from '../../src/ostree/load-ffi-napi.ts'
import { loadWithKoffi } from '../../src/ostree/load-koffi.ts'
import type { Ostree, OstreeRepo } from '../../src/ostree/ostree.ts'
import { REPO_REQUESTS } from '../../src/ostree/requests.ts'
import { SYMBOLS, type SymbolName } from '../../src/ostree/symbols.ts'
import { LOADERS, start } from './support.ts'

const LOAD = { koffi: loadWithKoffi, 'ffi-napi': loadWithFfiNapi }

/** Without types: what a caller in JavaScript can do. */
type Loose = Record<string, (request: unknown) => Promise<unknown>>

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'none'
  } catch (error) {
    return error instanceof PineError ? error.code : String(error)
  }
}

describe.each(LOADERS)('requests, with $ffi', ({ ffi, reason }) => {
  let session: Ostree
  let repo: OstreeRepo
  let folder: string
  beforeAll(async () => {
    if (reason !== undefined) return
    folder = mkdtempSync(join(tmpdir(), 'pine-ostree-'))
    session = await start(ffi)
    repo = await session.init({ path: join(folder, 'repo'), mode: 'bare-user' })
  })
  afterAll(async () => {
    if (reason !== undefined) return
    await session.close()
    rmSync(folder, { recursive: true })
  })

  test.skipIf(reason !== undefined)('a request of another shape is wrong use, whatever it is', async () => {
    const verbs = Object.keys(REPO_REQUESTS).filter((verb) => verb !== 'close')
    const wrong = fc.oneof(
      fc.anything().filter((value) => typeof value !== 'object' || value === null),
      fc.dictionary(fc.string(), fc.anything(), { minKeys: 1 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...verbs), wrong, async (verb, request) => {
        expect(await codeOf(() => (repo as unknown as Loose)[verb]?.(request))).toBe('USAGE')
      }),
      { numRuns: 300 },
    )
    expect(await repo.refs({})).toEqual({})
  })

  test.skipIf(reason !== undefined)('any text is a ref that is not there, or wrong use', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (rev) => {
        expect(await codeOf(() => repo.resolve({ rev }))).toMatch(
          /^(USAGE|OSTREE_(NOT_FOUND|FAILED|CORRUPT))$/,
        )
        const set = await codeOf(() => repo.setRef({ ref: rev, commit: null }))
        expect(set).toMatch(/^(none|USAGE|OSTREE_(NOT_FOUND|FAILED|CORRUPT)|IO_FAILED)$/)
      }),
      { numRuns: 200 },
    )
    expect(await repo.refs({})).toEqual({})
  })

  test.skipIf(reason !== undefined)('what does not fit is named', async () => {
    const commit = repo.commit({ tree: folder, ref: 'main', timestamp: -1, parent: 'abc' } as never)
    await expect(commit).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/parent: Expected the 64 hex digits.*timestamp: .*-1/),
    })
    await expect(repo.resolve({ rev: 'a\0b' })).rejects.toMatchObject({ code: 'USAGE' })
    await expect(repo.show({ rev: 'x'.repeat(70_000) })).rejects.toMatchObject({ code: 'USAGE' })
  })

  test.skipIf(reason !== undefined)(
    'a closed repository is an error, and the others are as they were',
    async () => {
      const other = await session.open({ path: join(folder, 'repo') })
      await other.close({})
      for (const call of [() => other.refs({}), () => other.fsck({}), () => other.close({})]) {
        await expect(call()).rejects.toMatchObject({
          code: 'USAGE',
          message: expect.stringContaining('closed'),
        })
      }
      expect(await repo.refs({})).toEqual({})
    },
  )
})

describe.each(LOADERS)('handles, with $ffi', ({ ffi, reason }) => {
  let library: ForeignLibrary
  let fn: Functions
  const kept: Handle<never>[] = []
  beforeAll(async () => {
    if (reason !== undefined) return
    library = await LOAD[ffi]('libostree-1.so.1')
    fn = bind(library).functions({
      cancellable: undefined,
      keep: (handle) => void kept.push(handle as never),
    })
  })

  test.skipIf(reason !== undefined)('nothing but an open handle of its type gets to C', () => {
    const text = fn.g_variant_new_string('hello')
    const file = fn.g_file_new_for_path('/')
    expect(fn.g_variant_get_string(text)).toBe('hello')
    const get = fn.g_variant_get_string as (value: unknown) => string
    const lookalike = { type: 'GVariant', closed: false, close: () => undefined }
    for (const wrong of [
      file,
      null,
      undefined,
      0,
      1,
      2 ** 40,
      'GVariant',
      {},
      lookalike,
      Object.create(text),
    ]) {
      expect(() => get(wrong)).toThrow(/expected an open GVariant/)
    }
    expect(() => get(file)).toThrow('found an open GFile')
    text.close()
    text.close()
    expect(text.closed).toBe(true)
    expect(() => get(text)).toThrow('found a closed GVariant')
  })

  test.skipIf(reason !== undefined)('numbers and text that C would read as others do not get to it', () => {
    const { g_variant_new_int32, g_variant_new_uint64, g_variant_new_string } = fn
    for (const wrong of [1.5, 2 ** 31, Number.NaN, '1', null]) {
      expect(() => g_variant_new_int32(wrong as never)).toThrow(PineError)
    }
    for (const wrong of [-1, 2n ** 64n, 2 ** 53]) {
      expect(() => g_variant_new_uint64(wrong as never)).toThrow(PineError)
    }
    expect(() => g_variant_new_string('a\0b')).toThrow(PineError)
    expect(() => g_variant_new_string('x'.repeat(2 ** 21))).toThrow(/expected at most/)
    // And memory for arguments is as free as before.
    expect(fn.g_variant_get_string(g_variant_new_string('y'.repeat(2 ** 19)))).toHaveLength(2 ** 19)
    expect(fn.g_variant_get_uint64(g_variant_new_uint64(2n ** 64n - 1n))).toBe(2n ** 64n - 1n)
    expect(fn.g_variant_get_int64(fn.g_variant_new_int64(-5))).toBe(-5)
    expect(fn.g_variant_get_double(fn.g_variant_new_double(0.1))).toBe(0.1)
  })

  test.skipIf(reason !== undefined)('every function of the table is in the library', () => {
    const names = Object.keys(SYMBOLS) as SymbolName[]
    for (const name of names) expect(() => library.find(name, 'void', []), name).not.toThrow()
    expect(() => library.find('ostree_not_there', 'void', [])).toThrow()
  })

  test.skipIf(reason !== undefined)(
    'what an error of libostree says is kept: number, domain and words',
    async () => {
      const opened = fn.ostree_repo_open_at(-100, '/nowhere/at/all')
      await expect(opened).rejects.toMatchObject({
        code: 'OSTREE_NOT_FOUND',
        message: expect.stringContaining('No such file or directory'),
        cause: 'g-io-error-quark 1',
      })
    },
  )
})
