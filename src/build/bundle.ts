import type { KeyObject } from 'node:crypto'
import { dirname } from 'node:path'
import { FORMAT_VERSION } from '../bundle/header.ts'
import {
  chunkRange,
  DEFAULT_CHUNK_BYTES,
  encodeManifest,
  type ImageEntry,
  type Manifest,
} from '../bundle/manifest.ts'
import type { ImageRef } from '../bundle/manifest-parts.ts'
import type { Source } from '../bundle/source.ts'
import { writeBundle } from '../bundle/writer.ts'
import type { Codecs } from '../core/codecs.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { OpenRegion } from '../core/region.ts'
import { inOrder } from '../delta/order.ts'
import type { FileCost } from '../diff/cost.ts'
import { openTarget, type Target } from '../diff/target.ts'
import { createVariant, type MadeVariant, type VariantOptions } from '../diff/variant.ts'
import { nativeCodecs } from '../host/delta-codecs.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { signManifest } from '../trust/verify.ts'
import { detectFileSystem } from './file-system.ts'
import { writeWhole } from './whole-file.ts'

export interface BundleRequest {
  /** Images that hosts have; each makes one variant. */
  from: readonly string[]
  /** A variant that needs no base; always there where nothing is in `from`. */
  full: boolean
  to: string
  out: string
  /** None: it is signed later. */
  keys: readonly KeyObject[]
  /** A chain that hosts may follow; empty for none. */
  keyLists: Buffer
  compatible: string
  version: string
  epoch: number
  /** Seconds since 1970. */
  created: number
  expires: number | undefined
  /** 1 (fast) to 9 (small). */
  effort: number
  /** List what changed since each base. */
  changes: boolean
  /** What the image of the release was made of. */
  source: Source | undefined
  onProgress: OnProgress
}

export interface BuiltBundle {
  manifest: Manifest
  bytes: number
  variants: readonly VariantReport[]
}

/** What a variant is made of. */
export interface VariantReport {
  from: string | undefined
  bytes: number
  opaque: MadeVariant['opaque']
  costs: readonly FileCost[]
  changes: MadeVariant['changes']
}

/** Makes and signs a bundle; the same request gives the same bytes. The file appears whole or not at all. */
export async function createBundle(host: Host, request: BundleRequest): Promise<BuiltBundle> {
  const region = await openImage(host, request.to)
  try {
    return await withTempDir((dir) => assemble(host, { request, region, dir }), dirname(request.out))
  } finally {
    await region.close()
  }
}

async function openImage(host: Host, path: string): Promise<OpenRegion> {
  const region = await host.openRegion(path)
  if (region.bytes > 0) return region
  await region.close()
  throw new PineError('USAGE', `${path} is empty, expected an image`, { hint: 'make one with "image build"' })
}

interface Assembly {
  request: BundleRequest
  region: OpenRegion
  /** For the segments: the manifest names them, so it is written before them. */
  dir: string
}

async function assemble(host: Host, { request, region, dir }: Assembly): Promise<BuiltBundle> {
  const codecs = nativeCodecs()
  const target = await openTarget(region, codecs)
  const image = { ...(await describeImage(target, codecs)), fs: await detectFileSystem(region) }
  const made: MadeVariant[] = []
  const sources = [...request.from, ...(request.full || request.from.length === 0 ? [undefined] : [])]
  for (const [index, from] of sources.entries()) {
    const onProgress: OnProgress = (done, total) =>
      request.onProgress(index * total + done, sources.length * total)
    const shape = {
      codecs,
      target,
      chunkBytes: image.chunkBytes,
      changes: request.changes,
      ...effortOf(from, request.effort),
      onProgress,
    }
    made.push(await makeVariant(host, { from, shape, path: `${dir}/${index}` }))
  }
  const manifest: Manifest = {
    format: FORMAT_VERSION,
    compatible: request.compatible,
    version: request.version,
    epoch: request.epoch,
    created: request.created,
    ...(request.expires === undefined ? {} : { expires: request.expires }),
    image,
    variants: made.map(({ variant }) => variant),
    ...(request.source && { source: request.source }),
  }
  const files = sources.flatMap((_, index) => [`${dir}/${index}.program`, `${dir}/${index}.data`])
  const lists = made.map(({ packedChanges }) => packedChanges)
  const bytes = await writeBundleFile(host, { request, manifest, files, lists })
  const variants = made.map(({ variant, opaque, costs, changes }, index) => ({
    from: sources[index],
    bytes: variant.segments.reduce((sum, segment) => sum + segment.bytes, 0),
    opaque,
    costs,
    changes,
  }))
  return { manifest, bytes, variants }
}

