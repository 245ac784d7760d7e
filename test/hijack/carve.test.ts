import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { PineError } from '../../src/core/error.ts'
import { carve, checkCarved, releaseCarved } from '../../src/hijack/carve.ts'
import { inPieces, piecesOf } from '../../src/hijack/file-pieces.ts'
import { ALIGNMENT, type Placed } from '../../src/hijack/place.ts'
import { poolSizes } from '../../src/hijack/pool.ts'
import type { Wanted } from '../../src/hijack/wanted.ts'
import { type Carving, type Extent, extentsOf, mapExtents, realCarving } from '../../src/host/extents.ts'
import { realHost } from '../../src/host/real-host.ts'
import { openRegion } from '../../src/host/region.ts'
import { MiB, makeFile, type OldRoot, openOldRoot, type RootFs, withoutRoot } from './old-root.ts'

const host = realHost()
const carving = realCarving()

const WANTED: Wanted[] = [
  { name: 'rootfs-a', bytes: 64 * MiB },
  { name: 'rootfs-b', bytes: 64 * MiB },
  { name: 'bootstate', bytes: MiB },
  { name: 'swap', bytes: 8 * MiB },
  { name: 'state', bytes: 16 * MiB, grows: true },
]
const TOTAL = WANTED.reduce((total, { bytes }) => total + bytes, 0)

let root: OldRoot | undefined
afterEach(() => {
  root?.close()
  root = undefined
})

function open(...args: Parameters<typeof openOldRoot>): OldRoot {
  root = openOldRoot(...args)
  return root
}

function requestIn({ folder, partitionOffset, limit }: OldRoot, wanted = WANTED) {
  return { file: `${folder}/carved`, partitionOffset, limit, wanted }
}

async function failure(action: Promise<unknown>): Promise<PineError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof PineError) return error
  throw new Error(`expected a PineError, got ${String(error)}`)
}

function overlaps(parts: readonly Placed[]): boolean {
  const inOrder = [...parts].sort((one, other) => one.offset - other.offset)
  return inOrder.some(({ offset }, index) => {
    const before = inOrder[index - 1]
    return before !== undefined && before.offset + before.bytes > offset
  })
}

/** Files with something in them, spread over the file system; their digest. */
function fillWithContent(folder: string): () => string {
  const folders = readdirSync(folder).filter((name) => statSync(`${folder}/${name}`).isDirectory())
  const paths = folders.map((name) => `${folder}/${name}/content`)
  for (const path of paths) writeFileSync(path, randomBytes(200_000))
  return () =>
    paths.reduce((hash, path) => hash.update(readFileSync(path)), createHash('sha256')).digest('hex')
}

const KINDS: RootFs[] = ['ext4', 'xfs']

