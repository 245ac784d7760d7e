import { statusOf } from '../../src/agent/status.ts'
import { AREA } from '../../src/boot/bootstate-area.ts'
import { decodeEnvBlock } from '../../src/boot/env-block.ts'
import { readLog } from '../../src/boot/grub-state.ts'
import { decodeMeta } from '../../src/boot/meta.ts'
import type { BootState, SlotName } from '../../src/model/boot-state.ts'
import type { Facts } from '../../src/model/facts.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { parseSettings } from '../../src/model/settings.ts'
import { planVerdict } from '../../src/plan/verdict.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import { contentOf, copyDisk, type Disk, type Piece, writePiece } from './disk.ts'
import { type Fixture, versionIn } from './fixture.ts'
import { startLoader } from './loader.ts'
import type { Recording } from './recording.ts'
import { startServer } from './server.ts'

/** What is in the two places that count, as numbers that only ever grow. */
interface Sequences {
  boot: number
  records: number
}

/** What an outcome is held against. */
export interface Expectation {
  readonly fixture: Fixture
  /** Versions that may boot: the old one and the new one. */
  readonly boots: readonly string[]
  /** No release panics or is unhealthy. */
  readonly areAllGood: boolean
  /** Some of the log was not flushed. */
  readonly isLogTouched: boolean
}

/** What was done before a cut. */
export interface Past {
  readonly states: SeenStates
  /** A sector was torn, which disks do not do. */
  readonly isSectorTorn: boolean
  /** What was durable at the cut: less would be a loss. */
  readonly least: Sequences
}

/** Every boot state that one of the copies ever held, as text. */
export interface SeenStates {
  readonly whole: Set<string>
  /** Without what the loader saves. */
  readonly byUserSpace: Set<string>
}

function copiesOf(disk: Disk): BootState[] {
  const content = contentOf(disk, 'bootstate')
  return (['env0', 'env1'] as const).flatMap((name) => {
    const { offset, bytes } = AREA[name]
    return decodeEnvBlock(content.subarray(offset, offset + bytes)) ?? []
  })
}

/** The highest of each that can be read; -1 where nothing can. */
export function sequencesOf(disk: Disk): Sequences {
  const content = contentOf(disk, 'bootstate')
  const records = (['meta0', 'meta1'] as const).flatMap((name) => {
    const { offset, bytes } = AREA[name]
    return decodeMeta(content.subarray(offset, offset + bytes))?.sequence ?? []
  })
  return {
    boot: Math.max(-1, ...copiesOf(disk).map(({ sequence }) => sequence)),
    records: Math.max(-1, ...records),
  }
}

/** Every boot state that a copy held while something was recorded. */
export function statesIn({ start, written }: Recording): SeenStates {
  const disk = copyDisk(new Map([...start].filter(([role]) => role === 'bootstate')))
  const states: SeenStates = { whole: new Set(), byUserSpace: new Set() }
  addStates(states, disk)
  for (const { piece } of written) {
    if (piece.role !== 'bootstate') continue
    writePiece(disk, piece)
    addStates(states, disk)
  }
  return states
}

function addStates({ whole, byUserSpace }: SeenStates, disk: Disk): void {
  for (const state of copiesOf(disk)) {
    whole.add(JSON.stringify(state))
    byUserSpace.add(partByUserSpace(state))
  }
}

/** The loader changes single characters in place and no sequence: half a sector of it may be a mixture, and is harmless. */
function partByUserSpace({ sequence, order, slots: { a, b } }: BootState): string {
  return JSON.stringify([sequence, order, a.confirmed, a.generation, b.confirmed, b.generation])
}

/** What is wrong with a disk after a power cut; empty where nothing is. Leaves the disk as it was. */
export async function problemsOf(disk: Disk, expected: Expectation): Promise<string[]> {
  return [...problemsOfLoader(disk, expected), ...(await problemsOfStatus(disk, expected))]
}

/** What is wrong with a disk in view of what was written to it. */
export function problemsOfState(disk: Disk, { states, least, isSectorTorn }: Past): string[] {
  const found = sequencesOf(disk)
  const isKnown = (state: BootState) =>
    isSectorTorn ? states.byUserSpace.has(partByUserSpace(state)) : states.whole.has(JSON.stringify(state))
  const mixed = copiesOf(disk).filter((state) => !isKnown(state))
  return [
    ...mixed.map((state) => `a copy of the boot state is neither old nor new: ${JSON.stringify(state)}`),
    ...(found.boot < least.boot ? [`boot state ${least.boot} was flushed, ${found.boot} is there`] : []),
    ...(found.records < least.records
      ? [`records ${least.records} were flushed, ${found.records} are there`]
      : []),
  ]
}

