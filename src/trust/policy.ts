import type { Manifest, Variant } from '../bundle/manifest.ts'
import type { Digest } from '../core/digest.ts'
import { type ErrorCode, PineError } from '../core/error.ts'
import { compareVersions, isVersion } from '../core/version.ts'
import type { Verified } from './verify.ts'

/** What a host asks of a bundle before it lets it write. */
export interface HostPolicy {
  readonly compatible: string
  /** What runs now; `digest` where the host knows which image that is. */
  readonly installed: { readonly version: string; readonly epoch: number; readonly digest?: Digest }
  /** Images that failed their health checks here. */
  readonly rejected: readonly Digest[]
  readonly now: Date
  /** Length of the inactive slot. */
  readonly slotBytes: number
  /** Memory the apply may use; left out where nobody knows. */
  readonly memoryBytes?: number
  /** Codecs this program decodes, by name, each with its version. */
  readonly codecs: ReadonlyMap<string, () => string>
  readonly allowDowngrade?: boolean
  readonly forceRejected?: boolean
}

interface Rule<Subject> {
  readonly code: ErrorCode
  /** What is wrong, or undefined. */
  readonly check: (subject: Subject, policy: HostPolicy) => string | undefined
  readonly hint?: string
}

/** In this order problems are named; the first one is thrown. */
const RULES: readonly Rule<Manifest>[] = [
  { code: 'COMPATIBLE_MISMATCH', check: checkCompatible },
  {
    code: 'BUNDLE_EXPIRED',
    check: checkExpiry,
    hint: 'check the clock of this host, or make the bundle again',
  },
  { code: 'DOWNGRADE_REFUSED', check: checkEpoch, hint: 'allow it with --allow-downgrade' },
  { code: 'DOWNGRADE_REFUSED', check: checkVersion, hint: 'allow it with --allow-downgrade' },
  { code: 'REJECTED_BEFORE', check: checkRejected, hint: 'apply it all the same with --force-rejected' },
  { code: 'IMAGE_TOO_BIG', check: checkSize },
]

/** What each way of making the image asks for. */
const VARIANT_RULES: readonly Rule<Variant>[] = [
  {
    code: 'BASE_MISMATCH',
    check: checkBase,
    hint: 'take the full bundle, or one made from the installed image',
  },
  { code: 'BUNDLE_TOO_NEW', check: checkCodecs, hint: 'update pine-update first, or take the full bundle' },
  {
    code: 'CODEC_MISMATCH',
    check: checkVersions,
    hint: 'take the full bundle of the release: it needs no codec',
  },
  { code: 'MEMORY_TOO_SMALL', check: checkMemory },
]

/** Every reason why this host must not apply the bundle, in the order of the rules. Empty when it may. */
export function policyProblems(manifest: Verified<Manifest>, policy: HostPolicy): PineError[] {
  return [...problemsOf(RULES, manifest, policy), ...judgeVariants(manifest, policy).problems]
}

/** Throws the first of `policyProblems`; returns the variant to apply. */
export function checkPolicy(manifest: Verified<Manifest>, policy: HostPolicy): Variant {
  const { chosen } = judgeVariants(manifest, policy)
  const [problem] = policyProblems(manifest, policy)
  if (problem) throw problem
  return chosen
}

/** The first variant that this host can apply; where there is none, the first made from its image, or simply the first. */
function judgeVariants(
  { variants }: Manifest,
  policy: HostPolicy,
): { chosen: Variant; problems: readonly PineError[] } {
  const judged = variants.map((variant) => ({
    chosen: variant,
    problems: problemsOf(VARIANT_RULES, variant, policy),
  }))
  const best =
    judged.find(({ problems }) => problems.length === 0) ??
    judged.find(({ problems }) => problems.every(({ code }) => code !== 'BASE_MISMATCH')) ??
    judged[0]
  if (best === undefined) throw new Error('a manifest without variants')
  return best
}

function problemsOf<Subject>(
  rules: readonly Rule<Subject>[],
  subject: Subject,
  policy: HostPolicy,
): PineError[] {
  return rules.flatMap(({ code, check, hint }) => {
    const message = check(subject, policy)
    return message === undefined ? [] : [new PineError(code, message, hint === undefined ? {} : { hint })]
  })
}

function checkCompatible(manifest: Manifest, policy: HostPolicy): string | undefined {
  if (manifest.compatible === policy.compatible) return undefined
  return `bundle is for "${manifest.compatible}", this host is "${policy.compatible}"`
}

function checkCodecs(variant: Variant, { codecs }: HostPolicy): string | undefined {
  const missing = variant.codecs.find(({ name }) => !codecs.has(name))
  return missing && `bundle needs codec ${missing.name}, this host has none of that name`
}

function checkVersions(variant: Variant, { codecs }: HostPolicy): string | undefined {
  const [other] = variant.codecs.flatMap(({ name, version }) => {
    const ours = codecs.get(name)?.() ?? version
    return version === undefined || version === ours ? [] : [{ name, version, ours }]
  })
  return other && `bundle was made with ${other.name} ${other.version}, this host has ${other.ours}`
}

function checkExpiry({ expires }: Manifest, { now }: HostPolicy): string | undefined {
  if (expires === undefined || now.getTime() < expires * 1000) return undefined
  return `bundle expired at ${new Date(expires * 1000).toISOString()}, it is now ${now.toISOString()}`
}

function checkEpoch({ epoch }: Manifest, { installed, allowDowngrade }: HostPolicy): string | undefined {
  if (allowDowngrade || epoch >= installed.epoch) return undefined
  return `bundle has epoch ${epoch}, this host is at ${installed.epoch}`
}

function checkVersion({ version }: Manifest, { installed, allowDowngrade }: HostPolicy): string | undefined {
  if (allowDowngrade) return undefined
  const unordered = [version, installed.version].find((text) => !isVersion(text))
  if (unordered !== undefined && version !== installed.version) {
    return `"${unordered}" is no version that can be ordered: bundle has "${version}", this host runs "${installed.version}"`
  }
  if (version === installed.version || compareVersions(version, installed.version) >= 0) return undefined
  return `bundle has version ${version}, this host runs ${installed.version}`
}

function checkRejected(
  { image, version }: Manifest,
  { rejected, forceRejected }: HostPolicy,
): string | undefined {
  if (forceRejected || !rejected.includes(image.digest)) return undefined
  return `version ${version} (${image.digest.slice(0, 16)}) was rejected on this host before`
}

function checkBase({ base }: Variant, { installed }: HostPolicy): string | undefined {
  if (!base || installed.digest === undefined || installed.digest === base.digest) return undefined
  return `bundle was made from image ${base.digest.slice(0, 16)}, this host runs ${installed.digest.slice(0, 16)}`
}

function checkSize({ image }: Manifest, { slotBytes }: HostPolicy): string | undefined {
  if (image.bytes <= slotBytes) return undefined
  return `the image has ${image.bytes} bytes, the slot has ${slotBytes}`
}

function checkMemory(variant: Variant, { memoryBytes }: HostPolicy): string | undefined {
  if (memoryBytes === undefined || variant.memoryBytes <= memoryBytes) return undefined
  return `the apply needs ${variant.memoryBytes} bytes of memory, ${memoryBytes} are available`
}
