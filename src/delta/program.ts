import type { CodecName, Encoding } from '../core/encoding.ts'
import { PineError } from '../core/error.ts'
import type { Shape } from '../core/shape.ts'

/**
 * How the next bytes come to be. `copy`, `patch` and `self` read from where `from` points:
 * the base space is the base image, then what each of `Program.blocks` decodes to; the self space is the new image in the
 * order it is made, then the content of each packed block made so far.
 */
export type Op = ContentOp | PackOp | OpenOp | FeedOp | DropOp | MapOp | AimOp

export type ContentOp =
  | { readonly kind: 'zero'; readonly bytes: number }
  | { readonly kind: 'literal'; readonly bytes: number }
  | { readonly kind: 'copy'; readonly bytes: number; readonly from: number }
  /** Bytes of the base, to each of which a byte of the difference is added. */
  | { readonly kind: 'patch'; readonly bytes: number; readonly from: number }
  /** The same after addresses in them have followed the last `map`, as the last `aim` says. */
  | { readonly kind: 'moved'; readonly bytes: number; readonly from: number }
  | { readonly kind: 'self'; readonly bytes: number; readonly from: number }
  /** The next bytes that a stream has given. */
  | { readonly kind: 'take'; readonly bytes: number; readonly stream: number }

/** One encoded block of the image. The operations that follow make `bytes` of content. */
export interface PackOp {
  readonly kind: 'pack'
  readonly bytes: number
  readonly encoding: number
  /** Content that is in the block, of what the pack before kept and then the new; the encoder sees the rest as well. */
  readonly consumed: number
  /** How much of the rest the next pack begins with. */
  readonly kept: number
  readonly stored: number
}

/** Starts a stream; streams are numbered from 0. */
export interface OpenOp {
  readonly kind: 'open'
  readonly encoding: number
}

/** Content for a stream, made by the operations that follow; `made` encoded bytes come out of it. */
export interface FeedOp {
  readonly kind: 'feed'
  readonly bytes: number
  readonly stream: number
  readonly made: number
  readonly last: boolean
}

/** Passes over the next bytes that a stream has given. */
export interface DropOp {
  readonly kind: 'drop'
  readonly bytes: number
  readonly stream: number
}

/** Where the addresses of a file have gone: see `Aim.map`. */
export interface MapOp {
  readonly kind: 'map'
  readonly map: Float64Array
}

/** What is in the bytes that `moved` takes from here on. */
export interface AimOp {
  readonly kind: 'aim'
  readonly shape: Shape
  /** Address of a byte of the base, less its place in the base space. */
  readonly ahead: number
  /** Address of the next byte of content; it grows with all content that is made. */
  readonly nowAt: number
}

/** What makes no content itself. */
export type AsideOp = OpenOp | FeedOp | DropOp | MapOp | AimOp

export function isAside(op: Op): op is AsideOp {
  return (
    op.kind === 'open' || op.kind === 'feed' || op.kind === 'drop' || op.kind === 'map' || op.kind === 'aim'
  )
}

/** An encoded block, by where in its space the stored bytes are: in one run, or in several where a file is scattered. */
export interface Block {
  readonly codec: CodecName
  readonly runs: readonly Run[]
  readonly content: number
}

export interface Run {
  readonly from: number
  readonly bytes: number
}

export interface ProgramHead {
  readonly encodings: readonly Encoding[]
  readonly blocks: readonly Block[]
}

export interface Program extends ProgramHead {
  /** From the first one, each time it is called. Throws `BUNDLE_MALFORMED`. */
  ops(): Generator<Op, void, undefined>
}

/** The order is the number each has in a bundle. */
export const KINDS = [
  'zero',
  'literal',
  'copy',
  'patch',
  'self',
  'take',
  'pack',
  'open',
  'feed',
  'drop',
  'moved',
  'map',
  'aim',
] as const
/** An operation begins with its size times this, plus its kind. */
export const KIND_RANGE = 16
/** Numbers of all operations, by what they are; the order in which they stand in a program. */
export const COLUMNS = ['ops', 'base', 'starts', 'shifts', 'rest'] as const
export type Column = (typeof COLUMNS)[number]

/** Of one map. */
export const MAX_MAP_STEPS = 65_536

export function malformed(what: string, cause?: unknown): PineError {
  return new PineError('BUNDLE_MALFORMED', `the program of the bundle ${what}`, { cause })
}
