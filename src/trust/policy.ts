import { baseOf, contentOf, type ImageManifest, type Manifest, type Variant } from '../bundle/manifest.ts'
import type { TreeManifest, TreeVariant } from '../bundle/tree-manifest.ts'
import { roomForApply, type TreeFiles } from '../bundle/tree-room.ts'
import type { Check } from '../core/check.ts'
import type { Digest } from '../core/digest.ts'
import { type ErrorCode, PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import { describeRoom, fits, type Room } from '../core/room.ts'
import { compareVersions, isVersion } from '../core/version.ts'
import type { TrustedKeys } from './key-list.ts'
import type { Verified } from './verify.ts'

/** What a host asks of a bundle before it lets it write. */
export interface HostPolicy {
  readonly compatible: string
  /** What runs now; `digest` where the host knows which image, or which commit, that is. */
  readonly installed: { readonly version: string; readonly digest?: Digest }
  /** What its slots hold. */
  readonly slotKind: 'image' | 'tree'
  /** How a tree is put into its slot. */
  readonly treeFiles: TreeFiles
  /** The highest that was ever confirmed here. */
  readonly floor: { readonly version?: string; readonly epoch: number }
  /** Images that failed their health checks here. */
  readonly rejected: readonly Digest[]
  readonly now: Date
  /** The newest signed time that this host has seen, in seconds since 1970: it cannot be earlier than that. */
  readonly timeFloor: number
  readonly keys: Pick<TrustedKeys, 'version' | 'expires'>
  /** Length of the inactive slot; of a tree slot, what can be had for it. */
  readonly slotBytes: number
  /** Files and folders that it can have; infinite for an image. */
  readonly slotInodes: number
  /** Memory the apply may use; left out where nobody knows. */
  readonly memoryBytes?: number
  /** Codecs this program decodes, by name, each with its version. */
  readonly codecs: ReadonlyMap<string, () => string>
  readonly allowDowngrade?: boolean
  readonly allowExpired?: boolean
  readonly forceRejected?: boolean
}

type Rule<Subject> = (subject: Subject, policy: HostPolicy) => Check

/** In this order problems are named. */
const RULES: readonly Rule<Manifest>[] = [
  checkKind,
  checkCompatible,
  checkExpiry,
  checkKeys,
  checkEpoch,
  checkVersion,
  checkRejected,
]

/** What each way of making the image asks for. */
const VARIANT_RULES: readonly Rule<Variant>[] = [checkBase, checkCodecs, checkVersions, checkMemory]

/** A bundle, and the first variant that this host can apply; where there is none, the first made from what runs, or simply the first. */
export type Chosen =
  | { readonly kind: 'image'; readonly manifest: Verified<ImageManifest>; readonly variant: Variant }
  | { readonly kind: 'tree'; readonly manifest: Verified<TreeManifest>; readonly variant: TreeVariant }

export interface Judgement {
  readonly chosen: Chosen
  /** Everything that was looked at. The host may apply the bundle where none has a problem. */
  readonly checks: readonly Check[]
}

export function judgeBundle(manifest: Verified<Manifest>, policy: HostPolicy): Judgement {
  const general = RULES.map((rule) => rule(manifest, policy))
  if ('tree' in manifest) {
    const { variant, checks } = judgeVariants(manifest.variants, treeVariantRules(manifest), policy)
    return { chosen: { kind: 'tree', manifest, variant }, checks: [...general, ...checks] }
  }
  const { variant, checks } = judgeVariants(manifest.variants, VARIANT_RULES, policy)
  const size = checkSize(manifest, policy)
  return { chosen: { kind: 'image', manifest, variant }, checks: [...general, size, ...checks] }
}

function judgeVariants<V>(
  variants: readonly V[],
  rules: readonly Rule<V>[],
  policy: HostPolicy,
): { variant: V; checks: readonly Check[] } {
  const judged = variants.map((variant) => ({ variant, checks: rules.map((rule) => rule(variant, policy)) }))
  const best =
    judged.find(({ checks }) => checks.every(({ problem }) => problem === undefined)) ??
    judged.find(({ checks }) => checks.every(({ problem }) => problem?.code !== 'BASE_MISMATCH')) ??
    judged[0]
  if (best === undefined) throw new Error('a manifest without variants')
  return best
}

interface Refusal {
  code: ErrorCode
  /** What is wrong; undefined where nothing is. */
  wrong: string | undefined
  hint?: string
}

function checked(name: string, found: string, { code, wrong, hint }: Refusal): Check {
  if (wrong === undefined) return { name, found }
  return { name, found, problem: new PineError(code, wrong, hint === undefined ? {} : { hint }) }
}

const CONTENTS = { image: 'images', tree: 'trees of files' } as const

function checkKind(manifest: Manifest, { slotKind }: HostPolicy): Check {
  const kind = 'tree' in manifest ? 'tree' : 'image'
  const other = kind === 'tree' ? 'without --tree' : 'with --tree'
  return checked('kind of slot', CONTENTS[slotKind], {
    code: 'BUNDLE_KIND_MISMATCH',
    wrong:
      kind === slotKind
        ? undefined
        : `bundle is of an ${kind === 'tree' ? 'OSTree tree' : 'image'}, the slots of this host hold ${CONTENTS[slotKind]}`,
    hint: `take the bundle of the release that was made ${other}`,
  })
}

function checkCompatible(manifest: Manifest, policy: HostPolicy): Check {
  const isOurs = manifest.compatible === policy.compatible
  return checked('kind of host', `${policy.compatible}, bundle for ${manifest.compatible}`, {
    code: 'COMPATIBLE_MISMATCH',
    wrong: isOurs ? undefined : `bundle is for "${manifest.compatible}", this host is "${policy.compatible}"`,
  })
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

/** The later of what the clock says and what was signed: a clock that lost its battery does not bring old bundles back. */
function secondsNow({ now, timeFloor }: HostPolicy): number {
  return Math.max(Math.floor(now.getTime() / 1000), timeFloor)
}

/** Where the clock is behind what was signed, the signed time counts, and the message has to say so. */
function nowText(policy: HostPolicy): string {
  const clock = policy.now.toISOString()
  if (policy.now.getTime() / 1000 >= policy.timeFloor) return clock
  return `${timeOf(policy.timeFloor)} or later by what was signed (the clock says ${clock})`
}

const CLOCK_HINT = 'if the clock of this host is wrong, set it, or use --allow-expired; else make a new one'

function checkExpiry({ expires }: Manifest, policy: HostPolicy): Check {
  const isOver = expires !== undefined && secondsNow(policy) >= expires && !policy.allowExpired
  const until = expires === undefined ? 'does not expire' : `expires at ${timeOf(expires)}`
  return checked('clock', `it is ${nowText(policy)}, bundle ${until}`, {
    code: 'BUNDLE_EXPIRED',
    wrong: isOver ? `bundle expired at ${timeOf(expires)}, it is now ${nowText(policy)}` : undefined,
    hint: CLOCK_HINT,
  })
}

function checkKeys(_: Manifest, policy: HostPolicy): Check {
  const { version, expires } = policy.keys
  const isOver = expires !== undefined && secondsNow(policy) >= expires && !policy.allowExpired
  const list = version === 0 ? 'plain keys' : `key list ${version}`
  return checked('keys', `${list}, ${expires === undefined ? 'no expiry' : `until ${timeOf(expires)}`}`, {
    code: 'KEY_LIST_EXPIRED',
    wrong: isOver ? `${list} expired at ${timeOf(expires)}, it is now ${nowText(policy)}` : undefined,
    hint: 'take the next key list: "pine-update keys trust", or a bundle that carries it; or look at the clock',
  })
}

const DOWNGRADE_HINT = 'allow it with --allow-downgrade'

function checkEpoch({ epoch }: Manifest, { floor, allowDowngrade }: HostPolicy): Check {
  const isBelow = epoch < floor.epoch && !allowDowngrade
  return checked('epoch', `${epoch}, at least ${floor.epoch}`, {
    code: 'DOWNGRADE_REFUSED',
    wrong: isBelow ? `bundle has epoch ${epoch}, this host is at ${floor.epoch}` : undefined,
    hint: DOWNGRADE_HINT,
  })
}

function checkVersion({ version }: Manifest, { installed, floor, allowDowngrade }: HostPolicy): Check {
  const wrong = allowDowngrade
    ? undefined
    : (olderThan(version, installed.version, 'this host runs') ??
      olderThan(version, floor.version ?? version, 'this host has confirmed'))
  const found = `${version} over ${installed.version}`
  return checked('version', found, { code: 'DOWNGRADE_REFUSED', wrong, hint: DOWNGRADE_HINT })
}

function olderThan(version: string, other: string, whose: string): string | undefined {
  if (version === other) return undefined
  const unordered = [version, other].find((text) => !isVersion(text))
  if (unordered !== undefined)
    return `"${unordered}" is no version that can be ordered: bundle has "${version}", ${whose} "${other}"`
  return compareVersions(version, other) >= 0 ? undefined : `bundle has version ${version}, ${whose} ${other}`
}

function checkRejected(manifest: Manifest, { rejected, forceRejected }: HostPolicy): Check {
  const { version } = manifest
  const { digest } = contentOf(manifest)
  const isRejected = rejected.includes(digest) && !forceRejected
  return checked(
    'rejected before',
    `${rejected.length} releases, ${isRejected ? 'this one too' : 'not this one'}`,
    {
      code: 'REJECTED_BEFORE',
      wrong: isRejected
        ? `version ${version} (${digest.slice(0, 16)}) was rejected on this host before`
        : undefined,
      hint: 'apply it all the same with --force-rejected',
    },
  )
}

function checkSize({ image }: ImageManifest, { slotBytes }: HostPolicy): Check {
  const found = `image ${formatBytes(image.bytes)}, slot ${formatBytes(slotBytes)}`
  return checked('slot size', found, {
    code: 'IMAGE_TOO_BIG',
    wrong:
      image.bytes <= slotBytes ? undefined : `the image has ${image.bytes} bytes, the slot has ${slotBytes}`,
    hint: 'make the image smaller; the slots of this disk cannot grow',
  })
}

function treeVariantRules({ tree }: TreeManifest): readonly Rule<TreeVariant>[] {
  const checkRoom: Rule<TreeVariant> = (variant, { treeFiles, slotBytes, slotInodes }) =>
    checkTreeRoom(roomForApply(tree, variant, treeFiles), { bytes: slotBytes, inodes: slotInodes })
  return [checkBase, checkRoom, checkMemory]
}

function checkTreeRoom(needed: Room, free: Room): Check {
  const found = `needs ${formatBytes(needed.bytes)} and ${needed.inodes} inodes, ${formatBytes(free.bytes)} and ${countOf(free)} can be had`
  return checked('slot space', found, {
    code: 'IMAGE_TOO_BIG',
    wrong: fits(needed, free)
      ? undefined
      : `the tree needs ${describeRoom(needed)}, ${describeRoom(free)} can be had for its slot`,
    hint: 'make room on the file system of the slots, or make the tree smaller',
  })
}

function countOf({ inodes }: Room): string {
  return inodes === Number.POSITIVE_INFINITY ? 'any number' : String(inodes)
}

function checkBase(variant: Variant | TreeVariant, { installed }: HostPolicy): Check {
  const base = baseOf(variant)
  const what = 'newBytes' in variant ? 'commit' : 'image'
  const isOther = base !== undefined && installed.digest !== undefined && installed.digest !== base
  const found = base === undefined ? 'full, needs none' : `made from ${what} ${base.slice(0, 16)}`
  return checked('base', found, {
    code: 'BASE_MISMATCH',
    wrong: isOther
      ? `bundle was made from ${what} ${base.slice(0, 16)}, this host runs ${installed.digest?.slice(0, 16)}`
      : undefined,
    hint: `take the full bundle, or one made from the installed ${what}`,
  })
}

function checkCodecs(variant: Variant, { codecs }: HostPolicy): Check {
  const missing = variant.codecs.find(({ name }) => !codecs.has(name))
  const found = variant.codecs.map(({ name }) => name).join(', ')
  return checked('codecs', found, {
    code: 'BUNDLE_TOO_NEW',
    wrong: missing && `bundle needs codec ${missing.name}, this host has none of that name`,
    hint: 'update pine-update first, or take the full bundle',
  })
}

function checkVersions(variant: Variant, { codecs }: HostPolicy): Check {
  const [other] = variant.codecs.flatMap(({ name, version }) => {
    const ours = codecs.get(name)?.() ?? version
    return version === undefined || version === ours ? [] : [{ name, version, ours }]
  })
  const asked = variant.codecs.flatMap(({ name, version }) =>
    version === undefined ? [] : `${name} ${version}`,
  )
  return checked('codec versions', asked.join(', ') || 'any', {
    code: 'CODEC_MISMATCH',
    wrong: other && `bundle was made with ${other.name} ${other.version}, this host has ${other.ours}`,
    hint: 'take the full bundle of the release: it needs no codec',
  })
}

function checkMemory(variant: Variant | TreeVariant, { memoryBytes }: HostPolicy): Check {
  const needed = variant.memoryBytes
  const available = memoryBytes === undefined ? 'unknown' : formatBytes(memoryBytes)
  const isShort = memoryBytes !== undefined && needed > memoryBytes
  return checked('memory', `needs ${formatBytes(needed)}, available ${available}`, {
    code: 'MEMORY_TOO_SMALL',
    wrong: isShort ? `the apply needs ${needed} bytes of memory, ${memoryBytes} are available` : undefined,
    hint: 'end something else first, add swap, or take the full bundle of the release',
  })
}
