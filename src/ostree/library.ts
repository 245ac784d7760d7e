import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import { type Binding, bind } from './bind.ts'
import type { ForeignLibrary } from './foreign.ts'
import { loadWithFfiNapi } from './load-ffi-napi.ts'
import { loadWithKoffi } from './load-koffi.ts'

const LOADERS = { koffi: loadWithKoffi, 'ffi-napi': loadWithFfiNapi } as const

/** A package that calls C. */
export type FfiName = keyof typeof LOADERS
const FFI_NAMES = ['koffi', 'ffi-napi'] as const satisfies readonly FfiName[]

const SONAME = 'libostree-1.so.1'

/** What of the environment matters here. */
export interface LibrarySettings {
  /** `PINE_OSTREE_FFI`: the only package to use; else koffi, and ffi-napi where that is not there. */
  readonly ffi?: string | undefined
  /** `PINE_OSTREE_LIBRARY`: another libostree than the system's. */
  readonly file?: string | undefined
}

/** Loads libostree with the first package that can. Throws `OSTREE_MISSING`, or `CONFIG_INVALID` for another package. */
export async function openLibrary({
  ffi,
  file = SONAME,
}: LibrarySettings): Promise<Binding & { readonly ffi: FfiName }> {
  const problems: unknown[] = []
  for (const name of wanted(ffi)) {
    const library = await LOADERS[name](file).catch((error: unknown) => {
      problems.push(error)
      return undefined
    })
    if (library !== undefined) return { ffi: name, ...bindFirst(library, file) }
  }
  throw missing(file, problems)
}

function wanted(ffi: string | undefined): readonly FfiName[] {
  if (ffi === undefined) return FFI_NAMES
  const parsed = v.safeParse(v.picklist(FFI_NAMES), ffi)
  if (parsed.success) return [parsed.output]
  throw new PineError('CONFIG_INVALID', `PINE_OSTREE_FFI: found ${ffi}, expected ${FFI_NAMES.join(' or ')}`)
}

function bindFirst(library: ForeignLibrary, file: string): Binding {
  try {
    return bind(library)
  } catch (cause) {
    throw missing(file, [cause])
  }
}

function missing(file: string, problems: readonly unknown[]): PineError {
  const reasons = problems.map((problem) =>
    problem instanceof Error ? firstLine(problem.message) : String(problem),
  )
  return new PineError('OSTREE_MISSING', `${file} cannot be loaded: ${reasons.join('; ')}`, {
    hint: 'apt-get install libostree-1-1, and npm install koffi beside pine-update',
    cause: problems[0],
  })
}

/** Node goes on with the modules that asked for it. */
function firstLine(text: string): string {
  return text.split('\n')[0] ?? text
}