describe.each(KINDS)('in a mounted %s', (fs) => {
  const reason = withoutRoot(fs)
  if (reason !== undefined) console.log(`skipped, ${reason}: carving ${fs}`)

  describe.skipIf(reason !== undefined)('with room', () => {
    // The second offset is that of disks of long ago: no block begins where a partition can.
    test.each([MiB, 63 * 512])('what is written through the file is on the disk, at %d', async (offset) => {
      const old = open(fs, { offset })
      await old.age(0.35)
      const digest = fillWithContent(old.folder)
      const [before, free] = [digest(), old.freeBytes()]
      const { file, parts } = await carve(host, carving, requestIn(old))

      expect(parts.map(({ name, bytes }) => ({ name, bytes }))).toEqual(
        WANTED.map(({ name, bytes }) => ({ name, bytes })),
      )
      expect(parts.filter((part) => part.offset % ALIGNMENT !== 0)).toEqual([])
      expect(overlaps(parts)).toBe(false)
      // All else was given back, but for the blocks at the edges and the file system's own notes.
      expect(free - old.freeBytes()).toBeLessThan(TOTAL + MiB)
      expect(statSync(file).mode & 0o777).toBe(0o600)

      for (const part of parts) {
        const content = randomBytes(part.bytes)
        const pieces = piecesOf(await mapExtents(file), part, old.partitionOffset)
        const region = inPieces(await openRegion(file, { writable: true }), pieces)
        await region.write(content, 0)
        await region.flush()
        await region.close()
        expect(old.readDisk(part.offset, part.bytes).equals(content), part.name).toBe(true)
      }
      await checkCarved(carving, { file, parts }, old.partitionOffset)
      expect(digest()).toBe(before)
    })

    test('what is written to the disk there harms nothing of the file system', async () => {
      const old = open(fs)
      await old.age(0.35)
      const digest = fillWithContent(old.folder)
      const before = digest()
      const { file, parts } = await carve(host, carving, requestIn(old))
      await carving.setImmutable(file, true)
      await carving.settleFileSystem(old.folder)
      old.unmount()
      for (const part of parts) old.writeDisk(part.offset, randomBytes(part.bytes))
      expect(old.findDamage()).toBeUndefined()
      old.mount()
      expect(digest()).toBe(before)
      await checkCarved(carving, { file, parts }, old.partitionOffset)
    })

    test('nobody writes to, moves or removes it once it is immutable; release gives all of it back', async () => {
      const old = open(fs)
      const free = old.freeBytes()
      const { file } = await carve(host, carving, requestIn(old))
      await carving.setImmutable(file, true)
      expect(() => appendFileSync(file, 'x')).toThrow('EPERM')
      expect(() => renameSync(file, `${file}.other`)).toThrow('EPERM')
      expect(() => unlinkSync(file)).toThrow('EPERM')
      await releaseCarved(host, carving, file)
      expect(existsSync(file)).toBe(false)
      await carving.settleFileSystem(old.folder)
      expect(free - old.freeBytes()).toBeLessThan(MiB)
      // Again, as after a crash.
      await releaseCarved(host, carving, file)
    })

    test('a file that was moved is found', async () => {
      const old = open(fs)
      const { file, parts } = await carve(host, carving, requestIn(old, WANTED.slice(2)))
      writeFileSync(`${file}.copy`, readFileSync(file))
      renameSync(`${file}.copy`, file)
      const error = await failure(checkCarved(carving, { file, parts }, old.partitionOffset))
      expect(error).toMatchObject({ code: 'CARVE_FAILED', message: expect.stringContaining('state') })
    })

    test('a file that is there already is not touched', async () => {
      const old = open(fs)
      const { file } = requestIn(old)
      writeFileSync(file, 'mine')
      expect(await failure(carve(host, carving, requestIn(old)))).toMatchObject({ code: 'FILE_EXISTS' })
      expect(readFileSync(file, 'utf8')).toBe('mine')
    })
  })

  describe.skipIf(reason !== undefined)('without', () => {
    const expectUntouched = async (old: OldRoot, error: () => Promise<PineError>): Promise<PineError> => {
      await carving.settleFileSystem(old.folder)
      const before = { free: old.freeBytes(), names: readdirSync(old.folder) }
      const failed = await error()
      await carving.settleFileSystem(old.folder)
      expect(readdirSync(old.folder)).toEqual(before.names)
      expect(before.free - old.freeBytes()).toBeLessThan(MiB)
      expect(failed).toMatchObject({ code: 'CARVE_FAILED', exitCode: 3 })
      expect(failed.hint).toContain('--slot-size')
      return failed
    }

    test('what is free lies in pieces: told how large they are, and all is as it was', async () => {
      const old = open(fs)
      // Pieces of 8 MiB, every other of which goes again.
      const count = Math.floor(old.freeBytes() / (8 * MiB)) - 1
      for (let index = 0; index < count; index++) await makeFile(`${old.folder}/f${index}`, 8 * MiB)
      for (let index = 0; index < count; index += 2) rmSync(`${old.folder}/f${index}`)
      const error = await expectUntouched(old, () => failure(carve(host, carving, requestIn(old))))
      expect(error.message).toMatch(
        /too scattered: the largest piece has [\d.]+ MiB, needed are rootfs-a 64\.0 MiB/,
      )
      // It is not that nothing can be found there.
      const small: Wanted[] = [{ name: 'swap', bytes: 6 * MiB }]
      expect((await carve(host, carving, requestIn(old, small))).parts).toHaveLength(1)
    })

    test('more than there is, as where somebody else takes it meanwhile: told what there was', async () => {
      const { folder } = open(fs, { bytes: 512 * MiB })
      const path = `${folder}/carved`
      const error = await failure(carving.allocateFile(path, 1024 * MiB))
      expect(error).toMatchObject({ code: 'CARVE_FAILED', exitCode: 3 })
      expect(error.message).toMatch(/^no room for 1\.0 GiB more of .* [34]\d\d MiB were free$/)
      expect(existsSync(path)).toBe(false)
      await carving.allocateFile(path, 64 * MiB)
      const larger = await failure(carving.growFile(path, 1024 * MiB))
      expect(larger.message).toMatch(/^no room for 960 MiB more of .* [34]\d\d MiB were free$/)
    })

    test('nearly full: told how much is needed, and nothing is tried', async () => {
      const old = open(fs)
      await makeFile(`${old.folder}/large`, old.freeBytes() - 300 * MiB)
      const error = await expectUntouched(old, () => failure(carve(host, carving, requestIn(old))))
      expect(error.message).toMatch(/can spare [\d.]+ MiB, 154 MiB are needed$/)
    })
  })
})

