import { describeImage } from '../../src/build/bundle.ts'
import type { ImageManifest, Variant } from '../../src/bundle/manifest.ts'
import type { ArrivedSegment } from '../../src/bundle/reader.ts'
import type { Codecs } from '../../src/core/codecs.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { Region } from '../../src/core/region.ts'
import { writeImage } from '../../src/delta/apply.ts'
import type { WriteResult } from '../../src/delta/chunks.ts'
import { writeData } from '../../src/delta/data.ts'
import type { Op, Program, ProgramHead } from '../../src/delta/program.ts'
import { readProgram } from '../../src/delta/read-program.ts'
import { encodeHead, writeOps } from '../../src/delta/write-program.ts'
import { codecs, type MadeBundle } from './bundles.ts'
import { memoryRegion } from './memory-region.ts'

const WINDOW_BYTES = 65_536
export const PROGRAM_CHUNK_BYTES = 4096

/** A program with all that it works on. It may lie. */
export interface ProgramInput {
  readonly program: Buffer
  readonly base: Buffer
  readonly image: Buffer
  readonly difference?: Buffer
  readonly literal?: Buffer
  readonly memoryBytes?: number
  /** Of the host, where they are not all as they should be. */
  readonly hostCodecs?: Codecs
}

export function programOf(head: ProgramHead, ops: readonly Op[]): Buffer {
  const writer = writeOps()
  for (const op of ops) writer.add(op)
  return Buffer.concat([encodeHead(head), writer.end()])
}

interface Parts {
  readonly manifest: ImageManifest
  readonly variant: Variant
  readonly payloads: readonly Buffer[]
}

async function packParts(input: ProgramInput): Promise<Parts> {
  const open = () => codecs.openPacker('zstd', 1, WINDOW_BYTES)
  const packers = { difference: open(), literal: open(), program: open() }
  const payloads: Buffer[] = []
  const packed = await packers.program.push(input.program)
  payloads.push(packed)
  const data = writeData(packers, async (bytes) => void payloads.push(Buffer.from(bytes)))
  if (input.difference) data.add('difference', input.difference)
  if (input.literal) data.add('literal', input.literal)
  const entry = { bytes: packed.length, rawBytes: input.program.length, digest: digestOf(packed) }
  const segments = [entry, ...(await data.end())]
  for (const packer of Object.values(packers)) packer.close()
  const { base, image, memoryBytes = 2 ** 40 } = input
  const variant: Variant = {
    base: { digest: digestOf(base), bytes: base.length },
    codecs: [],
    memoryBytes,
    packing: 'zstd',
    windowBytes: WINDOW_BYTES,
    programSegments: 1,
    segments,
  }
  const described = await describeImage(
    { region: memoryRegion(image), order: undefined },
    codecs,
    PROGRAM_CHUNK_BYTES,
  )
  const manifest = {
    format: 1,
    compatible: 'test',
    version: '1',
    epoch: 0,
    created: 1,
    image: { ...described, fs: 'raw' as const },
    variants: [variant],
  }
  return { manifest, variant, payloads }
}

async function* arrived({ variant, payloads }: Parts): AsyncGenerator<ArrivedSegment> {
  for (const [index, entry] of variant.segments.entries())
    yield { entry, payload: payloads[index] ?? Buffer.alloc(0) }
}

/** What a host does with a program, as it came out of a verified bundle. */
export async function applyProgram(input: ProgramInput, target: Region): Promise<WriteResult> {
  const parts = await packParts(input)
  const { manifest, variant } = parts
  const base = memoryRegion(input.base)
  const segments = arrived(parts)
  return await writeImage({
    ...{ manifest, variant, segments, base, target },
    codecs: input.hostCodecs ?? codecs,
  })
}

/** The program inside a bundle. */
export function programIn({ manifest, bytes, parts }: MadeBundle, index = 0): Program {
  const before = manifest.variants.slice(0, index).reduce((sum, { segments }) => sum + segments.length, 0)
  const variant = manifest.variants[index]
  if (variant === undefined) throw new Error(`there is no variant ${index}`)
  const unpacker = codecs.openUnpacker(variant.packing, variant.windowBytes)
  const raw = variant.segments.slice(0, variant.programSegments).map((segment, number) => {
    const into = Buffer.alloc(segment.rawBytes)
    const at = parts.segments[before + number] ?? 0
    unpacker.unpack(bytes.subarray(at, at + segment.bytes), into)
    return into
  })
  unpacker.close()
  return readProgram(Buffer.concat(raw))
}
