import type { KeyObject } from 'node:crypto'
import { dirname } from 'node:path'
import { FORMAT_VERSION } from '../bundle/header.ts'
import { encodeManifest, type ImageRef, type Manifest } from '../bundle/manifest.ts'
import { writeBundle } from '../bundle/writer.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import { applyMemoryBytes, NEEDED_CODECS } from '../delta/apply.ts'
import { createDelta } from '../delta/create.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { nativeCodec } from '../host/native.ts'
import { signManifest } from '../trust/verify.ts'
import { detectFileSystem } from './file-system.ts'

export interface BundleRequest {
  /** The image that the hosts have; without it the bundle is full. */
  from: string | undefined
  to: string
  out: string
  key: KeyObject
  compatible: string
  version: string
  epoch: number
  /** Seconds since 1970. */
  created: number
  expires: number | undefined
  onProgress: OnProgress
}

export interface BuiltBundle {
  manifest: Manifest
  bytes: number
}

/** Makes and signs a bundle; the same request gives the same bytes. The file appears whole or not at all. */
export async function createBundle(host: Host, request: BundleRequest): Promise<BuiltBundle> {
  const target = await openImage(host, request.to)
  try {
    const base = request.from === undefined ? undefined : await openImage(host, request.from)
    try {
      return await withTempDir((dir) => assemble(host, { request, target, base, dir }), dirname(request.out))
    } finally {
      await base?.close()
    }
  } finally {
    await target.close()
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
  target: Region
  base: Region | undefined
  /** For the segments: the manifest names them, so it is written before them. */
  dir: string
}

async function assemble(host: Host, { request, target, base, dir }: Assembly): Promise<BuiltBundle> {
  const payload = await host.createFile(`${dir}/segments`)
  const { onProgress } = request
  const options = { codec: nativeCodec(), target, onProgress, ...(base === undefined ? {} : { base }) }
  const tables = await createDelta(options, payload.append).finally(() => payload.close())
  const chunkBytes = tables.image.chunkBytes
  const manifest: Manifest = {
    format: FORMAT_VERSION,
    compatible: request.compatible,
    version: request.version,
    epoch: request.epoch,
    created: request.created,
    ...(request.expires === undefined ? {} : { expires: request.expires }),
    image: { ...tables.image, fs: await detectFileSystem(target) },
    bases: base === undefined ? [] : [await refOf(base)],
    codecs: NEEDED_CODECS,
    segments: tables.segments,
    memoryBytes: applyMemoryBytes(tables.segments, chunkBytes),
  }
  const signatures = [signManifest(encodeManifest(manifest), request.key)]
  const partial = `${request.out}.partial`
  const out = await host.createFile(partial)
  try {
    const parts = { manifest, signatures, payload: host.readSource(`${dir}/segments`) }
    const bytes = await writeBundle(parts, out.append)
    await out.sync()
    await out.close()
    await host.rename(partial, request.out)
    return { manifest, bytes }
  } catch (error) {
    await out.close()
    await host.removeFile(partial)
    throw error
  }
}

async function refOf(region: Region): Promise<ImageRef> {
  return { digest: await digestRegion(region, region.bytes), bytes: region.bytes }
}
