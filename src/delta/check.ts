import type { ImageManifest } from '../bundle/manifest.ts'
import { isAddress, isShape } from '../core/shape.ts'
import { checkBlocks, MAX_BLOCK_BYTES } from './check-blocks.ts'
import { MAX_TAKE_BYTES } from './data.ts'
import {
  type AsideOp,
  type ContentOp,
  isAside,
  malformed,
  type Op,
  type PackOp,
  type Program,
} from './program.ts'
import { countNeeds, type NeedsCount, type ProgramNeeds } from './program-needs.ts'
import { type SelfSpace, selfSpace } from './self-space.ts'

/** Bytes in which addresses are adjusted at once. */
export const MAX_MOVED_BYTES = 64 * 1024

interface Limits {
  readonly imageBytes: number
  readonly chunkBytes: number
  readonly baseBytes: number
}

export function limitsOf({ image }: Pick<ImageManifest, 'image'>, baseBytes: number): Limits {
  return { imageBytes: image.bytes, chunkBytes: image.chunkBytes, baseBytes }
}

/**
 * Walks the whole program before anything is written: every length, every place it reads from and every stream. Throws
 * `BUNDLE_MALFORMED`.
 */
export function checkProgram(program: Program, limits: Limits): ProgramNeeds {
  const walk = startWalk(program, limits)
  for (const op of walk.ops) checkTop(walk, op)
  if (walk.position !== limits.imageBytes)
    throw malformed(`makes ${walk.position} bytes, the image has ${limits.imageBytes}`)
  if (walk.carry > 0) throw malformed('leaves content that nothing takes')
  return walk.needs.end()
}

interface StreamState {
  readonly encoding: number
  waiting: number
  isFed: boolean
  finished: boolean
}

interface Walk {
  readonly program: Program
  readonly limits: Limits
  readonly ops: Generator<Op, void, undefined>
  readonly baseEnd: number
  readonly self: SelfSpace
  readonly streams: StreamState[]
  readonly needs: NeedsCount
  position: number
  /** Bytes that came out of all streams and were not taken. */
  waiting: number
  /** Content that a pack kept for the next one. */
  carry: number
  /** Address of the next byte of content, once there was an `aim`. */
  nowAt: number | undefined
  /** Of the last `aim`. */
  ahead: number
  hasMap: boolean
}

function startWalk(program: Program, limits: Limits): Walk {
  const blocks = checkBlocks(program, limits.baseBytes)
  return {
    program,
    limits,
    ops: program.ops(),
    baseEnd: blocks.end,
    self: selfSpace(limits.imageBytes),
    streams: [],
    needs: countNeeds(blocks.decodeBytes),
    position: 0,
    waiting: 0,
    carry: 0,
    nowAt: undefined,
    ahead: 0,
    hasMap: false,
  }
}

function checkTop(walk: Walk, op: Op): void {
  if (isAside(op)) checkAside(walk, op)
  else if (op.kind === 'pack') checkPack(walk, op)
  else if (walk.carry > 0) throw malformed('keeps content that no block takes')
  else {
    checkContent(walk, op, walk.limits.imageBytes - walk.position)
    walk.position += op.bytes
  }
}

function checkAside(walk: Walk, op: AsideOp): void {
  switch (op.kind) {
    case 'drop':
      checkTake(walk, op)
      return
    case 'open':
      requireEncoding(walk, op.encoding)
      walk.streams.push({ encoding: op.encoding, waiting: 0, isFed: false, finished: false })
      return
    case 'feed':
      checkFeed(walk, op)
      return
    case 'map':
      checkMap(op.map)
      walk.hasMap = true
      return
    case 'aim':
      if (!isShape(op.shape)) throw malformed('has a shape that makes no sense')
      if (!isAddress(op.nowAt) || !isAddress(op.ahead)) throw malformed('has an impossible address')
      walk.nowAt = op.nowAt
      walk.ahead = op.ahead
  }
}

function checkMap(map: Float64Array): void {
  const count = (map.length - 1) / 2
  for (let i = 0; i < count; i++) {
    const [start = 0, shift = 0, next = 0] = [map[i], map[count + i], map[i + 1 < count ? i + 1 : 2 * count]]
    if (!isAddress(start) || !isAddress(next) || !isAddress(start + shift))
      throw malformed('has an impossible address')
    if (next < start) throw malformed('has a map that goes back')
  }
}

