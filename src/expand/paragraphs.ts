/** The databases of a server have some thousand packages, in a few megabytes. */
const MAX_PARAGRAPHS = 100_000

/** An installed package; names and versions are made of what the tools allow in them. */
export interface InstalledPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
}

/** Longer than any, and short enough for a list of changes; as both package managers print them. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9+._-]{0,94}$/
const VERSION = /^[A-Za-z0-9][A-Za-z0-9.+:~_-]{0,127}$/
const ARCHITECTURE = /^[a-z0-9][a-z0-9_-]{0,31}$/

/** Nothing where a part is missing or not what it can be: such a package is passed over. */
export function packageOf(
  name: string | undefined,
  version: string | undefined,
  architecture: string | undefined,
): InstalledPackage | undefined {
  if (name === undefined || version === undefined || architecture === undefined) return undefined
  if (!NAME.test(name) || !VERSION.test(version) || !ARCHITECTURE.test(architecture)) return undefined
  return { name, version, architecture }
}

/**
 * The fields of each paragraph, by name; empty lines divide them. Of a name that comes twice the first counts; lines that
 * are no field, and those that go on with one, are passed over.
 */
export function* paragraphsOf(text: string): Generator<ReadonlyMap<string, string>> {
  let fields = new Map<string, string>()
  let count = 0
  for (const line of linesOf(text)) {
    if (line === '') {
      if (fields.size > 0 && ++count <= MAX_PARAGRAPHS) yield fields
      if (count >= MAX_PARAGRAPHS) return
      fields = new Map()
      continue
    }
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    if (/^[A-Za-z][A-Za-z-]*$/.test(name) && !fields.has(name)) fields.set(name, line.slice(colon + 1).trim())
  }
}

/** With an empty one at the end. */
function* linesOf(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at)
    const stop = end < 0 ? text.length : end
    yield text.slice(at, stop).replace(/\r$/, '')
    at = stop + 1
  }
  yield ''
}
