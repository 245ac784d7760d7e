import type { Codecs } from '../core/codecs.ts'
import type { Item } from './item.ts'

/** What has to be added to each byte of `old` to get that of `content`, modulo 256. */
export function subtract(content: Buffer, old: Buffer): Buffer {
  const difference = Buffer.allocUnsafeSlow(content.length)
  for (let i = 0; i < content.length; i++) difference[i] = (content[i] ?? 0) - (old[i] ?? 0)
  return difference
}

/** The same once addresses in the old bytes have followed the map. */
export function subtractMoved(
  { aim, map, old, data }: Pick<Item & { kind: 'moved' }, 'aim' | 'map' | 'old' | 'data'>,
  codecs: Pick<Codecs, 'adjust'>,
): Buffer {
  const moved = Buffer.from(old)
  codecs.adjust(moved, { ...aim, map, bare: false })
  return subtract(data, moved)
}
