import {
  type CNumber,
  type CType,
  type ForeignFunction,
  type ForeignLibrary,
  fromBigInt,
  SCRATCH_BYTES,
} from './foreign.ts'

const WORD = 8

const TYPES: Readonly<Record<CType, string>> = {
  void: 'void',
  i32: 'int32',
  u32: 'uint32',
  i64: 'int64',
  u64: 'uint64',
  f64: 'double',
  address: 'uint64',
}

/**
 * Opens a shared library with ffi-napi. Throws an `Error` where either is not there. The package's own functions make
 * Buffers for every argument, which it never forgets (node-ffi-napi issue 163): 4 KB a call. So its call into libffi is
 * taken as it is, with one set of Buffers for each function; that costs 2 µs a call, and nothing grows.
 */
export async function loadWithFfiNapi(file: string): Promise<ForeignLibrary> {
  const { default: ffi } = await import('ffi-napi')
  const { default: ref } = await import('ref-napi')
  const { default: bindings } = await import('ffi-napi/lib/bindings.js')
  const library = new ffi.DynamicLibrary(file)
  const scratch = Buffer.alloc(SCRATCH_BYTES)
  return {
    scratch,
    scratchAddress: ref.address(scratch),
    find: (name, result, args) => {
      const code = library.get(name)
      const cif = ffi.CIF(
        TYPES[result],
        args.map((type) => TYPES[type]),
      )
      return foreignFunction({ bindings, address: ref.address, cif, code }, result, args)
    },
  }
}

interface Native {
  readonly bindings: Pick<typeof import('ffi-napi/lib/bindings.js'), 'ffi_call' | 'ffi_call_async'>
  readonly address: (memory: Buffer) => number
  readonly cif: Buffer
  readonly code: Buffer
}

/** No function runs twice at the same time: see child.ts. */
function foreignFunction(native: Native, result: CType, args: readonly CType[]): ForeignFunction {
  const { bindings, cif, code } = native
  // libffi writes a whole word even for small results.
  const returned = Buffer.alloc(WORD)
  const values = Buffer.alloc(Math.max(1, args.length) * WORD)
  const pointers = Buffer.alloc(values.length)
  const start = native.address(values)
  args.forEach((_, index) => void pointers.writeBigUInt64LE(BigInt(start + index * WORD), index * WORD))
  const fill = (given: readonly CNumber[]): void => {
    for (const [index, type] of args.entries()) write(values, index * WORD, type, given[index] ?? 0)
  }
  return {
    call: (given) => {
      fill(given)
      bindings.ffi_call(cif, code, returned, pointers)
      return read(returned, result)
    },
    callAsync: (given) =>
      new Promise((resolve, reject) => {
        fill(given)
        bindings.ffi_call_async(cif, code, returned, pointers, (error) =>
          error ? reject(error) : resolve(read(returned, result)),
        )
      }),
  }
}

/** libffi reads as many bytes as the type has; both CPUs that the package is built for are little-endian. */
function write(values: Buffer, at: number, type: CType, value: CNumber): void {
  if (type === 'f64') values.writeDoubleLE(Number(value), at)
  else values.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at)
}

function read(returned: Buffer, type: CType): CNumber {
  switch (type) {
    case 'void':
      return 0
    case 'f64':
      return returned.readDoubleLE()
    case 'i32':
      return returned.readInt32LE()
    case 'u32':
      return returned.readUInt32LE()
    case 'i64':
      return fromBigInt(returned.readBigInt64LE())
    case 'u64':
    case 'address':
      return fromBigInt(returned.readBigUInt64LE())
  }
}