function checkFeed(walk: Walk, op: Extract<Op, { kind: 'feed' }>): void {
  const state = openStream(walk, op.stream)
  if (op.bytes > MAX_BLOCK_BYTES) throw malformed(`feeds ${op.bytes} bytes at once`)
  walk.needs.beginFeed(op.bytes, walk.waiting)
  checkFill(walk, op.bytes)
  // What it was fed with may have fed it.
  openStream(walk, op.stream)
  state.waiting += op.made
  walk.waiting += op.made
  walk.needs.endFeed(op, state, walk.waiting)
  state.isFed = true
  state.finished = op.last
  if (op.bytes + walk.waiting > 2 * MAX_BLOCK_BYTES) throw malformed('holds back more than streams may')
}

function openStream({ streams }: Walk, index: number): StreamState {
  const state = streams[index]
  if (state === undefined || state.finished) throw malformed('feeds a stream that is not open')
  return state
}

function checkPack(walk: Walk, op: PackOp): void {
  requireEncoding(walk, op.encoding)
  const available = walk.carry + op.bytes
  if (op.consumed < 1 || op.consumed + op.kept > available || available > MAX_BLOCK_BYTES)
    throw malformed(`packs ${op.consumed} and keeps ${op.kept} of ${available} bytes`)
  if (op.stored < 1 || op.stored > Math.min(MAX_BLOCK_BYTES, walk.limits.imageBytes - walk.position))
    throw malformed(`makes a block of ${op.stored} bytes`)
  checkFill(walk, op.bytes)
  walk.position += op.stored
  walk.self.add(walk.position, op.consumed)
  walk.carry = op.kept
  walk.needs.pack(op, available)
}

/** Content of a pack or a feed. */
function checkFill(walk: Walk, bytes: number): void {
  for (let done = 0; done < bytes; ) {
    const { value: op } = walk.ops.next()
    if (!op) throw malformed('ends in the middle of a block')
    if (op.kind === 'pack') throw malformed('has a block inside a block')
    if (isAside(op)) checkAside(walk, op)
    else {
      checkContent(walk, op, bytes - done)
      done += op.bytes
    }
  }
}

function checkContent(walk: Walk, op: ContentOp, room: number): void {
  if (op.bytes < 1 || op.bytes > room) throw malformed(`makes ${op.bytes} bytes where ${room} are left`)
  if ((op.kind === 'literal' || op.kind === 'patch') && op.bytes > MAX_TAKE_BYTES)
    throw malformed(`takes ${op.bytes} bytes of data at once`)
  if (op.kind === 'copy' || op.kind === 'patch' || op.kind === 'moved') checkPlace(walk, op)
  if (op.kind === 'moved') checkMoved(walk, op)
  if (op.kind === 'self') checkSelf(walk, op)
  if (op.kind === 'take') checkTake(walk, op)
  if (walk.nowAt !== undefined) walk.nowAt += op.bytes
}

function checkPlace({ baseEnd }: Walk, { from, bytes }: { from: number; bytes: number }): void {
  if (from < 0 || from + bytes > baseEnd)
    throw malformed(`copies ${bytes} bytes from ${from} of a base of ${baseEnd}`)
}

function checkSelf({ self, needs, position, limits }: Walk, op: { from: number; bytes: number }): void {
  self.check(op, Math.floor(position / limits.chunkBytes) * limits.chunkBytes)
  if (op.from >= limits.imageBytes) needs.readBlock()
}

function checkMoved({ nowAt, ahead, hasMap }: Walk, { from, bytes }: { from: number; bytes: number }): void {
  if (bytes > MAX_MOVED_BYTES) throw malformed(`adjusts ${bytes} bytes at once`)
  if (nowAt === undefined || !hasMap) throw malformed('adjusts bytes without saying how')
  if (!isAddress(nowAt) || !isAddress(from + ahead)) throw malformed('has an impossible address')
}

function checkTake(walk: Walk, { stream, bytes }: { readonly bytes: number; readonly stream: number }): void {
  const state = walk.streams[stream]
  if (state === undefined || state.waiting < bytes)
    throw malformed(`takes ${bytes} bytes of a stream that has ${state?.waiting ?? 0}`)
  state.waiting -= bytes
  walk.waiting -= bytes
}

function requireEncoding({ program }: Walk, index: number): void {
  if (program.encodings[index] === undefined) throw malformed(`has no encoding ${index}`)
}
