import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chooseCopy, decodeEnvBlock, encodeEnvBlock, newestCopy } from '../../src/boot/env-block.ts'
import { arm, initialBootState } from '../../src/model/boot-state.ts'
import { anyBootState } from '../model/boot-states.ts'

const state = arm(initialBootState('a'), 'b')

describe('the block', () => {
  test('is this text', () => {
    const [text, filler] = encodeEnvBlock(state)
      .toString('latin1')
      .split(/(?<=\n)(?=#+$)/)
    expect(text).toBe(
      '# GRUB Environment Block\npine_v=1\npine_seq=00000002\norder=ba\nnext=-\n' +
        'a_ok=1\na_left=3\na_gen=00000001\nb_ok=0\nb_left=3\nb_gen=00000002\nrearm=2\nlast=-\npine_end=00000002\n',
    )
    expect(filler).toMatch(/^#+$/)
  })

  test('has the same length for every state, within one sector', () => {
    fc.assert(
      fc.property(anyBootState, (any) => {
        const block = encodeEnvBlock(any)
        expect(block.length).toBe(1024)
        expect(block.indexOf('\n#')).toBe(encodeEnvBlock(state).indexOf('\n#'))
        expect(block.lastIndexOf('\n')).toBeLessThan(512)
      }),
    )
  })

  test('decodes to what was encoded', () => {
    fc.assert(
      fc.property(anyBootState, (any) => {
        expect(decodeEnvBlock(encodeEnvBlock(any))).toEqual(any)
      }),
    )
  })

  test('refuses numbers that do not fit', () => {
    expect(() => encodeEnvBlock({ ...state, sequence: 100_000_000 })).toThrow('at most eight digits')
    expect(() => encodeEnvBlock({ ...state, rearms: 8 })).toThrow('not 0 to 7')
  })

  test('is read by GRUB’s own tool', () => {
    const dir = mkdtempSync(join(tmpdir(), 'pine-env-'))
    try {
      writeFileSync(join(dir, 'env'), encodeEnvBlock(state))
      const listed = execFileSync('grub-editenv', [join(dir, 'env'), 'list'], { encoding: 'utf8' })
      expect(listed.split('\n')).toEqual(
        expect.arrayContaining(['pine_v=1', 'order=ba', 'b_gen=00000002', 'next=-']),
      )
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})

describe('decoding whatever is there', () => {
  test('never throws, and every state it gives can be written again', () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 1024 })
    const pieces = fc.array(
      fc.constantFrom('pine_v=1\n', 'pine_seq=00000003\n', 'pine_end=00000003\n', '=', '\\', '\n'),
    )
    fc.assert(
      fc.property(bytes, pieces, (noise, words) => {
        const block = Buffer.concat([Buffer.from(`# GRUB Environment Block\n${words.join('')}`), noise])
        for (const input of [noise, block]) {
          const decoded = decodeEnvBlock(input)
          if (decoded) expect(decodeEnvBlock(encodeEnvBlock(decoded))).toEqual(decoded)
        }
      }),
    )
  })

  test('a write torn at any byte is the old state, the new one, or none', () => {
    const next = arm(state, 'a')
    const [old, new_] = [encodeEnvBlock(state), encodeEnvBlock(next)]
    for (let at = 0; at <= 1024; at++) {
      const decoded = decodeEnvBlock(Buffer.concat([new_.subarray(0, at), old.subarray(at)]))
      expect([undefined, state, next], `torn at ${at}`).toContainEqual(decoded)
    }
  })
})

describe('which copy counts', () => {
  const newer = arm(state, 'a')
  const tried = { ...state, slots: { ...state.slots, b: { ...state.slots.b, left: 2 } } }

  test('the loader takes env0 wherever it is valid', () => {
    expect(chooseCopy({ env0: state, env1: newer })).toBe(state)
    expect(chooseCopy({ env0: undefined, env1: newer })).toBe(newer)
    expect(chooseCopy({ env0: undefined, env1: undefined })).toBe(undefined)
  })

  test('user space takes the higher sequence', () => {
    expect(newestCopy({ env0: state, env1: newer })).toBe(newer)
    expect(newestCopy({ env0: newer, env1: state })).toBe(newer)
    expect(newestCopy({ env0: state, env1: undefined })).toBe(state)
    expect(newestCopy({ env0: undefined, env1: state })).toBe(state)
    expect(newestCopy({ env0: undefined, env1: undefined })).toBe(undefined)
  })

  test('at equal sequences the loader has spent something in the newer one', () => {
    const oneShot = { ...state, next: 'b' as const }
    expect(newestCopy({ env0: state, env1: tried })).toBe(tried)
    expect(newestCopy({ env0: tried, env1: state })).toBe(tried)
    expect(newestCopy({ env0: oneShot, env1: state })).toBe(state)
    expect(newestCopy({ env0: { ...state, rearms: 1 }, env1: state })?.rearms).toBe(1)
  })
})