describe('of a file that is no use', () => {
  const flagged = (flags: number) =>
    extentsOf('/carved', Float64Array.of(0, 4096, 4096, 0, 4096, 8192, 4096, flags))

  test.each([0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400, 0x2000, 0x4000])('the flag %d is found', (flag) => {
    expect(() => flagged(flag | 1)).toThrow(expect.objectContaining({ code: 'CARVE_FAILED' }))
  })

  test('the others are of no matter', () => {
    expect(flagged(0x1 | 0x800 | 0x1000)).toEqual([
      { logical: 0, physical: 4096, bytes: 4096 },
      { logical: 4096, physical: 8192, bytes: 4096 },
    ])
  })

  test('it is not there', async () => {
    expect(await failure(mapExtents('/nowhere/carved'))).toMatchObject({ code: 'FILE_NOT_FOUND' })
  })

  test.skipIf(withoutRoot('ext4') !== undefined)(
    'what only the cache holds gets its blocks first',
    async () => {
      const { folder } = open('ext4', { bytes: 64 * MiB })
      writeFileSync(`${folder}/new`, randomBytes(MiB))
      const extents = await mapExtents(`${folder}/new`)
      expect(extents.reduce((total, { bytes }) => total + bytes, 0)).toBe(MiB)
    },
  )

  test.skipIf(withoutRoot('ext4') !== undefined)('it lies inside its inode', async () => {
    const { folder } = open('ext4', { bytes: 64 * MiB, made: ['-O', 'inline_data'] })
    writeFileSync(`${folder}/small`, 'small')
    const error = await failure(mapExtents(`${folder}/small`))
    expect(error).toMatchObject({
      code: 'CARVE_FAILED',
      message: expect.stringContaining('inside its inode'),
    })
  })

  test.skipIf(withoutRoot('xfs') !== undefined)('it shares its blocks with a copy', async () => {
    const { folder } = open('xfs', { bytes: 512 * MiB })
    await makeFile(`${folder}/one`, MiB)
    writeFileSync(`${folder}/one`, randomBytes(MiB))
    expect(spawnSync('cp', ['--reflink=always', `${folder}/one`, `${folder}/two`]).status).toBe(0)
    const error = await failure(mapExtents(`${folder}/one`))
    expect(error).toMatchObject({ code: 'CARVE_FAILED', message: expect.stringContaining('shared') })
  })
})

