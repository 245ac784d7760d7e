import { createHash } from 'node:crypto'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readAt } from '../../test/hijack/gpt-disk.ts'
import type { Random } from '../../test/power-cut/random.ts'
import { copyDisk } from './commands.ts'
import { openLossyDisk } from './lossy-disk.ts'
import { type NbdServer, serveNbd } from './nbd-server.ts'
import { rootPlaceOf } from './old-disk.ts'
import { differingLines, filesOn } from './old-files.ts'
import { type RentedBox, startBox } from './rented-box.ts'
import { IS_OLD, IS_R1, imageOptions, MOUNT_CARGO, PINE, rentBox, type TakeoverCase } from './takeover-box.ts'

/** What is done after which the power may be cut at any time, and the old system is still there. */
export type CutPhase = 'stage' | 'rehearse' | 'commit'
export const CUT_PHASES: readonly CutPhase[] = ['stage', 'rehearse', 'commit']

/** One machine, and disks of it at the beginning of each phase. */
export interface CutKit {
  kind: TakeoverCase
  key: string
  cargo: string
  dir: string
  /** Of each phase: the disk at its beginning, and how long it took. */
  phases: Map<CutPhase, { disk: string; tookMs: number }>
  /** Before the first of them. */
  pristine: Content
}

interface Content {
  files: string
  /** Digest of all that is on the disk beside the root. */
  outside: string
}

/** Has a machine go through all phases undisturbed. */
export async function prepareCuts(kind: TakeoverCase, cargo: string, dir: string): Promise<CutKit> {
  const first = await rentBox(kind, cargo, dir)
  const { key } = first
  await first.powerOff()
  const disk = join(dir, 'begin.img')
  copyDisk(first.disk, disk)
  const kit: CutKit = { kind, key, cargo, dir, phases: new Map(), pristine: contentOf(disk, kind) }
  for (const phase of CUT_PHASES) {
    const begin = join(dir, `begin-${phase}.img`)
    copyDisk(disk, begin)
    const box = await startAt(kit, disk, `prepare-${phase}`)
    await box.isUp(IS_OLD)
    const start = performance.now()
    await live(box, phase)
    kit.phases.set(phase, { disk: begin, tookMs: performance.now() - start })
    await box.powerOff()
  }
  rmSync(disk)
  return kit
}

/** On BIOS machines: the disk is all that they have. */
function startAt({ kind, key, cargo, dir }: CutKit, disk: string, name: string): Promise<RentedBox> {
  return startBox({
    disk,
    firmware: kind.firmware,
    variables: undefined,
    key,
    cargo,
    dir,
    name,
    memoryMiB: kind.memoryMiB,
  })
}

function contentOf(disk: string, kind: TakeoverCase): Content {
  const { offset, bytes } = rootPlaceOf(kind)
  const hash = createHash('sha256')
  hash.update(readAt(disk, 0, offset))
  hash.update(readAt(disk, offset + bytes, statSync(disk).size - offset - bytes))
  return { files: filesOn(disk, offset), outside: hash.digest('hex') }
}

/** From power-on to the end of a phase. */
async function live(box: RentedBox, phase: CutPhase): Promise<void> {
  if (phase === 'stage') await box.ok(`${MOUNT_CARGO} && ${PINE} hijack stage ${imageOptions('r1', '1.0')}`)
  if (phase === 'rehearse') {
    await box.ok(`${PINE} hijack rehearse --deadline 900 --reboot`)
    await box.isUp(IS_R1)
    // It ends with a restart, and ssh with it.
    console.log((await box.ssh('pine-update confirm')).text)
    await box.isUp(`${IS_OLD} && ${PINE} hijack status | grep -q rehearsed`)
  }
  if (phase === 'commit') {
    await box.ok(`${PINE} hijack commit --reboot`)
    await box.isUp(`${IS_R1} && pine-update hijack status | grep -q confirmed`)
  }
}

