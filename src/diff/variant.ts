import { packChanges } from '../bundle/changes.ts'
import type { Variant } from '../bundle/manifest.ts'
import type { ImageRef, SegmentEntry } from '../bundle/manifest-parts.ts'
import type { ByteSink } from '../bundle/writer.ts'
import type { PackKind } from '../core/codec.ts'
import type { Codecs } from '../core/codecs.ts'
import { digestOf } from '../core/digest.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import { PROGRAM_CODEC } from '../delta/apply.ts'
import { checkProgram } from '../delta/check.ts'
import { writeData } from '../delta/data.ts'
import { memoryOf } from '../delta/needs.ts'
import { readProgram } from '../delta/read-program.ts'
import { type CreatedProgram, createProgram } from './create.ts'
import type { Target } from './target.ts'

export interface VariantOptions {
  readonly codecs: Codecs
  readonly target: Target
  /** The image that hosts have; without it the variant is a full one. */
  readonly base?: { readonly region: Region; readonly ref: ImageRef } | undefined
  readonly chunkBytes: number
  readonly packing: PackKind
  readonly level: number
  readonly windowBytes: number
  readonly minCopyBytes: number
  /** List what changed since the base. */
  readonly changes?: boolean
  readonly onProgress?: OnProgress | undefined
  readonly signal?: AbortSignal | undefined
}

export interface MadeVariant extends Pick<CreatedProgram, 'opaque' | 'costs' | 'changes'> {
  readonly variant: Variant
  /** Its list of changes as it stands in the bundle; empty where there is none. */
  readonly packedChanges: Buffer
}

/** Content of a program segment before compression. */
const PROGRAM_SEGMENT_BYTES = 8 * 1024 * 1024

/**
 * Makes one variant. Its program segments go to `program`, the others to `data`: in the bundle the program stands first,
 * but it is known last.
 */
export async function createVariant(
  options: VariantOptions,
  { program, data }: { program: ByteSink; data: ByteSink },
): Promise<MadeVariant> {
  const { codecs, base, target, chunkBytes, packing, level, windowBytes } = options
  const open = () => codecs.openPacker(packing, level, windowBytes)
  const packers = { difference: open(), literal: open(), program: open() }
  try {
    const writer = writeData(packers, data)
    const created = await createProgram({ ...options, base: base?.region, data: writer })
    const dataSegments = await writer.end()
    const programSegments: SegmentEntry[] = []
    for (let at = 0; at < created.program.length; at += PROGRAM_SEGMENT_BYTES) {
      const raw = created.program.subarray(at, at + PROGRAM_SEGMENT_BYTES)
      const packed = await packers.program.push(raw)
      await program(packed)
      programSegments.push({ bytes: packed.length, rawBytes: raw.length, digest: digestOf(packed) })
    }
    const parsed = readProgram(created.program)
    const needs = checkProgram(parsed, {
      imageBytes: target.region.bytes,
      chunkBytes,
      baseBytes: base?.ref.bytes ?? 0,
    })
    const names = new Set([...parsed.encodings, ...parsed.blocks].map(({ codec }) => codec))
    const shape = {
      packing,
      windowBytes,
      programSegments: programSegments.length,
      segments: [...programSegments, ...dataSegments],
    }
    const changes = created.changes && (await packChanges(created.changes, codecs))
    return {
      opaque: created.opaque,
      costs: created.costs,
      changes: created.changes,
      packedChanges: changes?.packed ?? Buffer.alloc(0),
      variant: {
        ...shape,
        ...(base && { base: base.ref }),
        ...(changes && { changes: changes.entry }),
        codecs: [PROGRAM_CODEC, ...[...names].map((name) => ({ name, version: codecs.fingerprint(name) }))],
        memoryBytes: memoryOf({ needs, program: parsed, variant: shape, chunkBytes, codecs }),
      },
    }
  } finally {
    for (const packer of Object.values(packers)) packer.close()
  }
}
