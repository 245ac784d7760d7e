import type { Codecs } from '../core/codecs.ts'
import type { Piece } from '../expand/image.ts'
import { type CpioMember, cpioMembers, findNested, type Nested } from '../expand/nested.ts'
import type { Base } from './base.ts'
import { bytesOf } from './content.ts'
import { findElf } from './elf.ts'
import { insideOrder, type Part, partsOf } from './inside.ts'
import { cutMoved, type Item, type ItemList, listItems } from './item.ts'
import { compareBuilds, type MovedFile } from './moved.ts'
import { acceptPayload, encodeParts } from './payloads.ts'
import { indexPieces, slicePieces } from './pieces.ts'
import { subtract } from './subtract.ts'

export interface DeltaContext {
  readonly base: Base | undefined
  readonly codecs: Codecs
  /** Where the new image has a file with exactly these bytes, if it is made before the files that come last. */
  readonly findNew: (content: Buffer) => readonly Piece[] | undefined
  readonly minCopyBytes: number
}

/** Zeros shorter than this stay in the literals. */
const MIN_ZEROS = 64
/** A suffix array takes four bytes for each of these; larger pairs go in windows. */
const MAX_SORTED_BYTES = 128 * 1024 * 1024

/** How to make a file of the new image. */
export async function deltaFile(path: string, content: Buffer, context: DeltaContext): Promise<ItemList> {
  if (context.base === undefined) return listItems(literal(content))
  const same = await context.base.findSame(content)
  if (same) return listItems(fromBase(same, undefined))
  const { codecs } = context
  const accept = acceptPayload(codecs)
  const nested = await findNested(path, content, codecs, { prove: true, accept })
  const parts = partsOf(content.length, nested)
  const inside = decodeParts(content, parts)
  const members = findMembers(inside, parts)
  const items =
    members.length > 0
      ? await deltaArchive(inside, members, context)
      : await deltaBuffer(path, inside, context)
  if (nested.length === 0) return listItems(items)
  return listItems(await encodeParts(content, { parts, items: listItems(items), codecs }))
}

function decodeParts(content: Buffer, parts: readonly Part<Nested>[]): Buffer {
  const [only] = parts
  if (parts.length === 1 && only?.payload === undefined) return content
  const decoded = insideOrder(parts).map(
    ({ at, stored, payload }) => payload?.content ?? content.subarray(at, at + stored),
  )
  return Buffer.concat(decoded)
}

/** What archives in the file hold, in it as it is or in a payload. */
function findMembers(inside: Buffer, parts: readonly Part<Nested>[]): CpioMember[] {
  return insideOrder(parts).flatMap((part) =>
    cpioMembers(inside.subarray(part.inside, part.inside + part.bytes)).map((member) => ({
      ...member,
      at: member.at + part.inside,
    })),
  )
}

/** Members that are files elsewhere are copied; the rest is made from the base file's content where it has one. */
async function deltaArchive(
  bytes: Buffer,
  members: readonly CpioMember[],
  context: DeltaContext,
): Promise<Item[]> {
  const out: Item[] = []
  let done = 0
  for (const { path, at, bytes: length } of members) {
    if (length < MIN_ZEROS) continue
    const content = bytes.subarray(at, at + length)
    for (const item of literal(bytes.subarray(done, at))) out.push(item)
    for (const item of await deltaMember(path, content, context)) out.push(item)
    done = at + length
  }
  for (const item of literal(bytes.subarray(done))) out.push(item)
  return out
}

async function deltaMember(path: string, content: Buffer, context: DeltaContext): Promise<Item[]> {
  const same = await context.base?.findSame(content)
  if (same) return fromBase(same, undefined)
  const made = context.findNew(content)
  if (made) return fromNew(made, content)
  return await deltaBuffer(path, content, context)
}

async function deltaBuffer(path: string, content: Buffer, context: DeltaContext): Promise<Item[]> {
  const { base } = context
  const partner = content.length < MIN_ZEROS ? undefined : base?.findPartner(path, content.length)
  if (base === undefined || partner === undefined) return literal(content)
  const pieces = await base.expandFile(partner)
  const moved = await deltaBuild(content, pieces, { ...context, base })
  if (moved) return moved
  const out: Item[] = []
  for (let at = 0; at < content.length; at += MAX_SORTED_BYTES) {
    const part = content.subarray(at, at + MAX_SORTED_BYTES)
    const window = windowOf(pieces, at)
    const old = await base.readPieces(window)
    const triples = await context.codecs.diff(old, part, context.minCopyBytes)
    for (const item of fromTriples(triples, { content: part, old, pieces: window })) out.push(item)
  }
  return out
}

