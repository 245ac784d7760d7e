import { availableParallelism } from 'node:os'
import type { ImageManifest, Variant } from '../bundle/manifest.ts'
import type { ArrivedSegment } from '../bundle/reader.ts'
import type { Codecs } from '../core/codecs.ts'
import { CODEC_NAMES } from '../core/encoding.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import { type BlockSpace, openSpace } from './block-space.ts'
import { checkProgram, limitsOf } from './check.ts'
import { findRightChunks, type WriteResult, writeChunks } from './chunks.ts'
import { type DataUnpackers, readData, unpackExactly } from './data.ts'
import { runProgram } from './machine.ts'
import { memoryOf, OPEN_CHUNKS, programBytes } from './needs.ts'
import { inOrder } from './order.ts'
import { malformed, type Program } from './program.ts'
import { readProgram } from './read-program.ts'

export interface WriteImageOptions {
  readonly manifest: ImageManifest
  /** One of the manifest's. */
  readonly variant: Variant
  /** `opened.segments(manifest.variants, variant)`. */
  readonly segments: AsyncIterable<ArrivedSegment>
  readonly codecs: Codecs
  /** Where the base image is, at its start; needed when the variant names one. */
  readonly base?: Region | undefined
  /** The slot; may be longer than the image. */
  readonly target: Region
  readonly signal?: AbortSignal | undefined
  /** How much may wait in memory for the disk, at most twice; default 32 MiB. */
  readonly unflushedBytes?: number | undefined
  /** Bytes of the image that are in place. */
  readonly onProgress?: OnProgress | undefined
}

/** A power cut loses at most twice this much work, and the page cache of a small host stays its own. */
const UNFLUSHED_BYTES = 32 * 1024 * 1024

/** Version of the program's encoding, named in the manifest's codecs. */
export const PROGRAM_CODEC = { name: 'pine-program', version: '1' } as const

/** What this program can run and re-encode, as `HostPolicy.codecs` wants it. */
export function supportedCodecs(codecs: Codecs): ReadonlyMap<string, () => string> {
  const encoders = CODEC_NAMES.map((name) => [name, () => codecs.fingerprint(name)] as const)
  return new Map([[PROGRAM_CODEC.name, () => PROGRAM_CODEC.version], ...encoders])
}

/**
 * Puts the image into `target`, chunk by chunk: what is already right is left alone, what does not come out right is never
 * written; at the end all of it is flushed. Does not check signatures, and does not read back what it wrote.
 * Throws `IMAGE_TOO_BIG`, `BASE_MISMATCH` and, for a program that makes no sense, `BUNDLE_MALFORMED` before the first write;
 * later `BASE_MISMATCH`, `BUNDLE_CORRUPT` or `CODEC_MISMATCH` for a chunk that comes out wrong, `IO_FAILED` for a target that
 * does not take a write or a base that cannot be read, what the segments throw, and the reason of `signal`.
 */
export async function writeImage(options: WriteImageOptions): Promise<WriteResult> {
  const { manifest, variant, codecs, target, signal, onProgress } = options
  const { image } = manifest
  requireRoom(options)
  requireProgramMemory(variant)
  const segments = options.segments[Symbol.asyncIterator]()
  const unpackers = openUnpackers(codecs, variant)
  try {
    const program = readProgram(await readProgramBytes(segments, { codecs, variant }))
    requireMemory(program, options)
    const place = inOrder(target, image.order)
    const data = readData(segments, unpackers)
    const chunks = writeChunks({
      image,
      target: place,
      hash: codecs.blake3,
      right: await findRightChunks(place, { image, hash: codecs.blake3, signal }),
      open: OPEN_CHUNKS,
      unflushedBytes: options.unflushedBytes ?? UNFLUSHED_BYTES,
      wrong: (index) => wrongChunk(index, variant),
      onChunk: (bytes) => onProgress?.(bytes, image.bytes),
    })
    const base = openBaseSpace(options, program)
    await runProgram({
      program,
      data,
      base,
      self: openSelfSpace(options, place),
      chunks,
      codecs,
      chunkBytes: image.chunkBytes,
      // One more than run: a core need not wait until the next is handed over.
      parallel: availableParallelism() + 1,
      signal,
    })
    await data.end()
    return await chunks.end()
  } catch (error) {
    // The same interruption often cuts off what sends the bundle.
    signal?.throwIfAborted()
    throw error
  } finally {
    for (const unpacker of Object.values(unpackers)) unpacker.close()
    await segments.return?.()
  }
}

