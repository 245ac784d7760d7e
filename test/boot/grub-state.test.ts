import { describe, expect, test } from 'vitest'
import { findBackend } from '../../src/boot/backend.ts'
import { AREA, formatBootstate } from '../../src/boot/bootstate-area.ts'
import { chooseCopy } from '../../src/boot/env-block.ts'
import { LOG_LINE_BYTES } from '../../src/boot/event-log.ts'
import {
  openLog,
  readBootState,
  readLog,
  readMeta,
  writeBootState,
  writeMeta,
} from '../../src/boot/grub-state.ts'
import { arm, confirm, initialBootState } from '../../src/model/boot-state.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { type PowerRegion, powerRegion } from './power-region.ts'

const state = initialBootState('a')
const fresh = () => powerRegion(formatBootstate({ state, grubCfg: 'reboot\n' }))
const next = arm(state, 'b')

function destroy(region: PowerRegion, name: keyof typeof AREA): void {
  region.content.fill(0, AREA[name].offset, AREA[name].offset + AREA[name].bytes)
}

describe('boot state', () => {
  test('is read back as written, in both copies, flushed one after the other', async () => {
    const region = fresh()
    await writeBootState(region, next, 1)
    const { state: read, copies } = await readBootState(region)
    expect([read, copies.env0, copies.env1]).toEqual([next, next, next])
    expect(region.writes.map(({ position }) => position)).toEqual([AREA.env0.offset, AREA.env1.offset])
    expect(region.flushes).toBe(2)
  })

  test('power lost twice, each time within a sector of the state: a copy is left that counts', async () => {
    const half = 150
    for (const first of ['env0', 'env1'] as const) {
      const region = fresh()
      destroy(region, first)
      await writeBootState(region, next, 1)
      for (const { before, from, position } of region.writes) {
        const cut = powerRegion(Buffer.from(before))
        await cut.write(from.subarray(0, half), position)
        expect([state, next], `after ${first}, cut at ${position}`).toContainEqual(
          (await readBootState(cut)).state,
        )
      }
    }
  })

  test('one destroyed copy is survived, and mended by the next write', async () => {
    for (const name of ['env0', 'env1'] as const) {
      const region = fresh()
      destroy(region, name)
      expect((await readBootState(region)).state).toEqual(state)
      await writeBootState(region, next, 1)
      expect((await readBootState(region)).copies).toEqual({ env0: next, env1: next })
    }
  })

  test('two destroyed copies are BOOT_STATE_INVALID', async () => {
    const region = fresh()
    destroy(region, 'env0')
    destroy(region, 'env1')
    await expect(readBootState(region)).rejects.toMatchObject({ code: 'BOOT_STATE_INVALID' })
    await expect(writeBootState(region, next, 1)).rejects.toMatchObject({ code: 'BOOT_STATE_INVALID' })
    expect(region.writes).toEqual([])
  })

  test('a state changed meanwhile is not overwritten', async () => {
    const region = fresh()
    await writeBootState(region, next, 1)
    await expect(writeBootState(region, arm(state, 'b', 7), 1)).rejects.toMatchObject({ code: 'BUSY' })
    expect((await readBootState(region)).state).toEqual(next)
  })

  test('a sequence that does not grow is a bug', async () => {
    await expect(writeBootState(fresh(), state, 1)).rejects.toThrow('does not grow')
  })

  test('a disk that does not keep what is written is found out', async () => {
    for (const bad of [AREA.env0.offset, AREA.env1.offset]) {
      const region = fresh()
      const forgetful = {
        ...region,
        write: (from: Uint8Array, at: number) =>
          region.write(at === bad ? Buffer.alloc(from.length) : from, at),
      }
      await expect(writeBootState(forgetful, next, 1)).rejects.toMatchObject({ code: 'IO_FAILED' })
    }
  })

  test('power lost at any byte of the write: user space and loader see the old state or the new one', async () => {
    const region = fresh()
    await writeBootState(region, next, 1)
    for (const { before, from, position } of region.writes) {
      for (let bytes = 0; bytes <= from.length; bytes++) {
        const cut = powerRegion(Buffer.from(before))
        await cut.write(from.subarray(0, bytes), position)
        const { state: seen, copies } = await readBootState(cut)
        expect([state, next], `cut at ${position}+${bytes}`).toContainEqual(seen)
        expect([state, next]).toContainEqual(chooseCopy(copies))
      }
    }
  })
})

describe('the backend', () => {
  test('finds itself by the layout, not by the state', async () => {
    const region = fresh()
    destroy(region, 'env0')
    destroy(region, 'env1')
    expect((await findBackend(region)).name).toBe('grub')
    const blank = powerRegion(Buffer.alloc(1024 * 1024))
    await expect(findBackend(blank)).rejects.toMatchObject({ code: 'NOT_A_PINE_DISK' })
    await expect(findBackend(powerRegion(Buffer.alloc(512)))).rejects.toMatchObject({
      code: 'NOT_A_PINE_DISK',
    })
  })

  test('changes the state by a transition', async () => {
    const region = fresh()
    const backend = await findBackend(region)
    const written = await backend.change(region, (now) => confirm(now, 'a'))
    expect(written.sequence).toBe(2)
    expect(await backend.read(region)).toEqual(written)
  })
})