/** A program or a kernel as another build of the base's. */
async function deltaBuild(
  content: Buffer,
  pieces: readonly Piece[],
  { base, codecs, minCopyBytes }: DeltaContext & { base: Base },
): Promise<Item[] | undefined> {
  if (Math.max(content.length, bytesOf(pieces)) > MAX_SORTED_BYTES || findElf(content) === undefined)
    return undefined
  const old = await base.readPieces(pieces)
  const found = await compareBuilds([old, content], minCopyBytes, codecs)
  return found && fromRuns(found, { content, old, pieces })
}

function fromRuns({ runs, map }: MovedFile, { content, old, pieces }: Pair): Item[] {
  const index = indexPieces(pieces)
  return runs.flatMap((run): Item[] => {
    const data = content.subarray(run.now, run.now + run.bytes)
    if (run.old < 0) return literal(data)
    const before = old.subarray(run.old, run.old + run.bytes)
    const places = index(run.old, run.bytes)
    if (run.aim && places.every(({ at }) => at >= 0))
      return fromMoved(places, { aim: run.aim, map, old: before, data })
    return fromBase(places, run.kind === 'copy' ? undefined : subtract(data, before))
  })
}

type MovedContent = Pick<Item & { kind: 'moved' }, 'aim' | 'map' | 'old' | 'data'>

function fromMoved(places: readonly Piece[], moved: MovedContent): Item[] {
  const bytes = bytesOf(places)
  const [at = 0] = places.map((piece) => piece.at)
  const whole = { kind: 'moved', bytes, at, ...moved } as const
  let done = 0
  return places.map((piece) => {
    const item = cutMoved(whole, done, piece.bytes)
    done += piece.bytes
    return { ...item, at: piece.at }
  })
}

/** The part of a large file that most likely became the part at `at`. */
function windowOf(pieces: readonly Piece[], at: number): readonly Piece[] {
  const bytes = bytesOf(pieces)
  if (bytes <= MAX_SORTED_BYTES) return pieces
  const start = Math.min(at, bytes - MAX_SORTED_BYTES)
  return slicePieces(pieces, start, MAX_SORTED_BYTES)
}

interface Pair {
  readonly content: Buffer
  readonly old: Buffer
  /** Where `old` is. */
  readonly pieces: readonly Piece[]
}

function fromTriples(triples: Int32Array, { content, old, pieces }: Pair): Item[] {
  const out: Item[] = []
  const index = indexPieces(pieces)
  let at = 0
  for (let i = 0; i < triples.length; i += 3) {
    const [kind = 0, bytes = 0, place = 0] = triples.subarray(i, i + 3)
    if (kind === 0) out.push(...literal(content.subarray(at, at + bytes)))
    else {
      const difference =
        kind === 2 ? subtract(content.subarray(at, at + bytes), old.subarray(place)) : undefined
      out.push(...fromBase(index(place, bytes), difference))
    }
    at += bytes
  }
  return out
}

function fromBase(pieces: readonly Piece[], difference: Buffer | undefined): Item[] {
  const out: Item[] = []
  let done = 0
  for (const { at, bytes } of pieces) {
    const part = difference?.subarray(done, done + bytes)
    // A hole of the base is no place to copy from: the difference to zeros is the content.
    if (at >= 0) out.push({ kind: 'base', at, bytes, ...(part && { difference: part }) })
    else if (part) out.push(...literal(part))
    else out.push({ kind: 'zero', bytes })
    done += bytes
  }
  return out
}

function fromNew(pieces: readonly Piece[], content: Buffer): Item[] {
  let done = 0
  return pieces.map(({ at, bytes }) => {
    const data = content.subarray(done, done + bytes)
    done += bytes
    return at < 0 ? { kind: 'zero', bytes } : { kind: 'new', at, bytes, data }
  })
}

/** Bytes as they are, but for longer runs of zeros. */
export function literal(data: Buffer): Item[] {
  const out: Item[] = []
  let done = 0
  for (let at = 0; at < data.length; ) {
    const zero = data.indexOf(ZEROS, at)
    if (zero < 0) break
    let end = zero + MIN_ZEROS
    while (end < data.length && data[end] === 0) end++
    if (zero > done) out.push({ kind: 'literal', bytes: zero - done, data: data.subarray(done, zero) })
    out.push({ kind: 'zero', bytes: end - zero })
    done = end
    at = end
  }
  if (done < data.length) out.push({ kind: 'literal', bytes: data.length - done, data: data.subarray(done) })
  return out
}

const ZEROS = Buffer.alloc(MIN_ZEROS)
