import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeEnvBlock } from '../../src/boot/env-block.ts'
import { predict } from '../../vm-tests/lib/prediction.ts'
import { canLoad, LOADER_CASES, type LoaderCase } from '../../vm-tests/loader-cases.ts'
import { anyBootState } from '../model/boot-states.ts'

const BLOCK_BYTES = 1024
const ANSWER_BYTES = 2 + 2 * BLOCK_BYTES
const INIT = join(import.meta.dirname, '../../native/container-init')

let dir: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-decide-'))
  const sources = [join(INIT, 'state.c'), join(INIT, 'pass.c'), join(import.meta.dirname, 'decide.c')]
  const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-Wno-unused-result']
  execFileSync('cc', ['-std=gnu11', '-O1', '-g', ...checks, ...sources, '-o', join(dir, 'decide')])
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const TARGETS = ['a', 'b', 'r'] as const

function decide(cases: readonly LoaderCase[]) {
  const input = Buffer.concat(
    cases.flatMap((one) => {
      const loadable = TARGETS.reduce(
        (bits, target, index) => bits | (Number(canLoad(one, target)) << index),
        0,
      )
      return [one.env0, one.env1, Buffer.from([loadable, one.readOnly ? 0 : 1])]
    }),
  )
  const output = execFileSync(join(dir, 'decide'), { input, maxBuffer: 2 ** 30 })
  expect(output.length).toBe(cases.length * ANSWER_BYTES)
  return cases.map((_, index) => {
    const answer = output.subarray(index * ANSWER_BYTES, (index + 1) * ANSWER_BYTES)
    const pick = String.fromCharCode(answer[0] ?? 0)
    const [env0, env1] = [answer.subarray(2, 2 + BLOCK_BYTES), answer.subarray(2 + BLOCK_BYTES)]
    return { pick: pick === '-' ? null : pick, left: answer[1], env0: text(env0), env1: text(env1) }
  })
}

/** Shorter than bytes where a test fails. */
const text = (block: Buffer): string => block.toString('latin1').replace(/#+$/, '')

function expected(one: LoaderCase) {
  const { run, env0, env1 } = predict(one)
  return { pick: run.pick, left: run.left, env0: text(env0), env1: text(env1) }
}

test('every case of the loader comes out as GRUB does it, to the byte', () => {
  const found = decide(LOADER_CASES)
  for (const [index, one] of LOADER_CASES.entries()) expect(found[index], one.name).toEqual(expected(one))
})

const anyCase: fc.Arbitrary<LoaderCase> = fc
  .record({
    states: fc.tuple(anyBootState, anyBootState),
    same: fc.boolean(),
    loadable: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
    readOnly: fc.boolean(),
    broken: fc.option(fc.tuple(fc.constantFrom(0, 1), fc.nat(300), fc.nat(255))),
  })
  .map(({ states: [first, second], same, loadable, readOnly, broken }) => {
    const copies = [encodeEnvBlock(first), encodeEnvBlock(same ? first : second)] as const
    if (broken !== null) copies[broken[0] as 0 | 1][broken[1]] = broken[2]
    const content = (index: number) => (loadable[index] ? 'ext4' : 'empty')
    const slots = { a: content(0), b: content(1), r: content(2) } as const
    return { name: 'random', picks: null, env0: copies[0], env1: copies[1], ...slots, readOnly }
  })

test('thousands of random states too, some with a byte that is wrong', () => {
  const cases = fc.sample(anyCase, { numRuns: 5000, seed: Date.now() })
  const found = decide(cases)
  for (const [index, one] of cases.entries()) expect(found[index], JSON.stringify(one)).toEqual(expected(one))
  // All outcomes are among them.
  expect(new Set(found.map(({ pick }) => pick)).size).toBe(4)
})
