/**
 * What a C function takes or gives, as its registers see it. A pointer is an `address`, a plain number: Buffers made of
 * pointers are what is slow in ffi-napi (1 GiB of external memory each, ref-napi issue 72) and what leaks.
 */
export type CType = 'void' | 'i32' | 'u32' | 'i64' | 'u64' | 'f64' | 'address'

export type CNumber = number | bigint

/** A C function, unchecked: a wrong number is a crash. Numbers of 64 bits are given as `bigint` where they are not safe. */
export interface ForeignFunction {
  call(args: readonly CNumber[]): CNumber
  /** On the one thread of the pool, so that this one stays free to cancel it. */
  callAsync(args: readonly CNumber[]): Promise<CNumber>
}

/** An open shared library, and memory that C and we both see. */
export interface ForeignLibrary {
  /** Never moves, and starts at `scratchAddress`. */
  readonly scratch: Buffer
  readonly scratchAddress: number
  /** Throws an `Error` where the library has no such function. */
  find(name: string, result: CType, args: readonly CType[]): ForeignFunction
}

export const SCRATCH_BYTES = 1024 * 1024

/** 64-bit numbers as numbers where that loses nothing. */
export function fromBigInt(value: bigint): CNumber {
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : value
}
