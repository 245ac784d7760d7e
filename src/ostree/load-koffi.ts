import type { LibraryHandle } from 'koffi'
import {
  type CNumber,
  type CType,
  type ForeignFunction,
  type ForeignLibrary,
  SCRATCH_BYTES,
} from './foreign.ts'

const TYPES: Readonly<Record<CType, string>> = {
  void: 'void',
  i32: 'int32_t',
  u32: 'uint32_t',
  i64: 'int64_t',
  u64: 'uint64_t',
  f64: 'double',
  address: 'uint64_t',
}

// Functions run on a stack of koffi's own, of 128 KiB by default; libostree walks trees by recursion.
const STACK_BYTES = 8 * 1024 * 1024

/** Opens a shared library with koffi. Throws an `Error` where either is not there. */
export async function loadWithKoffi(file: string): Promise<ForeignLibrary> {
  const { default: koffi } = await import('koffi')
  koffi.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES, resident_async_pools: 1 })
  const library = koffi.load(file)
  const scratch = Buffer.alloc(SCRATCH_BYTES)
  return {
    scratch,
    scratchAddress: Number(koffi.address(scratch)),
    find: (name, result, args) => {
      const types = args.map((type) => TYPES[type])
      return foreignFunction(library.func(name, TYPES[result], types))
    },
  }
}

function foreignFunction(native: ReturnType<LibraryHandle['func']>): ForeignFunction {
  return {
    call: (args) => native(...args),
    callAsync: (args) =>
      new Promise((resolve, reject) => {
        const done = (error: unknown, result: CNumber): void => (error ? reject(error) : resolve(result))
        native.async(...args, done)
      }),
  }
}
