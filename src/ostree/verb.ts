import type { Functions } from './functions.ts'
import type { Handle } from './handle.ts'
import type { Memory } from './memory.ts'
import type { HandleType } from './symbols.ts'

/** What a verb works with. All it is handed is closed behind it. */
export interface Verb {
  readonly fn: Functions
  readonly memory: Memory
  /** Of objects. */
  progress(done: number, total: number): void
  /** Not closed with the verb. */
  handOver<T extends HandleType>(handle: Handle<T>): Handle<T>
}

export type Repo = Handle<'OstreeRepo'>

/** Where the `at` functions of libostree start from: the folder of the process. fcntl.h */
export const AT_FDCWD = -100
