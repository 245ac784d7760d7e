import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { arm, confirm, initialBootState, startOnce } from '../../src/model/boot-state.ts'
import { buildInit, type Container, makeContainer, PROBLEM } from './support.ts'

let dir: string
let box: Container

beforeAll(() => {
  if (PROBLEM !== undefined) return
  dir = mkdtempSync(join(tmpdir(), 'pine-shim-'))
  buildInit(join(dir, 'init'))
})
afterEach(() => box?.close())
afterAll(() => dir && rmSync(dir, { recursive: true, force: true }))

const make = (): Container => {
  box = makeContainer(join(dir, 'init'), initialBootState('a'))
  return box
}
const systems = (output: string): string[] => [...output.matchAll(/^system: (\S+)$/gm)].map(([, name = '']) => name)

describe.skipIf(PROBLEM !== undefined)('a container', () => {
  test.each(['pivot', 'chroot'] as const)('starts slot a, and b once it is armed (%s)', async (how) => {
    make()
    expect(systems(box.start(how).output)).toEqual(['a'])
    expect(await box.state()).toMatchObject({ last: 'a', slots: { a: { left: 2 } } })
    await box.setState((state) => arm(state, 'b'))
    const { output, status } = box.start(how)
    expect([systems(output), status], output).toEqual([['b'], 0])
  })
})
