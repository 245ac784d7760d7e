import { parse } from 'smol-toml'
import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import { DEFAULT_TRIES, MAX_TRIES } from './boot-state.ts'

const Strings = v.array(v.string())
const Seconds = v.pipe(v.number(), v.minValue(0), v.maxValue(86_400))
/** A timer of no time, or of a part of a millisecond, is none: every check would fail. */
const Timeout = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(86_400))

const HostPort = v.pipe(
  v.string(),
  v.regex(/^.+:\d{1,5}$/, 'expected HOST:PORT'),
  v.check((text) => portOf(text) <= 65_535, 'expected a port up to 65535'),
)
const Url = v.pipe(
  v.string(),
  v.regex(/^https?:\/\/./, 'expected a URL that starts with http:// or https://'),
  v.check((text) => URL.canParse(text), 'expected a URL'),
)

function portOf(hostPort: string): number {
  return Number(hostPort.slice(hostPort.lastIndexOf(':') + 1))
}

/** config.toml and its drop-ins as written; every key is optional, an unknown one is an error. */
const ConfigFile = v.strictObject({
  compatible: v.optional(v.string()),
  keyring: v.optional(v.string()),
  threshold: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16))),
  tries: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_TRIES))),
  download: v.optional(
    v.strictObject({
      ca: v.optional(v.string()),
      rate: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
    }),
  ),
  health: v.optional(
    v.strictObject({
      directories: v.optional(Strings),
      timeout: v.optional(Timeout),
      settle: v.optional(Seconds),
      systemd: v.optional(v.boolean()),
      tcp: v.optional(v.array(HostPort)),
      http: v.optional(v.array(Url)),
    }),
  ),
})
type ConfigFile = v.InferOutput<typeof ConfigFile>

/** The configuration with every default filled in. Times are in seconds. */
export interface Settings {
  /** Undefined: the one recorded on the disk when it was built counts. */
  compatible: string | undefined
  /** Folder of `*.pub` files. */
  keyring: string
  /** How many distinct trusted keys must have signed a bundle. */
  threshold: number
  tries: number
  download: {
    /** A PEM file of CAs that servers of bundles are trusted by. Undefined: those that Node comes with. */
    ca: string | undefined
    /** Bytes per second. Undefined: as fast as they come. */
    rate: number | undefined
  }
  health: {
    /** Folders of executables; later folders replace earlier ones by file name. */
    directories: string[]
    /** For one check. */
    timeout: number
    /** How long a failed check is tried again before it counts. */
    settle: number
    systemd: boolean
    tcp: string[]
    http: string[]
  }
}

const DEFAULTS: Settings = {
  compatible: undefined,
  keyring: '/etc/pine-update/keys',
  threshold: 1,
  tries: DEFAULT_TRIES,
  download: { ca: undefined, rate: undefined },
  health: {
    directories: ['/usr/lib/pine-update/health.d', '/etc/pine-update/health.d'],
    timeout: 30,
    settle: 60,
    systemd: true,
    tcp: [],
    http: [],
  },
}

export interface ConfigSource {
  path: string
  text: string
}

/** Merges files in order: a later file replaces single keys. Throws `CONFIG_INVALID` with file, key and reason. */
export function parseSettings(sources: readonly ConfigSource[]): Settings {
  return sources.map(parseFile).reduce(merge, DEFAULTS)
}

function parseFile({ path, text }: ConfigSource): ConfigFile {
  const parsed = v.safeParse(ConfigFile, parseToml(path, text))
  if (parsed.success) return parsed.output
  const problems = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'file'}: ${issue.message}`)
  throw new PineError('CONFIG_INVALID', `${path}: ${problems.join('; ')}`, {
    hint: 'the keys are listed in docs/config.md',
  })
}

function parseToml(path: string, text: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    throw new PineError('CONFIG_INVALID', `${path} is not TOML: ${String(error)}`, { cause: error })
  }
}

function merge(settings: Settings, file: ConfigFile): Settings {
  const { download, health, ...top } = file
  return {
    ...settings,
    ...defined(top),
    download: { ...settings.download, ...defined(download ?? {}) },
    health: { ...settings.health, ...defined(health ?? {}) },
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function defined<T extends object>(values: T): Defined<T> {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as Defined<T> // drops only undefined values
}
