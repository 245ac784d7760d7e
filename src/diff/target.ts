import type { Span } from '../bundle/manifest.ts'
import type { Codecs } from '../core/codecs.ts'
import type { Region } from '../core/region.ts'
import { expandImage } from '../expand/image.ts'
import { type Content, openContent } from './content.ts'
import { type FileRun, mapFiles } from './files.ts'
import type { UnitFate } from './prove.ts'
import { listRuns, orderRuns } from './runs.ts'

/** An image that bundles are made for. */
export interface Target {
  readonly region: Region
  readonly content: Content
  readonly files: readonly FileRun[]
  /** The order in which it is made; undefined where it is its own. */
  readonly order: readonly Span[] | undefined
}

export async function openTarget(region: Region, codecs: Codecs): Promise<Target> {
  const content = openContent(region, await expandImage(region, codecs), codecs)
  const files = mapFiles(content.image, content.bytes)
  const { order } = orderRuns(listRuns(content, fullFates(content), files))
  return { region, content, files, order: order.length > 1 ? order : undefined }
}

/** As it is stored: nothing is encoded again. */
export function fullFates({ image }: Content): UnitFate[] {
  return image.units.map(({ encoding }) => ({ kind: encoding ? 'opaque' : 'raw' }))
}