describe('how large the file becomes', () => {
  test('larger each time, and no larger than what can be spared', () => {
    expect(poolSizes(100 * MiB, 1000 * MiB).map((bytes) => bytes / MiB)).toEqual([
      125, 150, 200, 300, 400, 600,
    ])
    expect(poolSizes(100 * MiB, 210 * MiB).map((bytes) => bytes / MiB)).toEqual([125, 150, 200, 210])
    expect(poolSizes(100 * MiB, 100 * MiB)).toEqual([100 * MiB])
    expect(poolSizes(100 * MiB, 100 * MiB - 1)).toEqual([])
  })
})

/** A file system that gives what it is told, and what was done with it. */
function standIn(layout: (bytes: number) => Extent[], free = 2000 * MiB) {
  const done: string[] = []
  let bytes = 0
  const set = (verb: string) => async (_: string, size: number) => {
    bytes = size
    done.push(`${verb} ${size / MiB}`)
  }
  const pretend: Carving = {
    ...carving,
    mapExtents: async () => layout(bytes),
    allocateFile: set('allocate'),
    growFile: set('grow'),
    punchHole: async (_, offset, size) => void done.push(`punch ${offset / MiB}+${size / MiB}`),
    fileSystemBytes: async () => 10_000 * MiB,
  }
  const machine = {
    freeBytes: async () => free,
    removeFile: async () => void done.push('remove'),
  }
  return { done, pretend, machine }
}

const whole = (bytes: number): Extent[] => [{ logical: 0, physical: 0, bytes }]
const REQUEST = {
  file: '/carved',
  partitionOffset: MiB,
  limit: 10_000 * MiB,
  wanted: [{ name: 'rootfs-a', bytes: 100 * MiB }] satisfies Wanted[],
}

