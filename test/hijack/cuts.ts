import type { OpenRegion } from '../../src/core/region.ts'
import type { Box } from './box.ts'
import { DEVICE } from './box-host.ts'
import { writePieces } from './gpt-disk.ts'
import type { Machine } from './takeover-steps.ts'

/** Bytes that were handed to the disk. */
interface Write {
  offset: number
  before: Buffer
  bytes: Buffer
}

/** A moment at which the power goes, and what the disk had kept by then. */
export interface Cut {
  /** What was done last. */
  moment: string
  /** All of what was handed to the disk is there; else some of what was not flushed is lost. */
  isWhole: boolean
  /** As it is then; copy it to start it. */
  disk: string
}

type Seen = (moment: string, volatile: readonly Write[]) => Promise<void>

/** The machine, of which each write, each flush and each change of a file is seen when it is done. */
function watched({ disk, host, carving }: Machine, seen: Seen): Machine {
  let volatile: Write[] = []
  const after = async <T>(moment: string, done: Promise<T>): Promise<T> => {
    const result = await done
    await seen(moment, volatile)
    return result
  }
  const openRegion: Box['host']['openRegion'] = async (path, options) => {
    const region = await host.openRegion(path, options)
    const base = options?.offset ?? 0
    if (path !== DEVICE) return region
    return {
      ...region,
      async write(from, position) {
        const before = Buffer.alloc(from.length)
        await region.read(before, position)
        volatile.push({ offset: base + position, before, bytes: Buffer.from(from) })
        await after(`${from.length} bytes at ${base + position}`, region.write(from, position))
      },
      async flush() {
        await region.flush()
        // What is there now could be there before.
        volatile = []
      },
    }
  }
  return {
    disk,
    host: {
      ...host,
      openRegion,
      exec: (command, args, options) =>
        after(`${command} ${args.join(' ')}`, host.exec(command, args, options)),
      replaceFile: (path, content, mode) => after(`new ${path}`, host.replaceFile(path, content, mode)),
      removeFile: (path) => after(`no ${path}`, host.removeFile(path)),
      writeVariable: (path, content) => after(`variable ${path}`, host.writeVariable(path, content)),
      removeVariable: (path) => after(`no variable ${path}`, host.removeVariable(path)),
    },
    carving: {
      ...carving,
      setImmutable: (path, on) =>
        after(`${path} may ${on ? 'not ' : ''}change`, carving.setImmutable(path, on)),
      settleFileSystem: (path) => after(`${path} is at rest`, carving.settleFileSystem(path)),
    },
  }
}

/** With another region in place of the whole disk. */
export function onDisk(machine: Machine, changed: (region: OpenRegion) => OpenRegion): Machine {
  const openRegion: Box['host']['openRegion'] = async (path, options) => {
    const region = await machine.host.openRegion(path, options)
    return path === DEVICE && options?.writable && options.offset === undefined ? changed(region) : region
  }
  return { ...machine, host: { ...machine.host, openRegion } }
}

/** What a disk may have lost: any of the writes, or a part of one. */
function lossesOf(volatile: readonly Write[]): Write[][] {
  const some = Array.from({ length: 2 ** volatile.length }, (_, mask) =>
    volatile.filter((_, index) => (mask & (1 << index)) !== 0),
  )
  return [...some, ...volatile.flatMap(tornOf)]
}

function tornOf({ offset, before, bytes }: Write): Write[][] {
  const middle = Math.floor(bytes.length / 2 / 512) * 512
  if (middle === 0) return []
  const part = (from: number, to: number): Write[] => [
    { offset: offset + from, before: before.subarray(from, to), bytes: bytes.subarray(from, to) },
  ]
  return [part(0, middle), part(middle, bytes.length)]
}

/**
 * Does something to a box, and lets its power go before it and after each thing that is done. Returns what `look` says
 * of the cuts. What the file system had not written by then is lost, too: nobody asked it to.
 */
export async function explore(
  box: Box,
  act: (machine: Machine) => Promise<void>,
  look: (cut: Cut) => Promise<string[]>,
): Promise<string[]> {
  const problems: string[] = []
  const seen: Seen = async (moment, volatile) => {
    for (const lost of lossesOf(volatile)) {
      writePieces(
        box.disk,
        [...lost].reverse().map(({ offset, before }) => ({ offset, bytes: before })),
      )
      const found = await look({ moment, isWhole: lost.length === 0, disk: box.disk })
      writePieces(box.disk, lost)
      problems.push(...found.map((problem) => `after ${moment}: ${problem}`))
    }
  }
  await seen('nothing', [])
  await act(watched(box, seen))
  return problems
}
