import type { Codecs } from '../core/codecs.ts'
import type { Encoding } from '../core/encoding.ts'
import type { Unit } from '../expand/image.ts'
import { isAffordable } from './affordable.ts'
import type { Content } from './content.ts'

/** How the new image's units come to be. */
export type UnitFate =
  /** Its stored bytes are in the base image at `from`. */
  | { readonly kind: 'stored'; readonly from: number; readonly unit: number }
  /** Encoding its content, with so many bytes of what follows it, gives its stored bytes. */
  | { readonly kind: 'pack'; readonly lookahead: number }
  | { readonly kind: 'raw' }
  /** Nobody knows how it was encoded, or encoding it takes too much memory: its stored bytes are content like any other. */
  | { readonly kind: 'opaque' }

/** Content after a block that the encoder of `lz4hc-fill` looks at. */
const LOOKAHEAD_BYTES = 1024
/** Mostly so little is enough: lz4 has no match that begins in the last twelve bytes it is given. */
const LITTLE_BYTES = 16
const PARALLEL = 4

export interface ProveOptions {
  readonly target: Content
  readonly base: Content
  readonly codecs: Codecs
  /** Content of the same file that follows a unit, at most so many bytes. */
  readonly following: (unit: number, bytes: number) => number
  readonly onUnit: (done: number, total: number) => void
}

/** Decides for each unit, by comparing stored bytes with the base and by encoding again what is left. */
export async function decideUnits(options: ProveOptions): Promise<UnitFate[]> {
  const { target, base, codecs, onUnit } = options
  const known = await indexStored(base, codecs)
  const { units } = target.image
  const fates: UnitFate[] = Array.from({ length: units.length }, () => ({ kind: 'raw' }))
  let next = 0
  let done = 0

  async function work(): Promise<void> {
    for (let index = next++; index < units.length; index = next++) {
      const unit = units[index]
      if (unit?.encoding) fates[index] = await decide(index, unit)
      onUnit(++done, units.length)
    }
  }

  async function decide(index: number, unit: Unit): Promise<UnitFate> {
    const stored = await target.readStored(unit)
    const found = known.get(keyOf(codecs, stored))
    if (found) return { kind: 'stored', ...found }
    return await prove(options, index, { unit, stored })
  }

  await Promise.all(Array.from({ length: PARALLEL }, work))
  return fates
}

async function prove(
  options: ProveOptions,
  index: number,
  { unit, stored }: { unit: Unit; stored: Buffer },
): Promise<UnitFate> {
  const { target, codecs } = options
  const { encoding } = unit
  if (encoding === undefined) return { kind: 'raw' }
  if (!isAffordable(codecs, encoding, unit.content + LOOKAHEAD_BYTES)) return { kind: 'opaque' }
  for (const lookahead of lookaheadsOf(options, index, encoding)) {
    const content = await target.read(target.startOf(index), unit.content + lookahead)
    const made = await codecs.encode(encoding, content).catch(() => undefined)
    if (made?.consumed === unit.content && made.stored.equals(stored)) return { kind: 'pack', lookahead }
  }
  return { kind: 'opaque' }
}

/** Where no block follows, nothing takes over what was looked at: the less of it the better. */
function lookaheadsOf({ target, following }: ProveOptions, index: number, { codec }: Encoding): number[] {
  if (codec !== 'lz4hc-fill') return [0]
  const most = following(index, LOOKAHEAD_BYTES)
  if (target.image.units[index + 1]?.encoding) return [most]
  return [Math.min(LITTLE_BYTES, most), most]
}

async function indexStored(
  base: Content,
  codecs: Codecs,
): Promise<Map<string, { from: number; unit: number }>> {
  const known = new Map<string, { from: number; unit: number }>()
  for (const [unit, entry] of base.image.units.entries()) {
    if (entry.encoding === undefined) continue
    known.set(keyOf(codecs, await base.readStored(entry)), { from: entry.offset, unit })
  }
  return known
}

function keyOf(codecs: Codecs, stored: Buffer): string {
  return codecs.blake3(stored).toString('latin1')
}
