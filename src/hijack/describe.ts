import { EFI_PROGRAM } from '../boot/grub-efi-partition.ts'
import { formatBytes } from '../core/format.ts'
import { OUR_PROGRAM } from '../model/boot-variables.ts'
import type { BoxFacts, PartitionPlace } from './box-facts.ts'
import { type Drawn, drawDisk } from './draw.ts'
import type { TakeoverJournal } from './journal.ts'
import type { Network } from './network.ts'
import type { Problem } from './problem.ts'
import type { Review } from './review.ts'
import { describeShrink, type ShrinkOutcome } from './shrink-outcome.ts'
import type { ShrinkPlan } from './shrink-plan.ts'
import { failureOf, stageOf, type TakeoverFacts, type TakeoverStage } from './takeover-state.ts'

/** What a takeover would do, for a person who has to say yes. */
export function describeReview(review: Review): string[] {
  const { facts, image, problems } = review
  const disk = facts.disk?.path ?? 'no disk'
  return [
    `machine     ${facts.efi === undefined ? 'BIOS' : 'UEFI'}, ${formatBytes(facts.memoryBytes)} of memory, ${disk}`,
    `image       ${image.version}, ${image.fs}, ${formatBytes(image.bytes)}`,
    ...describeTable(facts),
    ...describeLoader(facts),
    ...describeNetwork(review.found?.network),
    ...describeKept(review),
    ...describeRoom(review),
    ...problems.flatMap(describeProblem),
    ...(problems.some(({ severity }) => severity === 'stop') ? [] : NEXT),
  ]
}

const NEXT = [
  'until "commit" nothing changes but files of the old system; until "reclaim" it starts again when you want it to',
  'next: pine-update hijack stage, with the same options',
]

function describeTable({ disk }: BoxFacts): string[] {
  if (disk?.table !== 'dos') return []
  return [
    'table       MBR: "commit" makes it a GPT with the same numbers, "abort" makes it the MBR that it was',
  ]
}

/** BIOS needs no words: our loader goes beside the old one. */
function describeLoader({ efi }: BoxFacts): string[] {
  if (efi?.esp === undefined) return []
  const { at, path } = efi.esp
  return [
    `loader      ${efi.loader} on ${path} stays; commit adds ${OUR_PROGRAM}, and has the firmware start it once`,
    `            ${at} is the EFI system partition of both systems; reclaim puts ours in the place of ${EFI_PROGRAM} too`,
  ]
}

function describeNetwork(network: Network | undefined): string[] {
  if (network === undefined) return []
  return network.links.map(({ mac, addresses, dynamic4 }) => {
    const fixed = addresses.filter(({ dynamic }) => !dynamic).map(({ cidr }) => cidr)
    return `network     ${mac}: ${[...(dynamic4 ? ['DHCP'] : []), ...fixed].join(', ')}`
  })
}

function describeKept({ found }: Review): string[] {
  if (found === undefined) return []
  const { captured } = found.identity
  const keys = captured.files.filter(({ path }) => path.startsWith('/etc/ssh/ssh_host_')).length
  const users = captured.accounts.passwd.map((line) => line.split(':')[0])
  return [
    `kept        ${keys} files of ssh host keys, keys of ${['root', ...users].join(', ')}, addresses, name, time zone`,
  ]
}

function describeRoom({ facts, wanted }: Review): string[] {
  const { disk, partitions, root } = facts
  if (disk === undefined || root.partition === undefined) return []
  const isRoot = ({ path }: PartitionPlace) => path === root.partition?.path
  const old = partitions.map((place): Drawn => {
    const what = isRoot(place) ? `${place.fs}, the old system` : place.fs || 'no file system'
    return { ...place, name: `${place.path} (${what})` }
  })
  const parts = wanted.map(({ name, bytes }) => `  ${name.padEnd(10)} ${formatBytes(bytes).padStart(9)}`)
  return [
    'disk now:',
    ...drawDisk(old, disk.bytes),
    'after "commit" the same, and in the free space of the old system, where "stage" finds it in one piece:',
    ...parts,
    `after "reclaim" ${root.partition.path} is gone, and state has the room behind it; the others stay`,
    root.mount.fs === 'ext4' ? CAN_SHRINK : CANNOT_SHRINK,
  ]
}

const FINDS_OUT = 'what is free may be too scattered for that, which "stage" finds out'
const CAN_SHRINK = `${FINDS_OUT}; "stage --shrink" is the way out then`
const CANNOT_SHRINK = `${FINDS_OUT}; this file system cannot be shrunk, so that only smaller sizes, or less in it, would help`

/** What a shrink would do, for a person who has to say yes. */
export function describeShrinkPlan({
  device,
  blockBytes,
  full,
  target,
  movedBytes,
  minutes,
}: ShrinkPlan): string[] {
  const [now, then] = [full, target].map((blocks) => formatBytes(blocks * blockBytes))
  return [
    `what is free in ${device} is enough, but too scattered; it can be pushed together while the machine restarts:`,
    `  the file system is unmounted, checked, made smaller (${now} to ${then}), made as large again, and checked`,
    `  up to ${formatBytes(movedBytes)} of files are moved; the machine is away for about ${minutes} minutes, on a slow disk for longer`,
    'WARNING: a power cut, or a reset from the panel, while that runs can destroy the old file system and all that is in it.',
    '  The next start repairs what it can; there is no other way back. Have a backup, and do not touch it meanwhile.',
    'to do it, add --yes, and --reboot to restart at once',
  ]
}

function describeProblem({ severity, text, hint }: Problem): string[] {
  const first = `${severity === 'stop' ? 'STOP' : 'warning'}: ${text}`
  return hint === undefined ? [first] : [first, `  ${hint}`]
}

const STAGES: Record<TakeoverStage, string> = {
  begun: 'staging was cut off; next: "pine-update hijack stage" again, or "hijack abort"',
  staged: 'the new system is on the disk; next: "pine-update hijack rehearse"',
  armed: 'the next start of this machine is the rehearsal',
  rehearsed: 'the rehearsal was good; next: "pine-update hijack commit"',
  failed: 'the new system gave itself up; next: "hijack rehearse" again, or "hijack abort"',
  silent: 'the rehearsal ended without a verdict; next: "hijack rehearse" again, or "hijack abort"',
  returned:
    'the old system is back after the one start that commit gave the new one; next: "hijack commit" again, or "hijack abort"',
  committed: 'the new system starts first; next, from there: "pine-update hijack reclaim"',
}
const FELL_BACK = 'our loader started this system and not the new one; next: "hijack abort"'

/** How far a takeover has come, seen from the old system. */
export function describeTakeover(facts: TakeoverFacts, shrink?: ShrinkOutcome): string[] {
  const stage = stageOf(facts)
  const { image, startedAt } = facts.journal
  const failure = failureOf(facts)
  const reason = failure === undefined ? [] : [`reason      ${failure}`]
  return [
    `takeover    ${stage}: ${stage === 'committed' && facts.isFallback ? FELL_BACK : STAGES[stage]}`,
    `image       ${image.version}, since ${startedAt}`,
    ...reason,
    ...(shrink === undefined ? [] : describeShrink(shrink)),
    ...describePlaces(facts.journal),
  ]
}

/** Nothing before room was found. */
function describePlaces({ disk, root, parts }: TakeoverJournal): string[] {
  if (parts.length === 0) return []
  return [`${disk.path}:`, ...drawDisk([{ ...root, name: 'old system' }, ...parts], disk.bytes)]
}
