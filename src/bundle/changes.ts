import * as v from 'valibot'
import { digestOf } from '../core/digest.ts'
import type { BlockCodecs } from '../core/encoding.ts'
import { PineError } from '../core/error.ts'
import { bytesOfName, nameOf } from '../core/file-name.ts'
import { FILE_TYPES, type FileState, MAX_TARGET_BYTES, MODE_MASK } from '../core/file-state.ts'
import type { SegmentEntry } from './manifest-parts.ts'
import { type Canonical, decodeCanonicalOr, encodeCanonical } from './msgpack.ts'

/** What changed from a base image to the new one; docs/bundle-format.md, "Lists of changes". */
export interface ChangeList {
  /** By package database and name. */
  readonly packages: readonly PackageChange[]
  /** By the bytes of their paths. */
  readonly files: readonly FileChange[]
  /** Files that changed too and are not listed: there are limits. */
  readonly omitted: number
  /** Files of equal length in both images whose content could not be read, and so was not compared. */
  readonly unread: number
}

/** One that was added has no `old`, one that was removed no `new`. */
export interface FileChange {
  /** Without leading slash; as `nameOf` gives it. */
  readonly path: string
  readonly old?: FileState
  readonly new?: FileState
  /** Both are files, and their bytes differ. */
  readonly content: boolean
}

export interface PackageChange {
  readonly database: PackageDatabase
  readonly name: string
  /** Versions. */
  readonly old?: string
  readonly new?: string
}

export const PACKAGE_DATABASES = ['dpkg', 'apk'] as const
export type PackageDatabase = (typeof PACKAGE_DATABASES)[number]

const MAX_FILES = 50_000
const MAX_PACKAGES = 10_000
const MAX_PATH_BYTES = 4096
/** Of all files, so that with all packages the list is below the 16 MiB of a segment; what one has beside its names fits in `ENTRY_BYTES`. */
const MAX_LIST_BYTES = 11 * 1024 * 1024
const ENTRY_BYTES = 144

/** As much of a list as a bundle may carry, in the order of the list; what is left out is counted. */
export function limitChanges({ packages, files, omitted, unread }: ChangeList): ChangeList {
  const kept: FileChange[] = []
  let room = MAX_LIST_BYTES
  for (const change of files) {
    const names = [change.path, change.old?.target ?? '', change.new?.target ?? ''].map(
      (name) => bytesOfName(name).length,
    )
    const bytes = names.reduce((sum, length) => sum + length, ENTRY_BYTES)
    if (kept.length === MAX_FILES || bytes > room || (names[0] ?? 0) > MAX_PATH_BYTES) continue
    kept.push(change)
    room -= bytes
  }
  return {
    packages: packages.slice(0, MAX_PACKAGES),
    files: kept,
    omitted: omitted + files.length - kept.length,
    unread,
  }
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const id = v.pipe(count, v.maxValue(0xffff_ffff))
const name = (most: number) =>
  v.pipe(
    v.instance(Uint8Array),
    v.maxLength(most, `expected at most ${most} bytes`),
    v.transform((bytes) => nameOf(Buffer.from(bytes))),
  )
const StateSchema = v.pipe(
  v.strictObject({
    type: v.picklist(FILE_TYPES),
    mode: v.pipe(count, v.maxValue(MODE_MASK)),
    uid: id,
    gid: id,
    bytes: v.exactOptional(count),
    target: v.exactOptional(name(MAX_TARGET_BYTES)),
    device: v.exactOptional(id),
  }),
  v.check(({ type, bytes, target, device }) => {
    const isDevice = type === 'block' || type === 'character'
    return (
      (bytes !== undefined) === (type === 'file') &&
      (target !== undefined) === (type === 'symlink') &&
      (device !== undefined) === isDevice
    )
  }, 'expected the fields of its type'),
)
const FileSchema = v.pipe(
  v.strictObject({
    path: v.pipe(name(MAX_PATH_BYTES), v.minLength(1)),
    old: v.exactOptional(StateSchema),
    new: v.exactOptional(StateSchema),
    content: v.boolean(),
  }),
  v.check(
    (change) =>
      (change.old ?? change.new) !== undefined &&
      (!change.content || (change.old?.type === 'file' && change.new?.type === 'file')),
    'expected what it was or what it is',
  ),
)
const word = v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,128}$/, 'expected 1 to 128 printable characters'))
const PackageSchema = v.pipe(
  v.strictObject({
    database: v.picklist(PACKAGE_DATABASES),
    name: word,
    old: v.exactOptional(word),
    new: v.exactOptional(word),
  }),
  v.check((change) => change.old !== change.new, 'expected two versions, or one'),
)
const ChangesSchema = v.strictObject({
  packages: v.pipe(v.array(PackageSchema), v.maxLength(MAX_PACKAGES)),
  files: v.pipe(v.array(FileSchema), v.maxLength(MAX_FILES)),
  omitted: count,
  unread: count,
})

