import type { Codecs } from '../core/codecs.ts'
import type { Encoding } from '../core/encoding.ts'
import { MAX_MOVED_BYTES } from '../delta/check.ts'
import { type DataWriter, MAX_TAKE_BYTES } from '../delta/data.ts'
import type { Run } from '../delta/program.ts'
import type { Base } from './base.ts'
import { cutMoved, type Item } from './item.ts'
import { listOps, type OpList } from './op-list.ts'
import type { Places } from './places.ts'
import { startStreams } from './streams.ts'
import { subtractMoved } from './subtract.ts'

export interface Emitter {
  /** Content, as items. */
  content(items: Iterable<Item>): void
  /** Stored bytes that are the base's. */
  copyStored(from: number, bytes: number): void
  /** A block; `items` are the content that is new in it. */
  pack(encoding: Encoding, sizes: PackSizes, items: Iterable<Item>): void
  /** The whole program. */
  end(): Buffer
}

export interface PackSizes {
  /** New content; what the pack before kept comes before it. */
  readonly bytes: number
  readonly consumed: number
  readonly kept: number
  readonly stored: number
}

export interface EmitterParts {
  readonly base: Base | undefined
  readonly data: DataWriter
  readonly locateNew: Places['locate']
  readonly codecs: Pick<Codecs, 'adjust'>
}

/** Turns items into operations with addresses, and hands their data to `data`. */
export function createEmitter(parts: EmitterParts): Emitter {
  const { base, data, locateNew } = parts
  const ops = listOps()
  const streams = startStreams({ ops, emit: item, literal: (bytes) => addLiteral(parts, ops, bytes) })

  function item(next: Item): void {
    switch (next.kind) {
      case 'zero':
        ops.add({ kind: 'zero', bytes: next.bytes })
        break
      case 'literal':
        addLiteral(parts, ops, next.data)
        break
      case 'base':
        fromBase(next)
        break
      case 'moved':
        addMoved(parts, ops, next)
        break
      case 'new':
        fromNew(next)
        break
      case 'take':
        streams.take(next)
    }
  }

  function fromBase({ at, bytes, difference }: Item & { kind: 'base' }): void {
    if (difference) data.add('difference', difference)
    for (const run of requireBase(base).locate(at, bytes)) addRun(ops, difference ? 'patch' : 'copy', run)
  }

  function fromNew({ at, bytes, data: content }: Item & { kind: 'new' }): void {
    let done = 0
    for (const place of locateNew(at, bytes)) {
      if (place.kind === 'nowhere') addLiteral(parts, ops, content.subarray(done, done + place.bytes))
      else for (const run of place.runs) addRun(ops, place.kind, run)
      done += place.bytes
    }
  }

  return {
    content(items) {
      for (const next of items) item(next)
    },
    copyStored: (from, bytes) => ops.add({ kind: 'copy', from, bytes }),
    pack(encoding, sizes, items) {
      ops.add({ kind: 'pack', encoding: ops.numberOf(encoding), ...sizes })
      for (const next of items) item(next)
      ops.fence()
    },
    end: () => ops.end(base?.blocks() ?? []),
  }
}

function requireBase(base: Base | undefined): Base {
  if (base === undefined) throw new Error('a copy without a base')
  return base
}

function addLiteral({ data }: EmitterParts, ops: OpList, bytes: Buffer): void {
  data.add('literal', bytes)
  for (let done = 0; done < bytes.length; done += MAX_TAKE_BYTES)
    ops.add({ kind: 'literal', bytes: Math.min(MAX_TAKE_BYTES, bytes.length - done) })
}

function addRun(ops: OpList, kind: 'copy' | 'patch' | 'self', { from, bytes }: Run): void {
  const step = kind === 'patch' ? MAX_TAKE_BYTES : bytes
  for (let done = 0; done < bytes; done += step)
    ops.add({ kind, from: from + done, bytes: Math.min(step, bytes - done) })
}

/** What differs is known only here: numbers that lie across the border of two operations stay as they are. */
function addMoved({ base, data, codecs }: EmitterParts, ops: OpList, item: Item & { kind: 'moved' }): void {
  let done = 0
  for (const run of requireBase(base).locate(item.at, item.bytes)) {
    for (let within = 0; within < run.bytes; within += MAX_MOVED_BYTES) {
      const step = Math.min(MAX_MOVED_BYTES, run.bytes - within)
      const from = run.from + within
      const part = cutMoved(item, done, step)
      const { map, aim } = part
      data.add('difference', subtractMoved(part, codecs))
      ops.aim({ map, shape: aim.shape, ahead: aim.oldAt - from, nowAt: aim.nowAt })
      ops.add({ kind: 'moved', from, bytes: step })
      done += step
    }
  }
}
