import { formatBytes } from '../core/format.ts'

/** A piece of a disk, for a drawing. */
export interface Drawn {
  name: string
  offset: number
  bytes: number
}

const WIDTH = 64

/**
 * A disk as a line of one letter for each of 64 parts of it, and what each letter is. What lies inside of something else
 * covers it; what is smaller than a part gets one anyway.
 */
export function drawDisk(pieces: readonly Drawn[], diskBytes: number): string[] {
  const line: string[] = Array.from({ length: WIDTH }, () => '.')
  const inOrder = [...pieces].sort((one, other) => other.bytes - one.bytes)
  const letters = new Map(
    [...pieces]
      .sort((one, other) => one.offset - other.offset)
      .map((piece, index) => [piece, letterOf(index)]),
  )
  for (const piece of inOrder) {
    const from = Math.floor((piece.offset / diskBytes) * WIDTH)
    const to = Math.max(from + 1, Math.round(((piece.offset + piece.bytes) / diskBytes) * WIDTH))
    line.fill(letters.get(piece) ?? '?', from, Math.min(to, WIDTH))
  }
  const nameWidth = Math.max(24, ...pieces.map(({ name }) => name.length))
  const rows = [...letters].map(([{ name, offset, bytes }, letter]) => {
    return `  ${letter}  ${name.padEnd(nameWidth)} ${formatBytes(bytes).padStart(9)}  at ${formatBytes(offset)}`
  })
  return [`  |${line.join('')}|`, ...rows]
}

function letterOf(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + (index % 26))
}
