import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { inflateRawSync } from 'node:zlib'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { BROKEN } from './broken.ts'
import { knownInputs, readCorpus } from './corpus.ts'
import { type MemoryGauge, openGauge } from './memory.ts'
import { PER_ROUND } from './plan.ts'
import { findingText } from './report.ts'
import { type RoundOptions, type RoundReport, runRound } from './round.ts'
import type { TargetEntry } from './target.ts'
import { TARGETS } from './targets.ts'

const EXECUTIONS = 50_000

/** As many as there is time for: of slow targets few. */
function shareOf({ weight, slowness = 1 }: TargetEntry): number {
  return weight / slowness ** 2
}

const ALL_SHARES = TARGETS.reduce((sum, entry) => sum + shareOf(entry), 0)

function executionsOf(entry: TargetEntry): number {
  return Math.ceil((EXECUTIONS * shareOf(entry)) / ALL_SHARES)
}

/** One for all: looking for garbage takes longer than most rounds here. */
let gauge: MemoryGauge | undefined

async function run(entry: TargetEntry, options: Partial<RoundOptions>): Promise<RoundReport> {
  const target = await entry.open()
  const own = options.gauge ?? (await openGauge(target))
  const fixed = { seed: 1, first: 0, executions: PER_ROUND, known: [], gauge: own }
  return await runRound(target, { ...fixed, ...options }).finally(() => target.close?.())
}

async function seedsOf(entry: TargetEntry): Promise<readonly Buffer[]> {
  const target = await entry.open()
  target.close?.()
  return target.seeds
}

describe.each(TARGETS.map((entry) => [entry.name, entry] as const))('%s', (name, entry) => {
  test('takes each seed, and comes through each input of the corpus', async () => {
    gauge ??= await openGauge({})
    const replay = [...(await seedsOf(entry)), ...knownInputs(name)]
    const report = await run(entry, { gauge, replay, executions: replay.length })
    expect(report.findings.map(findingText)).toEqual([])
    expect(report.verdicts.accepted).toBeGreaterThanOrEqual((await seedsOf(entry)).length)
  })

  test(`comes through ${executionsOf(entry)} executions`, async () => {
    gauge ??= await openGauge({})
    const report = await run(entry, { gauge, executions: executionsOf(entry), known: knownInputs(name) })
    expect(report.findings.map(findingText)).toEqual([])
    expect(report.executions).toBe(executionsOf(entry))
  })
})

test('what was found keeps a name that says what it was, and belongs to a target', () => {
  const folder = join(import.meta.dirname, 'corpus/findings')
  for (const file of readdirSync(folder)) {
    const target = file.replace(/\.txt$/, '')
    expect(TARGETS.map(({ name }) => name)).toContain(target)
    for (const { name } of readCorpus('findings', target)) expect(name).toMatch(/^(?!new-)[a-z]+(-[a-z]+)+$/)
  }
})

