/** A compressed run of a file: `stored` bytes at `at`. */
interface Payload {
  readonly at: number
  readonly stored: number
  readonly content: { readonly length: number }
}

/** A run of a file, and where its bytes, or the content of its payload, are inside. */
export interface Part<Packed> {
  readonly at: number
  readonly stored: number
  readonly inside: number
  readonly bytes: number
  readonly payload: Packed | undefined
}

/**
 * The inside of a file: what comes before the first payload, all their contents, then what lies between and behind them.
 * So a kernel that was cut into pieces to be compressed is whole. Parts are in the order of the file.
 */
export function partsOf<Packed extends Payload>(
  fileBytes: number,
  payloads: readonly Packed[],
): Part<Packed>[] {
  const parts: Omit<Part<Packed>, 'inside'>[] = []
  let end = 0
  const fillTo = (at: number): void => {
    if (at > end) parts.push({ at: end, stored: at - end, bytes: at - end, payload: undefined })
  }
  for (const payload of payloads) {
    const { at, stored, content } = payload
    fillTo(at)
    parts.push({ at, stored, bytes: content.length, payload })
    end = at + stored
  }
  fillTo(fileBytes)
  const places = new Map<object, number>()
  let inside = 0
  for (const part of insideOrder(parts)) {
    places.set(part, inside)
    inside += part.bytes
  }
  return parts.map((part) => ({ ...part, inside: places.get(part) ?? 0 }))
}

export function insideOrder<Any extends { readonly at: number; readonly payload: unknown }>(
  parts: readonly Any[],
): Any[] {
  const rank = ({ at, payload }: Any): number => (payload !== undefined ? 1 : at === 0 ? 0 : 2)
  return [...parts].sort((a, b) => rank(a) - rank(b) || a.at - b.at)
}
