import { PineError } from '../core/error.ts'
import type { CNumber, ForeignLibrary } from './foreign.ts'
import { fromBigInt } from './foreign.ts'

const ALIGNMENT = 16
const WORD = 8

/** Memory for the arguments of one call, and for what it gives back. Freed last first, as calls end. */
export interface Frame {
  /** Zeroed. Returns its address. */
  reserve(bytes: number): number
  /** A copy. Returns its address. */
  place(bytes: Uint8Array): number
  release(): void
}

/** How we read and write what C sees. */
export interface Memory {
  frame(): Frame
  /** A copy of what is at that address. */
  read(address: number, bytes: number): Buffer
  /** A string that ends with a zero byte, as UTF-8. */
  text(address: number): string
  word(address: number): CNumber
  /** Pointers, one after the other. */
  addresses(address: number, count: number): number[]
}

/** Over the scratch memory of that library: what is passed is copied in, what is read is copied out. */
export function memoryOf(library: ForeignLibrary): Memory {
  const { scratch, scratchAddress } = library
  const copy = library.find('memcpy', 'void', ['address', 'address', 'u64'])
  const lengthOf = library.find('strlen', 'u64', ['address'])
  let used = 0

  const reserve = (bytes: number): number => {
    const at = used
    const end = at + Math.ceil(Math.max(1, bytes) / ALIGNMENT) * ALIGNMENT
    if (end > scratch.length) throw tooLong(bytes, scratch.length)
    scratch.fill(0, at, end)
    used = end
    return at
  }

  const read = (address: number, bytes: number): Buffer => {
    const into = Buffer.allocUnsafe(bytes)
    const room = scratch.length - used
    for (let at = 0; at < bytes; at += room) {
      const piece = Math.min(room, bytes - at)
      copy.call([scratchAddress + used, address + at, piece])
      scratch.copy(into, at, used, used + piece)
    }
    return into
  }

  const frame = (): Frame => {
    const start = used
    return {
      reserve: (bytes) => scratchAddress + reserve(bytes),
      place: (bytes) => {
        const at = reserve(bytes.length)
        scratch.set(bytes, at)
        return scratchAddress + at
      },
      release: () => {
        used = start
      },
    }
  }

  return {
    frame,
    read,
    text: (address) => read(address, Number(lengthOf.call([address]))).toString('utf8'),
    word: (address) => fromBigInt(read(address, WORD).readBigUInt64LE()),
    addresses: (address, count) => {
      const bytes = read(address, count * WORD)
      return Array.from({ length: count }, (_, index) => Number(bytes.readBigUInt64LE(index * WORD)))
    },
  }
}

function tooLong(found: number, limit: number): PineError {
  return new PineError('USAGE', `found an argument of ${found} bytes, expected at most ${limit}`)
}