/**
 * Cuts the power once at a random moment of a phase; what was not flushed may be lost. After that the machine comes back, says
 * where it is, takes the phase's command again or leaves it, and gives everything up: then disk and files are as they were.
 * Resolves with what was seen; throws where a promise was broken, and leaves the disk.
 */
export async function cutOnce(kit: CutKit, phase: CutPhase, name: string, random: Random): Promise<string> {
  const begin = kit.phases.get(phase)
  if (begin === undefined) throw new Error(`nothing is prepared for ${phase}`)
  const path = join(kit.dir, `${name}.img`)
  copyDisk(begin.disk, path)
  const disk = openLossyDisk(path)
  const server = await serveNbd(disk, `${path}.socket`)
  try {
    const afterMs = random.below(begin.tookMs)
    await liveUntil(kit, { phase, name, server, afterMs })
    const { lost, unflushed } = disk.cut(random)
    const seen = await comeBack(kit, { phase, name, server, again: random.chance(AGAIN) })
    disk.flush()
    requireSame(kit.pristine, contentOf(path, kit.kind))
    rmSync(path)
    return `${phase} cut after ${Math.round(afterMs / 1000)} s, ${lost} of ${unflushed} writes lost: ${seen}`
  } catch (error) {
    throw new Error(`${name}, ${path}: ${error instanceof Error ? error.message : error}`, { cause: error })
  } finally {
    await server.close()
    disk.close()
  }
}

const AGAIN = 0.4

interface Cut {
  phase: CutPhase
  name: string
  server: NbdServer
}

async function liveUntil(
  kit: CutKit,
  { phase, name, server, afterMs }: Cut & { afterMs: number },
): Promise<void> {
  const box = await startAt(kit, server.url, `${name}-cut`)
  await box.isUp(IS_OLD)
  // Its end, or that ssh lost the machine, is of no interest.
  void live(box, phase).catch(() => undefined)
  await sleep(afterMs)
  server.disconnect()
  await box.kill()
}

async function comeBack(
  kit: CutKit,
  { phase, name, server, again }: Cut & { again: boolean },
): Promise<string> {
  const box = await startAt(kit, server.url, `${name}-back`)
  try {
    await box.isUp('true')
    const seen = [await stageOn(box)]
    if ((await box.ssh(IS_OLD)).exit !== 0) {
      // The rehearsal, or after the commit the new system: both know the way back.
      await box.ssh(
        seen[0] === 'rehearsal' ? 'systemctl reboot' : 'pine-update hijack abort && systemctl reboot',
      )
      await box.isUp(IS_OLD)
      seen.push(await stageOn(box))
    }
    if (again && (await tryAgain(box, phase, seen.at(-1) ?? ''))) seen.push(await stageOn(box))
    if (seen.at(-1) !== 'none') await box.ok(`${PINE} hijack abort`)
    const end = await stageOn(box)
    if (end !== 'none') throw new Error(`after abort the takeover is ${end}`)
    await box.powerOff()
    return seen.join(', ')
  } finally {
    await box.kill()
  }
}

async function stageOn(box: RentedBox): Promise<string> {
  const { stage, reason } = JSON.parse(await box.ok(`${PINE} hijack status --json`))
  return `${stage ?? 'none'}${reason ? ` (${reason})` : ''}`
}

/** The second try, where it is still this one's turn. */
async function tryAgain(box: RentedBox, phase: CutPhase, seen: string): Promise<boolean> {
  const [stage = ''] = seen.split(' ')
  const turns: Record<CutPhase, readonly string[]> = {
    stage: ['none', 'begun'],
    rehearse: ['staged', 'armed', 'silent', 'rehearsed'],
    commit: ['rehearsed'],
  }
  if (!turns[phase].includes(stage)) return false
  if (phase === 'stage') await live(box, 'stage')
  else await box.ok(`${PINE} hijack ${phase}`)
  return true
}

function requireSame(before: Content, after: Content): void {
  const lines = differingLines(before.files, after.files)
  if (lines.length > 0) throw new Error(`files differ:\n${lines.slice(0, 20).join('\n')}`)
  if (before.outside !== after.outside) throw new Error('the disk differs outside of the root')
}
