/** An input that is a list of changes of something large: offset and length in four and two bytes, then that many bytes. */
export interface Patch {
  readonly offset: number
  readonly bytes: Buffer
}

const HEADER_BYTES = 6
const MOST = 12

export function encodePatches(patches: readonly Patch[]): Buffer {
  const parts = patches.slice(-MOST).flatMap(({ offset, bytes }) => {
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt32LE(offset, 0)
    header.writeUInt16LE(bytes.length, 4)
    return [header, bytes]
  })
  return Buffer.concat(parts)
}

export function decodePatches(input: Buffer): Patch[] {
  const patches: Patch[] = []
  for (let at = 0; at + HEADER_BYTES <= input.length; ) {
    const end = at + HEADER_BYTES + input.readUInt16LE(at + 4)
    patches.push({ offset: input.readUInt32LE(at), bytes: input.subarray(at + HEADER_BYTES, end) })
    at = end
  }
  return patches
}

/** A copy with the changes in it. One without bytes cuts off what lies behind. */
export function patched(original: Buffer, patches: readonly Patch[]): Buffer {
  let made = Buffer.from(original)
  for (const { offset, bytes } of patches) {
    const at = offset % (original.length + 1)
    if (bytes.length === 0) made = made.subarray(0, at)
    else bytes.copy(made, Math.min(at, made.length))
  }
  return made
}
