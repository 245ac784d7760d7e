/**
 * Bytes of fixed length that can be read and written in place: a partition, or a window of a disk image.
 * Positions are relative to the region; every call transfers all of its bytes or throws `IO_FAILED`.
 */
export interface Region {
  /** For messages: a path, with an offset where the region is a window. */
  readonly name: string
  readonly bytes: number
  read(into: Uint8Array, position: number): Promise<void>
  write(from: Uint8Array, position: number): Promise<void>
  /** Resolves once all earlier writes are on stable storage. */
  flush(): Promise<void>
  /** Asks the kernel to forget cached pages, so that the next read comes from the device. Call `flush` first. */
  dropCache(): Promise<void>
}

/** An open region; whoever opened it closes it. */
export interface OpenRegion extends Region {
  /** Takes the advisory lock of the file or device, held until it is closed. False where another process has it. */
  tryLock(): boolean
  /** What that lock is known by in `/proc/locks`; undefined where it cannot be told. */
  lockId(): Promise<string | undefined>
  close(): Promise<void>
}

/** Bytes that arrive once, in order: a file, standard input, a download. */
export type ByteSource = AsyncIterable<Uint8Array>

const READ_BYTES = 1024 * 1024

export interface RegionPart {
  readonly part: Buffer
  readonly position: number
}

/**
 * The first `bytes` of a region, in order; while one part is in use the next is read. Each part is valid until the next
 * is asked for.
 */
export async function* readParts(region: Region, bytes: number): AsyncGenerator<RegionPart, void, undefined> {
  const readInto = partReader(region, bytes)
  let reading = readInto(Buffer.allocUnsafeSlow(Math.min(READ_BYTES, bytes)), 0)
  let spare: Buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, bytes))
  try {
    for (let position = 0; position < bytes; position += READ_BYTES) {
      const { buffer, part } = await reading
      reading = readInto(spare, position + READ_BYTES)
      spare = buffer
      yield { part, position }
    }
  } finally {
    // Whoever stops early may close the region next.
    await reading.catch(() => undefined)
  }
}

/** Reads a part into the start of a buffer; an empty one behind the end. */
function partReader(region: Region, bytes: number) {
  return (buffer: Buffer, position: number) => {
    const part = buffer.subarray(0, Math.max(0, Math.min(buffer.length, bytes - position)))
    const reading = region.read(part, Math.min(position, bytes)).then(() => ({ buffer, part }))
    // It may fail while nobody waits for it yet; whoever asks for the part still gets the error.
    reading.catch(() => undefined)
    return reading
  }
}
