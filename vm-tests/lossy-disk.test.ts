import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Random, seededRandom } from '../test/power-cut/random.ts'
import { type LossyDisk, openLossyDisk, SECTOR_BYTES } from './lib/lossy-disk.ts'
import { connectNbd } from './lib/nbd-client.ts'
import { serveNbd } from './lib/nbd-server.ts'

const SECTORS = 256
const SEEDS = Array.from({ length: 200 }, (_, seed) => seed)

/** Nothing that was not flushed arrives. */
const NEVER: Random = { below: () => 0, chance: () => false }

let dir: string
let path: string
let disk: LossyDisk

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-lossy-'))
  path = join(dir, 'disk')
  writeFileSync(path, filled('o', SECTORS))
  disk = openLossyDisk(path)
})
afterEach(() => {
  disk.close()
  rmSync(dir, { recursive: true })
})

function filled(letter: string, sectors: number): Buffer {
  return Buffer.alloc(sectors * SECTOR_BYTES, letter)
}

/** The first letter of each sector that is in the file. */
function letters(): string {
  const content = readFileSync(path)
  return Array.from({ length: SECTORS }, (_, sector) =>
    String.fromCharCode(content[sector * SECTOR_BYTES] ?? 0),
  ).join('')
}

/** Fills the disk with "o" again, then does `writes` and cuts the power with that seed. */
function cutAfter(seed: number, writes: () => void) {
  disk.write(0, filled('o', SECTORS), false)
  disk.flush()
  writes()
  return disk.cut(seededRandom(seed))
}

describe('a cut', () => {
  test('takes what was not flushed, keeps some of it, or tears it', () => {
    const seen = SEEDS.map((seed) => {
      const loss = cutAfter(seed, () => disk.write(0, filled('n', 8), false))
      const found = letters().slice(0, 8)
      expect(loss).toMatchObject({ unflushed: 1, lostBytes: found.split('o').length * 512 - 512 })
      return found
    })
    const ratio = (of: (found: string) => boolean) => seen.filter(of).length / SEEDS.length
    expect(ratio((found) => found === 'oooooooo')).toBeGreaterThan(0.3)
    expect(ratio((found) => found === 'nnnnnnnn')).toBeGreaterThan(0.1)
    expect(ratio((found) => found.includes('o') && found.includes('n'))).toBeGreaterThan(0.05)
  })

  test('keeps what was flushed', () => {
    for (const seed of SEEDS) {
      cutAfter(seed, () => {
        disk.write(0, filled('f', 8), false)
        disk.flush()
        disk.write(8, filled('n', 8), false)
      })
      expect(letters().slice(0, 8)).toMatch(/^[fn]{8}$/)
    }
  })

  test('can keep a later write and lose an earlier one', () => {
    const orders = SEEDS.map((seed) => {
      cutAfter(seed, () => {
        disk.write(0, filled('1', 1), false)
        disk.write(SECTOR_BYTES, filled('2', 1), false)
      })
      return letters().slice(0, 2)
    })
    expect(new Set(orders)).toEqual(new Set(['oo', '1o', 'o2', '12']))
  })

  test('never keeps a mix of two writes to one sector', () => {
    const found = SEEDS.map((seed) => {
      cutAfter(seed, () => {
        disk.write(0, filled('1', 1), false)
        disk.write(0, filled('2', 1), false)
      })
      const sector = readFileSync(path).subarray(0, SECTOR_BYTES)
      return new Set(sector).size === 1 ? String.fromCharCode(sector[0] ?? 0) : 'mixed'
    })
    expect(new Set(found)).toEqual(new Set(['o', '1', '2']))
  })

  test('keeps a durable write, and not what came before or after it', () => {
    const found = SEEDS.map((seed) => {
      cutAfter(seed, () => {
        disk.write(0, filled('1', 2), false)
        disk.write(0, filled('D', 1), true)
        disk.write(2 * SECTOR_BYTES, filled('3', 1), false)
      })
      return letters().slice(0, 3)
    })
    expect(found.every((text) => text.startsWith('D'))).toBe(true)
    expect(new Set(found)).toContain('Doo')
    expect(new Set(found)).toContain('D13')
  })

  test('is the same for the same seed', () => {
    const run = (seed: number) => {
      const loss = cutAfter(seed, () => {
        for (let at = 0; at < SECTORS; at += 4) disk.write(at * SECTOR_BYTES, filled('n', 4), false)
      })
      return { loss, letters: letters() }
    }
    for (const seed of SEEDS.slice(0, 20)) expect(run(seed)).toEqual(run(seed))
    expect(new Set(SEEDS.map((seed) => run(seed).letters)).size).toBeGreaterThan(SEEDS.length / 2)
  })

  test('after a flush takes nothing', () => {
    const loss = cutAfter(1, () => {
      disk.write(0, filled('f', 8), false)
      disk.flush()
    })
    expect(loss).toEqual({ unflushed: 0, lost: 0, torn: 0, lostBytes: 0 })
  })
})

test('over NBD a client reads what it wrote, and loses it unless it flushed', async () => {
  const socket = join(dir, 'socket')
  const server = await serveNbd(disk, socket)
  const client = await connectNbd(socket)
  expect(client).toMatchObject({ bytes: SECTORS * SECTOR_BYTES, hasFlush: true })

  // More than one packet of a socket.
  expect(await client.write(0, filled('f', 200))).toBe(0)
  expect(await client.flush()).toBe(0)
  expect(await client.write(0, filled('n', 100))).toBe(0)
  expect(await client.write(200 * SECTOR_BYTES, filled('D', 1), { durable: true })).toBe(0)
  expect((await client.read(0, 100 * SECTOR_BYTES)).equals(filled('n', 100))).toBe(true)

  server.disconnect()
  expect(disk.cut(NEVER)).toEqual({ unflushed: 1, lost: 1, torn: 0, lostBytes: 100 * SECTOR_BYTES })
  await expect(client.read(0, 512)).rejects.toThrow('the connection ended')
  expect(letters()).toBe(`${'f'.repeat(200)}D${'o'.repeat(55)}`)

  const again = await connectNbd(socket)
  expect((await again.read(0, 512)).equals(filled('f', 1))).toBe(true)
  expect(await again.write(SECTORS * SECTOR_BYTES, filled('x', 1))).toBe(22)
  again.close()
  await server.close()
})
