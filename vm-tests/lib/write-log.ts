import type { LossyDisk } from './lossy-disk.ts'

/** What a machine had its disk do, in order; `doing` is what it was at by then. */
export type Logged = {
  readonly doing: string
} & (
  | { readonly kind: 'flush' }
  | { readonly kind: 'write'; readonly offset: number; readonly content: Buffer; readonly durable: boolean }
)
export type LoggedWrite = Extract<Logged, { kind: 'write' }>

/** The same disk, which notes every write and flush. */
export function recordedDisk(disk: LossyDisk, log: Logged[], doing: () => string): LossyDisk {
  return {
    ...disk,
    write(offset, content, durable) {
      log.push({ kind: 'write', doing: doing(), offset, content: Buffer.from(content), durable })
      disk.write(offset, content, durable)
    },
    flush() {
      log.push({ kind: 'flush', doing: doing() })
      disk.flush()
    },
  }
}
