import type { CNumber } from './foreign.ts'
import type { Handle } from './handle.ts'
import type { Given, HandleType, Signature, SYMBOLS, SymbolName } from './symbols.ts'

/** What a value of the table is for us. */
interface Plain {
  text: string
  'text?': string | null
  bytes: Uint8Array
  bool: boolean
  i64: CNumber
  u64: CNumber
  i32: number
  u32: number
  f64: number
  address: number
}

type Value<T> = T extends HandleType
  ? Handle<T>
  : T extends keyof Plain
    ? Plain[T]
    : T extends `${infer H extends HandleType}?`
      ? Handle<H> | null
      : never

type Inputs<A> = A extends readonly [infer First, ...infer Rest]
  ? First extends Given | 'cancellable' | 'error' | 'null'
    ? Inputs<Rest>
    : [Value<First>, ...Inputs<Rest>]
  : []

type Outputs<A> = A extends readonly [infer First, ...infer Rest]
  ? First extends Given<infer T>
    ? [Value<T>, ...Outputs<Rest>]
    : Outputs<Rest>
  : []

type Results<S extends Signature> = [
  ...(S['result'] extends Given<infer T> ? [Value<T>] : []),
  ...Outputs<S['args']>,
]

/** Nothing, the one value, or all of them: the result first, then what was written to the arguments. */
type Bare<L> = L extends [] ? undefined : L extends [infer V] ? V : L

type Bound<S extends Signature> = (
  ...inputs: Inputs<S['args']>
) => S extends { long: true } ? Promise<Bare<Results<S>>> : Bare<Results<S>>

/** All functions of the table, checked: what is wrong throws `USAGE`, and what fails a `PineError` or `Cancelled`. */
export type Functions = { readonly [K in SymbolName]: Bound<(typeof SYMBOLS)[K]> }
