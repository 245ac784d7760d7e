import { PineError } from '../core/error.ts'
import type { CType, ForeignFunction, ForeignLibrary } from './foreign.ts'
import type { Functions } from './functions.ts'
import type { Handle } from './handle.ts'
import { type Memory, memoryOf } from './memory.ts'
import { pass } from './pass.ts'
import { type Argument, type HandleType, type Signature, SYMBOLS, type SymbolName } from './symbols.ts'
import { take } from './take.ts'

/** What belongs to one verb. */
export interface Scope {
  readonly cancellable: Handle<'GCancellable'> | undefined
  /** Told of all that the verb was handed: it is to be closed. */
  keep(handle: Handle<HandleType>): void
}

export interface Binding {
  readonly memory: Memory
  functions(scope: Scope): Functions
}

interface Context {
  readonly memory: Memory
  readonly find: (name: SymbolName) => ForeignFunction
}

/** The functions of the table in that library, each looked for when first called: an older libostree does all it can. */
export function bind(library: ForeignLibrary): Binding {
  const found = new Map<SymbolName, ForeignFunction>()
  const find = (name: SymbolName): ForeignFunction => {
    const native = found.get(name) ?? findFunction(library, name)
    found.set(name, native)
    return native
  }
  const context = { memory: memoryOf(library), find }
  return { memory: context.memory, functions: (scope) => functionsOf(context, scope) }
}

/** A verb calls a few of the functions: only those are made. */
function functionsOf(context: Context, scope: Scope): Functions {
  const made = new Map<string | symbol, unknown>()
  const get = (_: unknown, name: string | symbol): unknown => {
    if (!isSymbolName(name)) return undefined
    const bound = made.get(name) ?? boundFunction(context, name, scope)
    made.set(name, bound)
    return bound
  }
  return new Proxy({}, { get }) as Functions
}

function isSymbolName(name: string | symbol): name is SymbolName {
  return Object.hasOwn(SYMBOLS, name)
}

function findFunction(library: ForeignLibrary, name: SymbolName): ForeignFunction {
  const { result, args, since = '2018.9' }: Signature = SYMBOLS[name]
  try {
    return library.find(name, cTypeOf(typeof result === 'string' ? result : result.given), args.map(cTypeOf))
  } catch (cause) {
    const hint = `install libostree ${since} or later`
    throw new PineError('OSTREE_MISSING', `the installed libostree has no ${name}`, { hint, cause })
  }
}

function cTypeOf(type: Argument | 'void' | 'done'): CType {
  switch (type) {
    case 'done':
    case 'bool':
      return 'i32'
    case 'void':
    case 'i32':
    case 'u32':
    case 'i64':
    case 'u64':
    case 'f64':
      return type
    default:
      return 'address'
  }
}

/** Memory for arguments is had until the call has ended and its results are copied. */
function boundFunction({ memory, find }: Context, name: SymbolName, scope: Scope) {
  const signature: Signature = SYMBOLS[name]
  const taker = { memory, find, name, keep: scope.keep }
  if (signature.long) {
    return async (...inputs: unknown[]): Promise<unknown> => {
      const frame = memory.frame()
      try {
        const passed = pass(signature, inputs, frame, scope.cancellable)
        return take(taker, signature, passed, await find(name).callAsync(passed.args))
      } finally {
        frame.release()
      }
    }
  }
  return (...inputs: unknown[]): unknown => {
    const frame = memory.frame()
    try {
      const passed = pass(signature, inputs, frame, scope.cancellable)
      return take(taker, signature, passed, find(name).call(passed.args))
    } finally {
      frame.release()
    }
  }
}
