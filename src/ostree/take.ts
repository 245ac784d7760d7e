import { PineError } from '../core/error.ts'
import type { CNumber, ForeignFunction } from './foreign.ts'
import { errorOf } from './g-error.ts'
import { Handle } from './handle.ts'
import type { Memory } from './memory.ts'
import type { Passed } from './pass.ts'
import {
  type Given,
  type HandleType,
  isHandleType,
  RELEASE,
  type Signature,
  type SymbolName,
  type ValueType,
} from './symbols.ts'

/** What is needed to take over what C made. */
export interface Taker {
  readonly memory: Memory
  readonly find: (name: SymbolName) => ForeignFunction
  readonly keep: (handle: Handle<HandleType>) => void
  /** Of the function that was called. */
  readonly name: SymbolName
}

/** What the call gave: undefined, the one value, or all of them. Throws a `PineError` or `Cancelled` where it failed. */
export function take(taker: Taker, { result }: Signature, passed: Passed, returned: CNumber): unknown {
  throwWhereFailed(taker, result, passed, returned)
  const own = typeof result === 'string' ? [] : [takeOne(taker, result, returned)]
  const written = passed.outputs.map(([at, given]) =>
    takeOne(taker, given, readAs(taker.memory, at, given.given)),
  )
  const values = [...own, ...written]
  return values.length > 1 ? values : values[0]
}

function throwWhereFailed(
  taker: Taker,
  result: Signature['result'],
  passed: Passed,
  returned: CNumber,
): void {
  const error = passed.error === undefined ? 0 : Number(taker.memory.word(passed.error))
  if (error !== 0) throw readError(taker, error)
  if (result === 'done' && returned === 0) throw nothingSaid(taker.name)
}

/** struct _GError, glib/gerror.h */
const MESSAGE_OFFSET = 8

function readError({ memory, find, name }: Taker, address: number): Error {
  const fields = memory.read(address, MESSAGE_OFFSET)
  const quark = find('g_quark_to_string').call([fields.readUInt32LE(0)])
  const domain = memory.text(Number(quark))
  const message = memory.text(Number(memory.word(address + MESSAGE_OFFSET)))
  find('g_error_free').call([address])
  return errorOf({ domain, code: fields.readInt32LE(4), message }, name)
}

/** As where libostree finds an argument that must not be; GLib has then printed why. */
function nothingSaid(name: SymbolName): PineError {
  return new PineError('OSTREE_FAILED', `${name} failed and gave no reason`)
}

function readAs(memory: Memory, at: number, type: ValueType): CNumber {
  if (type === 'i32' || type === 'bool') return memory.read(at, 4).readInt32LE()
  return type === 'u32' ? memory.read(at, 4).readUInt32LE() : memory.word(at)
}

function takeOne(taker: Taker, { given, transfer }: Given, value: CNumber): unknown {
  if (given === 'bool') return value !== 0
  if (given === 'text' || given === 'text?') return textOf(taker, { given, transfer }, Number(value))
  if (!isHandleType(given)) return value
  return handleOf(taker, { given, transfer }, Number(value))
}

function textOf({ memory, find, name }: Taker, { given, transfer }: Given, address: number): string | null {
  if (address === 0 && given === 'text?') return null
  if (address === 0) throw nothingSaid(name)
  const text = memory.text(address)
  if (transfer === 'full') find('g_free').call([address])
  return text
}

function handleOf(taker: Taker, { given, transfer }: Given<HandleType>, address: number): Handle<HandleType> {
  if (address === 0) throw nothingSaid(taker.name)
  if (transfer === 'floating') taker.find('g_variant_ref_sink').call([address])
  const release = taker.find(RELEASE[given])
  const handle = new Handle(given, address, (own) => void release.call([own]))
  taker.keep(handle)
  return handle
}
