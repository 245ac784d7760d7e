import { PineError } from '../core/error.ts'
import { readVarints, unzigzag, writeVarint, zigzag } from './varint.ts'

/** How one run of image bytes comes to be. */
export type Op =
  | { readonly kind: 'zero'; readonly bytes: number }
  | { readonly kind: 'literal'; readonly bytes: number }
  | { readonly kind: 'copy'; readonly bytes: number; readonly baseOffset: number }

/** Version of this encoding, named in the manifest's codecs. */
export const OPS_CODEC = { name: 'pine-ops', version: '1' } as const

// The low two bits of an operation's first number; 3 is free for what comes next.
const KIND = { zero: 0, literal: 1, copy: 2 } as const

export interface OpWriter {
  add(op: Op): void
  /** Bytes so far. */
  bytes(): number
  end(): Buffer
}

/** `start` is where in the image the segment starts: a first copy from the same place of the base costs least. */
export function writeOps(start: number): OpWriter {
  const encoded: number[] = []
  let expected = start
  return {
    add(op) {
      writeVarint(encoded, op.bytes * 4 + KIND[op.kind])
      if (op.kind !== 'copy') return
      writeVarint(encoded, zigzag(op.baseOffset - expected))
      expected = op.baseOffset + op.bytes
    },
    bytes: () => encoded.length,
    end: () => Buffer.from(encoded),
  }
}

/** The content of a segment: length of the operations, operations, literal bytes. */
export function encodePayload(ops: Uint8Array, literals: Uint8Array): Buffer {
  const length: number[] = []
  writeVarint(length, ops.length)
  return Buffer.concat([Buffer.from(length), ops, literals])
}

export interface PayloadLimits {
  /** Where in the image the segment starts. */
  readonly start: number
  /** Copies end before this. */
  readonly baseBytes: number
}

export interface PayloadReader {
  /** Operations that make exactly the next `bytes` of the image. */
  take(bytes: number): Op[]
  /** The literal bytes for an operation; each may be asked for once, in order. */
  literal(bytes: number): Uint8Array
  /** Checks that nothing is left over. */
  end(): void
}

/** Reads a segment's content that may lie in any field. All methods throw `BUNDLE_MALFORMED`. */
export function readPayload(content: Uint8Array, { start, baseBytes }: PayloadLimits): PayloadReader {
  const lead = readVarints(content, 0, Math.min(content.length, 8))
  const opsBytes = lead.next()
  const opsStart = lead.position()
  if (opsStart + opsBytes > content.length) {
    throw malformed(`names ${opsBytes} bytes of operations, ${content.length - opsStart} are there`)
  }
  const numbers = readVarints(content, opsStart, opsStart + opsBytes)
  let expected = start
  let literalAt = opsStart + opsBytes

  function next(room: number): Op {
    const head = numbers.next()
    const bytes = Math.floor(head / 4)
    const kind = head % 4
    if (bytes === 0) throw malformed('has an operation of no bytes')
    if (bytes > room) throw malformed(`makes ${bytes} bytes where ${room} are left of the chunk`)
    if (kind === KIND.zero) return { kind: 'zero', bytes }
    if (kind === KIND.literal) return { kind: 'literal', bytes }
    if (kind !== KIND.copy) throw malformed(`has an operation of unknown kind ${kind}`)
    const baseOffset = expected + unzigzag(numbers.next())
    if (baseOffset < 0 || baseOffset + bytes > baseBytes) {
      throw malformed(`copies ${bytes} bytes from ${baseOffset} of a base of ${baseBytes}`)
    }
    expected = baseOffset + bytes
    return { kind: 'copy', bytes, baseOffset }
  }

  return {
    take(bytes) {
      const ops: Op[] = []
      for (let done = 0; done < bytes; ) {
        const op = next(bytes - done)
        done += op.bytes
        ops.push(op)
      }
      return ops
    },
    literal(bytes) {
      const from = literalAt
      literalAt += bytes
      if (literalAt > content.length) throw malformed('has fewer literal bytes than its operations use')
      return content.subarray(from, literalAt)
    },
    end() {
      if (numbers.position() !== opsStart + opsBytes)
        throw malformed('has more operations than its chunks need')
      if (literalAt !== content.length) throw malformed('has more literal bytes than its operations use')
    },
  }
}

function malformed(what: string): PineError {
  return new PineError('BUNDLE_MALFORMED', `a segment ${what}`)
}
