import { resolve } from 'node:path'
import * as v from 'valibot'

const MAX_TEXT_BYTES = 64 * 1024
const MAX_PATH_BYTES = 4095

const Text = v.pipe(v.string(), v.excludes('\0'), v.maxBytes(MAX_TEXT_BYTES))
const Name = v.pipe(Text, v.nonEmpty())
/** Whoever runs the verb may be in another folder. */
const Path = v.pipe(Name, v.transform(resolve), v.maxBytes(MAX_PATH_BYTES))
const Commit = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'Expected the 64 hex digits of a commit'))
/** A ref, a commit, the start of one, or `main^` for a parent. */
const Rev = Name
const Seconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** What commits can carry: `s`, `b`, `t` or `x`, `d`, `ay` and `as` of GVariant. */
const MetadataValue = v.union([
  Text,
  v.boolean(),
  v.pipe(v.number(), v.finite()),
  v.pipe(v.bigint(), v.minValue(-(2n ** 63n)), v.maxValue(2n ** 64n - 1n)),
  v.instance(Uint8Array),
  v.array(Text),
])
export type MetadataValue = v.InferOutput<typeof MetadataValue>

/** `ed25519` is what to use where libostree has it; `dummy` is libostree's own, for its tests. */
const SignatureType = v.picklist(['ed25519', 'dummy'])
const SecretKey = v.strictObject({ type: SignatureType, secretKey: Name })
const PublicKeys = v.strictObject({ type: SignatureType, publicKeys: v.pipe(v.array(Name), v.nonEmpty()) })
export type SecretKey = v.InferOutput<typeof SecretKey>
export type PublicKeys = v.InferOutput<typeof PublicKeys>

/** What each verb on a repository is asked. */
export const REPO_REQUESTS = {
  close: v.strictObject({}),
  resolve: v.strictObject({ rev: Rev }),
  /** Only those below `prefix`. */
  refs: v.strictObject({ prefix: v.exactOptional(Name) }),
  /** `null` removes the ref. */
  setRef: v.strictObject({ ref: Name, commit: v.nullable(Commit) }),
  show: v.strictObject({ rev: Rev }),
  commit: v.strictObject({
    /** The folder that becomes the root. */
    tree: Path,
    /** `null`: no ref will point to it. */
    ref: v.nullable(Name),
    /** Default: what the ref points to, if anything. */
    parent: v.exactOptional(v.nullable(Commit)),
    subject: v.exactOptional(Text),
    body: v.exactOptional(Text),
    metadata: v.exactOptional(v.record(Name, MetadataValue)),
    /** Default: now. */
    timestamp: v.exactOptional(Seconds),
    /** Owner 0:0, no write bits for others: what a repository for users can hold. */
    canonical: v.exactOptional(v.boolean()),
    skipXattrs: v.exactOptional(v.boolean()),
  }),
  pullLocal: v.strictObject({
    /** The repository to take from. */
    from: Path,
    /** Refs or commits; default: all refs that are its own. */
    refs: v.exactOptional(v.pipe(v.array(Name), v.nonEmpty())),
    /** How many parents too; -1 for all. Default 0. */
    depth: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(-1), v.maxValue(2 ** 31 - 1))),
    /** Does not check what it copies, and links files where it can. */
    trusted: v.exactOptional(v.boolean()),
  }),
  checkout: v.strictObject({
    rev: Rev,
    /** A folder that is made; with `into` it is there, and what is in it stays. */
    to: Path,
    into: v.exactOptional(v.boolean()),
    /** Files are links to the repository's, or copies. */
    files: v.picklist(['link', 'copy']),
    /** Without owners and extended attributes, as for a user. */
    asUser: v.exactOptional(v.boolean()),
  }),
  diff: v.strictObject({ from: Rev, to: Rev }),
  measure: v.strictObject({
    rev: Rev,
    /** Count apart what this one does not have. */
    base: v.exactOptional(Rev),
  }),
  compare: v.strictObject({
    rev: Rev,
    folder: Path,
    /** Names of entries of the folder itself that do not belong to the tree. */
    except: v.array(Name),
    /** Of a bare repository that fsck found good: a file of the folder that is a link to its object there is not read again. */
    objects: v.exactOptional(Path),
  }),
  makeDelta: v.strictObject({
    /** `null`: for hosts that have nothing. */
    from: v.nullable(Rev),
    to: Rev,
    /** Everything is in this one file. */
    file: Path,
    sign: v.exactOptional(SecretKey),
    /** When it was made, for one that is not signed. Default: now. */
    timestamp: v.exactOptional(Seconds),
  }),
  /** Only with `trust` does it matter who made the delta. */
  applyDelta: v.strictObject({ file: Path, trust: v.exactOptional(PublicKeys) }),
  prune: v.strictObject({
    /** Commits that no ref leads to go too; else only what belongs to no commit. */
    refsOnly: v.exactOptional(v.boolean()),
    /** How many parents of each ref stay; -1, the default, for all. */
    depth: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(-1), v.maxValue(2 ** 31 - 1))),
    dryRun: v.exactOptional(v.boolean()),
  }),
  fsck: v.strictObject({}),
} as const

export const SESSION_REQUESTS = {
  open: v.strictObject({ path: Path }),
  init: v.strictObject({
    path: Path,
    mode: v.picklist(['bare', 'bare-user', 'bare-user-only', 'archive']),
    /** Default: each object is flushed by itself. `false` where the whole file system is, later. */
    flush: v.exactOptional(v.boolean()),
  }),
} as const

export const REQUESTS = { ...SESSION_REQUESTS, ...REPO_REQUESTS }
export type RepoVerb = keyof typeof REPO_REQUESTS
export type VerbName = keyof typeof REQUESTS
export type Request<K extends VerbName> = v.InferOutput<(typeof REQUESTS)[K]>