describe('the fuzzer finds', () => {
  const broken = (name: string): TargetEntry => {
    const entry = BROKEN.find((known) => known.name === name)
    if (entry === undefined) throw new Error(`there is no ${name}`)
    return entry
  }

  test('a decoder that does not look how long its input is', async () => {
    const { findings } = await run(broken('broken-length'), { executions: 1000 })
    expect(findings[0]).toMatchObject({ kind: 'error', message: expect.stringContaining('RangeError') })
  })

  test('a decoder that accepts what nobody signed', async () => {
    const { findings } = await run(broken('broken-signature'), { executions: 1000 })
    expect(findings[0]).toMatchObject({
      kind: 'wrong',
      message: expect.stringContaining('what nobody signed'),
    })
  })

  test('an error with a code of something else', async () => {
    const { findings } = await run(broken('broken-code'), { executions: 3000 })
    expect(findings[0]).toMatchObject({
      kind: 'error',
      message: expect.stringContaining('USAGE is not documented'),
    })
  })

  test('a decoder that keeps what it was given', async () => {
    const { findings } = await run(broken('broken-leak'), {})
    expect(findings).toMatchObject([{ kind: 'leak' }])
  })

  test('a decoder that takes as much memory as its input says', async () => {
    const { findings, executions } = await run(broken('broken-memory'), {})
    expect(findings).toMatchObject([{ kind: 'memory' }])
    expect(executions).toBeLessThan(PER_ROUND)
  })

  test('a decoder that takes too long, twice', async () => {
    const { findings } = await run(broken('broken-slow'), { executions: 200, slowMs: 50 })
    expect(findings).toMatchObject([{ kind: 'slow' }])
  })

  test('what is behind one check after another, because it keeps what passes', async () => {
    const entry = broken('broken-deep')
    const known = await Promise.all(
      [true, false].map((feedback) => run(entry, { executions: 40_000, feedback })),
    )
    expect(known.map(({ findings }) => findings.length)).toEqual([1, 0])
  })

  test('the same in each run of the same seed, and something else with another', async () => {
    const inputs = async (seed: number): Promise<string> => {
      const all: Buffer[] = []
      await run(broken('broken-length'), {
        seed,
        executions: 500,
        beforeEach: (_, input) => void all.push(input),
      })
      return digestOf(Buffer.concat(all))
    }
    expect(await inputs(1)).toBe(await inputs(1))
    expect(await inputs(1)).not.toBe(await inputs(2))
  })
})

describe('the program', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pine-fuzz-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  beforeAll(async () => {
    const dist = join(import.meta.dirname, '../../dist')
    for (const file of ['native', 'blake3_js_bg.wasm'])
      cpSync(join(dist, file), join(folder, file), { recursive: true })
    await build({
      entryPoints: [join(import.meta.dirname, 'main.ts')],
      outfile: join(folder, 'fuzz.cjs'),
      ...{ bundle: true, platform: 'node', format: 'cjs', logLevel: 'error' },
      banner: { js: "const __pineUrl=require('node:url').pathToFileURL(__filename).href;" },
      define: { 'import.meta.url': '__pineUrl' },
    })
  })

  /** In a folder of its own, so that findings do not go into the corpus. */
  async function fuzz(...args: string[]): Promise<{ code: number; stdout: string }> {
    const ran = promisify(execFile)(process.execPath, [join(folder, 'fuzz.cjs'), ...args], { cwd: folder })
    return await ran.then(
      ({ stdout }) => ({ code: 0, stdout }),
      (error) => ({ code: error.code, stdout: error.stdout }),
    )
  }

  test('says how often it tried, and ends well where nothing is found', async () => {
    const { code, stdout } = await fuzz('--target', 'bundle-header,versions', '--executions', '3000')
    expect(stdout).toMatch(/\n3,\d{3} executions, 0 findings\n$/)
    expect(code).toBe(0)
  })

  test.each([
    ['broken-crash', 'crash in broken-crash: died of SIGSEGV'],
    ['broken-hang', 'hang in broken-hang: hangs'],
    ['broken-wait', 'crash in broken-wait: ended with 0 before its end'],
  ])('outlives %s, keeps the input it died of, and goes on', async (target, message) => {
    const { code, stdout } = await fuzz('--target', target, '--executions', '400', '--silence', '4000')
    expect(stdout).toContain(message)
    expect(stdout).toMatch(/1 findings\n$/)
    expect(code).toBe(1)
    const kept = readFileSync(join(folder, `test/fuzz/corpus/findings/${target}.txt`), 'utf8')
    const input = inflateRawSync(Buffer.from(kept.trim().split(' ')[1] ?? '', 'base64'))
    expect(input.readUInt16LE(4)).toBeGreaterThan(300)
  })

  test('runs one execution again, by its number', async () => {
    const { stdout } = await fuzz('--target', 'broken-length', '--executions', '500')
    const [, execution = ''] = /--execution (\d+)/.exec(stdout) ?? []
    const again = await fuzz('--target', 'broken-length', '--execution', execution)
    expect(again.stdout).toContain('found again')
  })
})
