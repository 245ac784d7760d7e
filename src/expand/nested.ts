import type { BlockCodecs, Encoding } from '../core/encoding.ts'
import { bzImagePayload } from './bzimage.ts'
import { cpio, skipZeros } from './cpio.ts'
import { gzip } from './gzip.ts'
import { lz4Legacy } from './lz4-legacy.ts'
import type { Decoder, Found, Payload } from './payload.ts'
import { proveEncoding } from './proof.ts'
import { xz } from './xz.ts'
import { zstdFrame } from './zstd-frame.ts'

export { type CpioMember, cpioMembers } from './cpio.ts'

/** A compressed payload inside a file: `file[at, at + stored)` is what `encoding` makes of `content`. */
export interface Nested {
  readonly at: number
  readonly stored: number
  readonly encoding: Encoding
  readonly content: Buffer
}

export interface NestedOptions {
  /** Only payloads that encoding their content again gave bit for bit; else every one that decodes, its encoding a guess. */
  readonly prove: boolean
  /** Which encodings of so much content are to be tried; all without it. */
  readonly accept?: (encoding: Encoding, contentBytes: number) => boolean
}

const FORMATS = [gzip, zstdFrame, xz, lz4Legacy, cpio]

const MIB = 1024 * 1024
const MAX_CONTENT = 256 * MIB
// Of a base the host decodes what it reads from again and again: payloads have to be small.
const MAX_BASE_CONTENT = 16 * MIB

/**
 * The payloads of a file, ascending and without overlap; most files have none. Those that are not proved have at most
 * 16 MiB of content.
 * Looks at the start of the file, into an x86 kernel, and behind each archive or payload; nowhere else.
 */
export async function findNested(
  path: string,
  file: Buffer,
  codecs: BlockCodecs,
  { prove, accept = () => true }: NestedOptions,
): Promise<Nested[]> {
  // A table of the file system, not a file.
  if (path.startsWith('#')) return []
  const decoder = { codecs, maxContent: prove ? MAX_CONTENT : MAX_BASE_CONTENT }
  const nested: Nested[] = []
  for (const payload of payloadsOf(file, decoder)) {
    const { candidates: all } = likeBefore(payload, nested.at(-1)?.encoding)
    const candidates = all.filter((encoding) => accept(encoding, payload.content.length))
    const stored = file.subarray(payload.at, payload.at + payload.stored)
    const encoding = prove
      ? await proveEncoding(codecs, { payload: { ...payload, candidates }, stored })
      : candidates[0]
    if (encoding === undefined) continue
    nested.push({ at: payload.at, stored: payload.stored, encoding, content: payload.content })
  }
  return nested
}

function* payloadsOf(file: Buffer, decoder: Decoder): Generator<Payload> {
  const kernel = bzImagePayload(file)
  const start = kernel?.at ?? 0
  const region = file.subarray(start, kernel === undefined ? file.length : start + kernel.bytes)
  for (let at = 0; at < region.length; ) {
    const found = readNext(region.subarray(at), decoder)
    if (found === undefined) return
    for (const payload of found.payloads) yield { ...payload, at: start + at + payload.at }
    at = skipZeros(region, at + found.end)
  }
}

function readNext(region: Buffer, decoder: Decoder): Found | undefined {
  const format = FORMATS.find(({ magic }) => region.subarray(0, magic.length).equals(magic))
  try {
    return format?.read(region, decoder)
  } catch {
    // Damaged, or it only looks like one: the bytes stay what they are.
    return undefined
  }
}

/** Payloads of one file are made alike. */
function likeBefore(payload: Payload, before: Encoding | undefined): Payload {
  if (before === undefined) return payload
  const key = (encoding: Encoding): string => [encoding.codec, ...encoding.params].join()
  const [same, others] = [payload.candidates.filter((c) => key(c) === key(before)), payload.candidates]
  return { ...payload, candidates: [...new Set([...same, ...others])] }
}