describe('records', () => {
  test('are undefined on a fresh disk, then what was written last', async () => {
    const region = fresh()
    expect(await readMeta(region)).toBe(undefined)
    for (const value of [{ n: 1 }, { n: 2 }, { n: 3 }]) {
      await writeMeta(region, value)
      expect(await readMeta(region)).toEqual(value)
    }
    expect(region.writes.map(({ position }) => position)).toEqual([
      AREA.meta1.offset,
      AREA.meta0.offset,
      AREA.meta1.offset,
    ])
  })

  test('power lost at any byte of the write leaves the old value or the new one', async () => {
    const region = fresh()
    await writeMeta(region, { n: 'old' })
    await writeMeta(region, { n: 'new' })
    const [, last] = region.writes
    if (last === undefined) throw new Error('nothing was written')
    for (const bytes of [0, 1, 20, 90, 97, 98, 105, 512, last.from.length]) {
      const cut = powerRegion(Buffer.from(last.before))
      await cut.write(last.from.subarray(0, bytes), last.position)
      expect([{ n: 'old' }, { n: 'new' }], `cut at ${bytes}`).toContainEqual(await readMeta(cut))
    }
  })

  test('one destroyed copy leaves the other', async () => {
    const region = fresh()
    await writeMeta(region, { n: 1 })
    await writeMeta(region, { n: 2 })
    destroy(region, 'meta0')
    expect(await readMeta(region)).toEqual({ n: 1 })
    await writeMeta(region, { n: 3 })
    expect(await readMeta(region)).toEqual({ n: 3 })
  })
})

describe('log', () => {
  test('keeps the last 256 lines and touches nothing else', async () => {
    const region = fresh()
    const log = await openLog(region)
    for (let n = 1; n <= 300; n++) await log.append({ event: 'step', n: String(n) })
    const lines = await readLog(region)
    expect(lines.length).toBe(256)
    expect([lines[0]?.event.n, lines.at(-1)?.event.n, lines.at(-1)?.sequence]).toEqual(['45', '300', 300])
    for (const { position, from } of region.writes) {
      expect(position).toBeGreaterThanOrEqual(AREA.log.offset)
      expect(position + from.length).toBeLessThanOrEqual(AREA.log.offset + AREA.log.bytes)
    }
    expect((await readBootState(region)).state).toEqual(state)
  })

  test('is read once, and a line then costs one write and one flush', async () => {
    const region = memoryRegion(formatBootstate({ state, grubCfg: 'reboot\n' }))
    const log = await openLog(region)
    const { reads } = region.counts
    for (let n = 1; n <= 10; n++) await log.append({ event: 'step' })
    expect(region.counts).toEqual({ reads, writes: 10, writtenBytes: 10 * LOG_LINE_BYTES, flushes: 10 })
  })

  test('goes on behind the newest line, wherever in the ring that is', async () => {
    const region = fresh()
    for (let n = 1; n <= 260; n++) await (await openLog(region)).append({ n: String(n) })
    expect((await readLog(region)).map(({ sequence }) => sequence).slice(-2)).toEqual([259, 260])
  })

  test('a write that fails, or tears, spoils one line: the next one has its own place', async () => {
    const region = fresh()
    const log = await openLog(region)
    await log.append({ n: 'one' })
    region.onWrite = () => {
      region.content.fill(
        'x',
        AREA.log.offset + 2 * LOG_LINE_BYTES,
        AREA.log.offset + 2 * LOG_LINE_BYTES + 300,
      )
      throw new Error('torn')
    }
    await expect(log.append({ n: 'two' })).rejects.toThrow('torn')
    region.onWrite = () => {}
    await log.append({ n: 'three' })
    expect(await readLog(region)).toEqual([
      { sequence: 1, event: { n: 'one' } },
      { sequence: 3, event: { n: 'three' } },
    ])
  })

  test('power lost at any byte of a line: it is there or not, and all others are', async () => {
    const region = fresh()
    const log = await openLog(region)
    for (let n = 1; n <= 257; n++) await log.append({ n: String(n) })
    const last = region.writes.at(-1)
    if (last === undefined) throw new Error('nothing was written')
    for (let bytes = 0; bytes <= last.from.length; bytes += 16) {
      const cut = powerRegion(Buffer.from(last.before))
      await cut.write(last.from.subarray(0, bytes), last.position)
      const sequences = (await readLog(cut)).map(({ sequence }) => sequence)
      const others = Array.from({ length: 255 }, (_, index) => index + 2)
      expect([[...others], [1, ...others], [...others, 257]], `cut at ${bytes}`).toContainEqual(sequences)
      await (await openLog(cut)).append({ n: 'next' })
      expect((await readLog(cut)).at(-1)?.event).toEqual({ n: 'next' })
    }
  })
})