const MiB = 1024 * 1024
/** Copies that are shorter cost more than the zeros of a longer patch; measured on the pair of docs/benchmarks.md. */
const MIN_COPY_BYTES = 128

/** A delta is small and worth LZMA; a full variant is large, and hosts should not spend long on it. */
function effortOf(
  from: string | undefined,
  effort: number,
): Pick<VariantOptions, 'packing' | 'level' | 'windowBytes' | 'minCopyBytes'> {
  const minCopyBytes = MIN_COPY_BYTES
  if (from === undefined)
    return { packing: 'zstd', level: effort * 2 + 1, windowBytes: 8 * MiB, minCopyBytes }
  return { packing: 'lzma2', level: effort, windowBytes: MiB, minCopyBytes }
}

interface VariantPlace {
  from: string | undefined
  shape: Omit<VariantOptions, 'base'>
  path: string
}

async function makeVariant(host: Host, { from, shape, path }: VariantPlace): Promise<MadeVariant> {
  const region = from === undefined ? undefined : await openImage(host, from)
  const [program, data] = [await host.createFile(`${path}.program`), await host.createFile(`${path}.data`)]
  try {
    const base = region && { region, ref: await refOf(region, shape.codecs) }
    return await createVariant({ ...shape, base }, { program: program.append, data: data.append })
  } finally {
    await program.close()
    await data.close()
    await region?.close()
  }
}

interface BundleContent {
  request: Pick<BundleRequest, 'keys' | 'keyLists' | 'out'>
  manifest: Manifest
  /** With the segments. */
  files: readonly string[]
  lists: readonly Buffer[]
}

/** Signs and writes it, whole or not at all; returns its length. */
export async function writeBundleFile(
  host: Host,
  { request, manifest, files, lists }: BundleContent,
): Promise<number> {
  const manifestBytes = encodeManifest(manifest)
  const signatures = request.keys.map((key) => signManifest(manifestBytes, key))
  const { keyLists } = request
  return writeWhole(host, request.out, (append) =>
    writeBundle({ manifest, signatures, keyLists, payload: readAll(host, files, lists) }, append),
  )
}

async function* readAll(
  host: Host,
  files: readonly string[],
  lists: readonly Buffer[],
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const file of files) yield* host.readSource(file)
  yield* lists
}

/** What a manifest says of the image's bytes. */
export async function describeImage(
  { region, order }: Pick<Target, 'region' | 'order'>,
  codecs: Codecs,
  chunkBytes = DEFAULT_CHUNK_BYTES,
): Promise<Omit<ImageEntry, 'fs'>> {
  const place = inOrder(region, order)
  const shape = { bytes: region.bytes, chunkBytes }
  const buffer = Buffer.allocUnsafeSlow(chunkBytes)
  const chunks: Buffer[] = []
  for (let index = 0; index * chunkBytes < region.bytes; index++) {
    const { offset, bytes } = chunkRange(shape, index)
    await place.read(buffer.subarray(0, bytes), offset)
    chunks.push(codecs.blake3(buffer.subarray(0, bytes)))
  }
  const { digest } = await refOf(region, codecs)
  return { ...shape, ...(order && { order }), digest, chunks: Buffer.concat(chunks) }
}

async function refOf(region: OpenRegion | Target['region'], codecs: Codecs): Promise<ImageRef> {
  return { digest: await digestRegion(region, { hashing: codecs }), bytes: region.bytes }
}