/** The next start, and the ones after it for as long as nobody gives a verdict. */
function problemsOfLoader(disk: Disk, { fixture, boots }: Expectation): string[] {
  const { copy, pick, read } = startLoader(disk, fixture.layout)
  if (copy === null || read === undefined) return ['no copy of the boot state is usable']
  if (pick === null) return ['the loader finds nothing to start']
  const version = versionIn(fixture, disk, pick)
  const problems = boots.includes(version)
    ? []
    : [`the loader starts slot ${pick} with ${version}, expected ${boots.join(' or ')}`]
  for (const later of picksWithoutVerdict(read)) {
    const found = versionIn(fixture, disk, later)
    if (found === 'torn') problems.push(`a later start takes slot ${later}, which is torn`)
  }
  return problems
}

/** Different slots that are started one after the other while nobody confirms or rejects. */
function picksWithoutVerdict(start: BootState): Set<SlotName> {
  const picks = new Set<SlotName>()
  let state = start
  for (let boots = 0; boots < 20; boots++) {
    const { pick, after } = simulateLoader(state, (target) => target !== 'r')
    if (pick === 'a' || pick === 'b') picks.add(pick)
    if (after === undefined || after === state) break
    state = after
  }
  return picks
}

const SETTINGS = parseSettings([])

/** What user space sees once it was started must be what the disk holds. */
async function problemsOfStatus(
  disk: Disk,
  { fixture, isLogTouched, areAllGood }: Expectation,
): Promise<string[]> {
  const held = heldPiece(disk)
  try {
    const server = startServer({ fixture, disk })
    server.boot()
    return await withMachine(server.host, { disk: undefined, writable: false }, async (machine) => {
      if (isLogTouched) await readLog(machine.bootstate)
      const facts = await observe(machine)
      return [...liesOf(facts, { fixture, disk }), ...problemsOfVerdict(facts, areAllGood)]
    })
  } catch (error) {
    return [`user space cannot look at it: ${String(error)}`]
  } finally {
    writePiece(disk, held)
  }
}

const NOW = new Date('2026-01-02T00:00:00Z')

/** What the health service will do after this start, whatever it finds, is a plan; and it blames nobody for a power cut. */
function problemsOfVerdict(facts: Facts, areAllGood: boolean): string[] {
  planVerdict(facts, { healthy: false, reason: 'a check failed' }, NOW)
  const { steps } = planVerdict(facts, { healthy: true, reason: '' }, NOW)
  return steps.flatMap((step) =>
    step.kind === 'record-rejection' && areAllGood
      ? [`${step.rejection.version} is to be rejected: ${step.rejection.reason}`]
      : [],
  )
}

/** Both copies of the boot state as they are: writing them again undoes what the loader writes. */
function heldPiece(disk: Disk): Piece {
  const offset = AREA.env0.offset
  const end = AREA.env1.offset + AREA.env1.bytes
  return {
    role: 'bootstate',
    offset,
    bytes: Buffer.from(contentOf(disk, 'bootstate').subarray(offset, end)),
  }
}

/** What `status` says and the bytes do not. */
export function liesOf(facts: Facts, { fixture, disk }: { fixture: Fixture; disk: Disk }): string[] {
  const status = statusOf(facts, SETTINGS)
  const problems = status.loaderSeesState ? [] : ['status says that the loader does not see the boot state']
  for (const { slot, booted, condition, image } of status.slots) {
    const holds = versionIn(fixture, disk, slot)
    const says = image === null ? undefined : fixture.versions.get(image.digest)
    if (image !== null && says !== holds)
      problems.push(`status: slot ${slot} holds ${says}, it holds ${holds}`)
    if (image === null && (booted || condition === 'confirmed' || condition === 'trial')) {
      problems.push(`status: slot ${slot} is ${booted ? 'booted' : condition} and holds no known image`)
    }
  }
  const next = startLoader(disk, fixture.layout).pick
  if (status.nextBoot !== next)
    problems.push(`status: ${status.nextBoot} boots next, the loader picks ${next}`)
  return [...problems, ...trialLies(facts, status.trial)]
}

function trialLies({ records }: Facts, trial: { slot: SlotName; version: string } | null): string[] {
  if (trial === null) return []
  const { slot, version } = trial
  const noted = records.trial
  if (noted?.slot === slot && noted.version === version && noted.digest === records.slots[slot]?.digest)
    return []
  return [`status: ${version} is on trial in slot ${slot}, noted is ${JSON.stringify(noted)}`]
}
