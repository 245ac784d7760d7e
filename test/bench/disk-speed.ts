import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { measure } from './measure.ts'
import { dropCache } from './server.ts'

export interface DiskSpeed {
  /** Writing the image once, until it is on the disk. */
  readonly writeSeconds: number
  /** Reading it back, none of it in the page cache. */
  readonly readSeconds: number
}

const ROUNDS = 3

/** The fastest of three rounds: whatever else the machine did would make our ratio look better. */
export async function measureDisk(work: string, image: string): Promise<DiskSpeed> {
  const copy = join(work, 'copy')
  const writes: number[] = []
  const reads: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    rmSync(copy, { force: true })
    writes.push(measure(['dd', `if=${image}`, `of=${copy}`, 'bs=1M', 'conv=fsync', 'status=none']).seconds)
    await dropCache(copy)
    reads.push(measure(['dd', `if=${copy}`, 'of=/dev/null', 'bs=1M', 'status=none']).seconds)
  }
  rmSync(copy)
  return { writeSeconds: Math.min(...writes), readSeconds: Math.min(...reads) }
}