export function encodeChanges({ packages, files, omitted, unread }: ChangeList): Buffer {
  return encodeCanonical({
    omitted,
    unread,
    packages: packages.map((change) => ({ ...change })),
    files: files.map((change) => ({
      path: bytesOfName(change.path),
      content: change.content,
      ...(change.old && { old: stateValue(change.old) }),
      ...(change.new && { new: stateValue(change.new) }),
    })),
  })
}

function stateValue({ target, ...state }: FileState): Canonical {
  return { ...state, ...(target !== undefined && { target: bytesOfName(target) }) }
}

/** Throws `BUNDLE_MALFORMED`. */
export function decodeChanges(bytes: Buffer): ChangeList {
  const result = v.safeParse(ChangesSchema, decodeCanonicalOr(bytes, malformed), { abortEarly: true })
  if (!result.success) {
    const [issue] = result.issues
    throw malformed(`${v.getDotPath(issue) ?? 'list'}: ${issue.message}`)
  }
  const { packages, files } = result.output
  requireOrder(files, ({ path }, after) => Buffer.compare(bytesOfName(path), bytesOfName(after.path)))
  requireOrder(packages, comparePackages)
  return result.output
}

/** The order in which a list has them. */
export function comparePackages(one: PackageChange, other: PackageChange): number {
  const [a, b] = [one, other].map((change) => [change.database, change.name].join('\0')) as [string, string]
  return a < b ? -1 : a > b ? 1 : 0
}

function requireOrder<Item>(items: readonly Item[], compare: (one: Item, after: Item) => number): void {
  for (const [index, item] of items.entries()) {
    const after = items[index + 1]
    if (after !== undefined && compare(item, after) >= 0) throw malformed('it is not in order, once each')
  }
}

const PACKING = { codec: 'zstd', params: [19, 0] } as const

/** The bytes that stand in a bundle, and what the manifest says of them. */
export async function packChanges(
  list: ChangeList,
  codecs: Pick<BlockCodecs, 'encode'>,
): Promise<{ packed: Buffer; entry: SegmentEntry }> {
  const raw = encodeChanges(list)
  const { stored: packed } = await codecs.encode(PACKING, raw)
  return { packed, entry: { bytes: packed.length, rawBytes: raw.length, digest: digestOf(packed) } }
}

/** `packed` has the digest of the entry. Throws `BUNDLE_MALFORMED`. */
export function unpackChanges(
  packed: Buffer,
  { rawBytes }: Pick<SegmentEntry, 'rawBytes'>,
  codecs: Pick<BlockCodecs, 'decode'>,
): ChangeList {
  const raw = Buffer.allocUnsafeSlow(rawBytes)
  try {
    codecs.decode(PACKING.codec, packed, raw)
  } catch (cause) {
    throw malformed(`it does not unpack to ${rawBytes} bytes`, cause)
  }
  return decodeChanges(raw)
}

function malformed(what: string, cause?: unknown): PineError {
  return new PineError('BUNDLE_MALFORMED', `the list of changes is invalid: ${what}`, { cause })
}