describe('what is done to the file', () => {
  test('the first try is enough: what is too much goes', async () => {
    const { done, pretend, machine } = standIn(whole)
    const { parts } = await carve(machine, pretend, REQUEST)
    expect(parts).toEqual([{ name: 'rootfs-a', offset: MiB, bytes: 100 * MiB }])
    expect(done).toEqual(['allocate 127', 'punch 100+27'])
  })

  test('it grows until there is a place; what lies before and behind it goes', async () => {
    const { done, pretend, machine } = standIn((bytes) => [
      { logical: 0, physical: 500 * MiB, bytes: 60 * MiB },
      { logical: 60 * MiB, physical: 700 * MiB, bytes: bytes - 60 * MiB },
    ])
    const { parts } = await carve(machine, pretend, REQUEST)
    expect(parts).toEqual([{ name: 'rootfs-a', offset: 701 * MiB, bytes: 100 * MiB }])
    expect(done).toEqual(['allocate 127', 'grow 152', 'grow 202', 'punch 0+60', 'punch 160+42'])
  })

  test('free groups that were given out from the last to the first are one piece', async () => {
    const { done, pretend, machine } = standIn((bytes) => [
      { logical: 0, physical: 300 * MiB, bytes: 50 * MiB },
      { logical: 50 * MiB, physical: 250 * MiB, bytes: 50 * MiB },
      { logical: 100 * MiB, physical: 500 * MiB, bytes: bytes - 100 * MiB },
    ])
    const { parts } = await carve(machine, pretend, REQUEST)
    expect(parts).toEqual([{ name: 'rootfs-a', offset: 251 * MiB, bytes: 100 * MiB }])
    expect(done).toEqual(['allocate 127', 'punch 100+27'])
  })

  test('as large as it may be: all small pieces are given back for what follows a large one', async () => {
    // Of a free run the file has 90 MiB, and gets the rest once it has given back as much as that takes.
    const { done, pretend, machine } = standIn((bytes) => {
      const large = done.includes('punch 0+60') ? bytes - 60 * MiB : 90 * MiB
      const all: Extent[] = [
        { logical: 0, physical: 10 * MiB, bytes: 30 * MiB },
        { logical: 30 * MiB, physical: 50 * MiB, bytes: 30 * MiB },
        { logical: 60 * MiB, physical: 500 * MiB, bytes: Math.min(large, bytes - 60 * MiB) },
      ]
      return all.slice(done.includes('punch 0+60') ? 2 : 0)
    }, 650 * MiB)
    const { parts } = await carve(machine, pretend, REQUEST)
    expect(parts).toEqual([{ name: 'rootfs-a', offset: 501 * MiB, bytes: 100 * MiB }])
    expect(done).toEqual(['allocate 127', 'grow 150', 'punch 0+60', 'grow 210', 'punch 0+60', 'punch 160+50'])
  })

  test('5 % stay free, on a small file system 200 MiB', async () => {
    const scattered = (bytes: number): Extent[] =>
      Array.from({ length: bytes / MiB }, (_, index) => ({
        logical: index * MiB,
        physical: index * 2 * MiB,
        bytes: MiB,
      }))
    const large = standIn(scattered, 650 * MiB)
    const error = await failure(carve(large.machine, large.pretend, REQUEST))
    expect(error.message).toContain('the largest piece has 1.0 MiB, needed are rootfs-a 100 MiB')
    // What is given back for other pieces is of no use here: those are as small.
    expect(large.done).toEqual(['allocate 127', 'grow 150', 'punch 100+50', 'grow 200', 'remove'])
    const small = standIn(scattered, 350 * MiB)
    small.pretend.fileSystemBytes = async () => 1000 * MiB
    await failure(carve(small.machine, small.pretend, REQUEST))
    expect(small.done).toEqual(large.done)
  })

  test('blocks that move while the rest goes: found, and the file is removed', async () => {
    const { done, pretend, machine } = standIn(whole)
    const { mapExtents: before } = pretend
    pretend.mapExtents = async (path) => {
      const [first] = await before(path)
      if (first === undefined || !done.includes('punch 100+27')) return whole(127 * MiB)
      return [
        { ...first, bytes: 50 * MiB },
        { logical: 50 * MiB, physical: 51 * MiB, bytes: 50 * MiB },
      ]
    }
    const error = await failure(carve(machine, pretend, REQUEST))
    expect(error.message).toContain('no longer where it was found: rootfs-a')
    expect(done.at(-1)).toBe('remove')
  })

  test('a file that was moved in one piece is found', async () => {
    const { pretend } = standIn(() => [{ logical: 0, physical: MiB, bytes: 100 * MiB }])
    const parts: Placed[] = [{ name: 'swap', offset: 2 * MiB, bytes: 100 * MiB }]
    await checkCarved(pretend, { file: '/carved', parts }, MiB)
    const error = await failure(checkCarved(pretend, { file: '/carved', parts }, 2 * MiB))
    expect(error.message).toBe('of /carved no longer where it was found: swap')
  })

  test('blocks beyond the end of the partition: it is on more than that', async () => {
    const { done, pretend, machine } = standIn(whole)
    const error = await failure(carve(machine, pretend, { ...REQUEST, limit: 127.5 * MiB }))
    expect(error).toMatchObject({ code: 'CARVE_FAILED', message: expect.stringContaining('ends at') })
    expect(done.at(-1)).toBe('remove')
  })

  test('no room when it grows: the file is removed, and that is what is told', async () => {
    const { pretend, machine } = standIn(() => [])
    pretend.growFile = async () => {
      throw new PineError('CARVE_FAILED', 'no room any more')
    }
    let removed = false
    machine.removeFile = async () => {
      removed = true
      throw new Error('not that')
    }
    expect((await failure(carve(machine, pretend, REQUEST))).message).toBe('no room any more')
    expect(removed).toBe(true)
  })
})