function openUnpackers(codecs: Codecs, { packing, windowBytes }: Variant): DataUnpackers {
  return {
    difference: codecs.openUnpacker(packing, windowBytes),
    literal: codecs.openUnpacker(packing, windowBytes),
  }
}

function requireRoom({ manifest: { image }, variant, base, target }: WriteImageOptions): void {
  if (image.bytes > target.bytes) {
    throw new PineError(
      'IMAGE_TOO_BIG',
      `the image has ${image.bytes} bytes, ${target.name} has ${target.bytes}`,
    )
  }
  if (variant.base === undefined) return
  const { digest, bytes } = variant.base
  if (base === undefined) {
    throw new PineError(
      'BASE_MISMATCH',
      `the bundle needs image ${digest.slice(0, 16)} to copy from, there is none`,
      { hint: 'take the full bundle' },
    )
  }
  if (base.bytes < bytes) {
    throw new PineError('BASE_MISMATCH', `the base image has ${bytes} bytes, ${base.name} has ${base.bytes}`)
  }
}

async function readProgramBytes(
  segments: AsyncIterator<ArrivedSegment>,
  { codecs, variant }: { codecs: Codecs; variant: Variant },
): Promise<Buffer> {
  const entries = variant.segments.slice(0, variant.programSegments)
  const program = Buffer.allocUnsafeSlow(programBytes(variant))
  const unpacker = codecs.openUnpacker(variant.packing, variant.windowBytes)
  try {
    let done = 0
    for (const { rawBytes } of entries) {
      const { value } = await segments.next()
      if (value === undefined) throw new Error('the reader gave fewer segments than the variant has')
      unpackExactly(unpacker, value.payload, program.subarray(done, done + rawBytes))
      done += rawBytes
    }
    return program
  } finally {
    unpacker.close()
  }
}

/** The whole program is checked here, and that it asks for no more memory than the bundle says. */
function requireMemory(program: Program, { manifest, variant, codecs }: WriteImageOptions): void {
  const needs = checkProgram(program, limitsOf(manifest, variant.base?.bytes ?? 0))
  requireNamed(variant, memoryOf({ needs, program, variant, chunkBytes: manifest.image.chunkBytes, codecs }))
}

/** Before it is unpacked. */
function requireProgramMemory(variant: Variant): void {
  requireNamed(variant, programBytes(variant))
}

function requireNamed({ memoryBytes }: Variant, bytes: number): void {
  if (bytes <= memoryBytes) return
  throw new PineError(
    'BUNDLE_MALFORMED',
    `applying needs ${bytes} bytes of memory, the bundle says ${memoryBytes}`,
  )
}

function openBaseSpace({ variant, base, target, codecs }: WriteImageOptions, program: Program): BlockSpace {
  const damaged = (cause: unknown) => damagedBase(variant, cause)
  const space = openSpace({ region: base ?? target, bytes: variant.base?.bytes ?? 0, codecs, damaged })
  for (const block of program.blocks) space.add(block)
  return space
}

/** Its blocks are made by this host, or were found in chunks that are right: only the program can be wrong about them. */
function openSelfSpace({ manifest: { image }, codecs }: WriteImageOptions, place: Region): BlockSpace {
  const damaged = (cause: unknown) => malformed('copies from a block of the image that is none', cause)
  return openSpace({ region: place, bytes: image.bytes, codecs, damaged })
}

function damagedBase({ base }: Variant, cause: unknown): PineError {
  return new PineError(
    'BASE_MISMATCH',
    `a packed block of the base is damaged, or it is not image ${base?.digest.slice(0, 16)}`,
    { hint: 'take the full bundle', cause },
  )
}

function wrongChunk(index: number, { base }: Variant): PineError {
  if (base === undefined) {
    return new PineError(
      'BUNDLE_CORRUPT',
      `chunk ${index} of the image does not have the digest the manifest names`,
    )
  }
  return new PineError(
    'BASE_MISMATCH',
    `chunk ${index} comes out wrong: what it is made from is not image ${base.digest.slice(0, 16)}, or was encoded otherwise`,
    { hint: 'take the full bundle' },
  )
}
