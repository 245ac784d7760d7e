import { PineError } from '../core/error.ts'
import type { CNumber } from './foreign.ts'
import type { Functions } from './functions.ts'
import type { Handle } from './handle.ts'
import type { MetadataValue } from './requests.ts'
import type { Verb } from './verb.ts'

type Variant = Handle<'GVariant'>

/** A GVariant as a value: dictionaries of strings are objects, `ay` bytes, 64-bit numbers `bigint` where they must be. */
export type VariantValue =
  | string
  | boolean
  | CNumber
  | Uint8Array
  | null
  | VariantValue[]
  | { [key: string]: VariantValue }

// GVariant itself stops at 128, gvariant-serialiser.c.
const MAX_DEPTH = 128

/** Reads all of a value. What a damaged one lacks reads as zeros and empty strings, which GVariant guarantees. */
export function readVariant(verb: Pick<Verb, 'fn' | 'memory'>, variant: Variant, depth = 0): VariantValue {
  const { fn, memory } = verb
  const type = fn.g_variant_get_type_string(variant)
  if (depth > MAX_DEPTH)
    throw new PineError('OSTREE_CORRUPT', `found more than ${MAX_DEPTH} levels in a value`)
  const simple = readSimple(fn, type, variant)
  if (simple !== undefined) return simple
  if (type === 'ay' || type === 'y') {
    const bytes = memory.read(fn.g_variant_get_data(variant), Number(fn.g_variant_get_size(variant)))
    return type === 'y' ? (bytes[0] ?? 0) : bytes
  }
  const children = readChildren(verb, variant, depth)
  if (type === 'v') return children[0] ?? null
  return type.startsWith('a{s') ? objectOf(children) : children
}

function readSimple(fn: Functions, type: string, variant: Variant): VariantValue | undefined {
  switch (type) {
    case 's':
    case 'o':
    case 'g':
      return fn.g_variant_get_string(variant)
    case 'b':
      return fn.g_variant_get_boolean(variant)
    case 'i':
      return fn.g_variant_get_int32(variant)
    case 'u':
      return fn.g_variant_get_uint32(variant)
    case 'x':
      return fn.g_variant_get_int64(variant)
    case 't':
      return fn.g_variant_get_uint64(variant)
    case 'd':
      return fn.g_variant_get_double(variant)
    default:
      return undefined
  }
}

function readChildren(verb: Pick<Verb, 'fn' | 'memory'>, variant: Variant, depth: number): VariantValue[] {
  const { fn } = verb
  const values: VariantValue[] = []
  const isContainer = /^[a(m{v]/.test(fn.g_variant_get_type_string(variant))
  const count = isContainer ? Number(fn.g_variant_n_children(variant)) : 0
  for (let index = 0; index < count; index++) {
    const child = fn.g_variant_get_child_value(variant, index)
    values.push(readVariant(verb, child, depth + 1))
    child.close()
  }
  return values
}

function objectOf(entries: readonly VariantValue[]): VariantValue {
  const pairs = entries.map((entry) => (Array.isArray(entry) ? [String(entry[0]), entry[1] ?? null] : []))
  return Object.fromEntries(pairs) as VariantValue
}

/** An `a{sv}`, in that order. */
export function dictOf(fn: Functions, entries: Readonly<Record<string, Variant>>): Variant {
  const pairs = Object.entries(entries).map(([key, value]) =>
    fn.g_variant_new_dict_entry(fn.g_variant_new_string(key), fn.g_variant_new_variant(value)),
  )
  return arrayOf(fn, 'a{sv}', pairs)
}

/** An `as`. */
export function stringsOf(fn: Functions, strings: readonly string[]): Variant {
  const texts = strings.map((text) => fn.g_variant_new_string(text))
  return arrayOf(fn, 'as', texts)
}

function arrayOf(fn: Functions, type: 'as' | 'a{sv}', elements: readonly Variant[]): Variant {
  const builder = fn.g_variant_builder_new(type)
  for (const element of elements) fn.g_variant_builder_add_value(builder, element)
  return fn.g_variant_builder_end(builder)
}

/** Whole numbers become `t`, or `x` below zero. */
export function variantOf(fn: Functions, value: MetadataValue): Variant {
  if (typeof value === 'string') return fn.g_variant_new_string(value)
  if (typeof value === 'boolean') return fn.g_variant_new_boolean(value)
  if (value instanceof Uint8Array) return fn.g_variant_new_fixed_array('y', value, value.length, 1)
  if (typeof value === 'object') return stringsOf(fn, value)
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return fn.g_variant_new_double(value)
  return value < 0 ? fn.g_variant_new_int64(value) : fn.g_variant_new_uint64(value)
}
