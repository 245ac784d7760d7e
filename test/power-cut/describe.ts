import { AREA } from '../../src/boot/bootstate-area.ts'
import type { Piece } from './disk.ts'

/** Where a piece goes and how long it is, for a person. */
export function describePiece({ role, offset, bytes }: Piece): string {
  const area = role === 'bootstate' ? areaAt(offset) : undefined
  const place = area === undefined ? `${role} at ${offset}` : `${area.name} at ${offset - area.offset}`
  return `${place}, ${bytes.length} bytes`
}

function areaAt(position: number): { name: string; offset: number } | undefined {
  for (const [name, { offset, bytes }] of Object.entries(AREA))
    if (position >= offset && position < offset + bytes) return { name, offset }
  return undefined
}
