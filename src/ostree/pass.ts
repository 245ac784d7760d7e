import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import type { CNumber } from './foreign.ts'
import { Handle } from './handle.ts'
import type { Frame } from './memory.ts'
import { type Argument, type Given, isHandleType, type Signature } from './symbols.ts'

/** A call that C can be given. */
export interface Passed {
  readonly args: readonly CNumber[]
  /** Where the function writes what. */
  readonly outputs: readonly (readonly [address: number, given: Given])[]
  /** Of the pointer to a GError; undefined for a function that cannot fail. */
  readonly error: number | undefined
}

const WORD = 8

const integer = (min: number, max: number) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(min), v.maxValue(max))
const wide = (min: bigint, max: bigint) =>
  v.pipe(
    v.union([v.pipe(v.number(), v.safeInteger()), v.bigint()]),
    v.toBigint(),
    v.minValue(min),
    v.maxValue(max),
  )

/** What C cannot tell from anything else. */
const SCHEMAS = {
  i32: integer(-(2 ** 31), 2 ** 31 - 1),
  u32: integer(0, 2 ** 32 - 1),
  i64: wide(-(2n ** 63n), 2n ** 63n - 1n),
  u64: wide(0n, 2n ** 64n - 1n),
  f64: v.number(),
  address: integer(0, Number.MAX_SAFE_INTEGER),
  bool: v.boolean(),
  // It would end early.
  text: v.pipe(v.string(), v.excludes('\0')),
  bytes: v.instance(Uint8Array),
}

/** Checks every input and copies what needs memory. Throws `USAGE`; then C was not called. */
export function pass(
  { args }: Signature,
  inputs: readonly unknown[],
  frame: Frame,
  cancellable: Handle<'GCancellable'> | undefined,
): Passed {
  const outputs: [number, Given][] = []
  let error: number | undefined
  let next = 0
  const passed = args.map((arg): CNumber => {
    if (typeof arg !== 'string') {
      const at = frame.reserve(WORD)
      outputs.push([at, arg])
      return at
    }
    if (arg === 'null') return 0
    if (arg === 'cancellable')
      return cancellable === undefined ? 0 : Handle.address(cancellable, 'GCancellable')
    if (arg === 'error') {
      error = frame.reserve(WORD)
      return error
    }
    return numberFor(arg, inputs[next++], frame)
  })
  return { args: passed, outputs, error }
}

function numberFor(arg: Exclude<Argument, Given>, input: unknown, frame: Frame): CNumber {
  const isOptional = arg.endsWith('?')
  if (isOptional && input === null) return 0
  const type = isOptional ? arg.slice(0, -1) : arg
  if (isHandleType(type)) return Handle.address(input, type)
  const value = v.safeParse(SCHEMAS[type as keyof typeof SCHEMAS], input)
  if (!value.success)
    throw new PineError('USAGE', `${value.issues[0].message}: a wrong ${type} for libostree`)
  const found = value.output
  if (typeof found === 'string') return frame.place(Buffer.from(`${found}\0`))
  if (found instanceof Uint8Array) return frame.place(found)
  return typeof found === 'boolean' ? Number(found) : found
}
