import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findBackend } from '../../src/boot/backend.ts'
import { checkCarved } from '../../src/hijack/carve.ts'
import { partOf } from '../../src/hijack/content.ts'
import { ENTRY_ID, variableIn } from '../../src/hijack/grub-once.ts'
import type { TakeoverJournal } from '../../src/hijack/journal.ts'
import { openRegion } from '../../src/host/region.ts'
import { type Box, copyBox, makeBox, WITH_BOOT, withoutBox } from './box.ts'
import { run } from './box-files.ts'
import { type Cut, explore } from './cuts.ts'
import { DEBIAN } from './gpt-disk.ts'
import { readBoot, readByGrub } from './rehearsing.ts'
import { abortOn, armOn, CAPTURED, type Machine, makeImage, stageIn, stageOn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: power cuts around a rehearsal`)

let box: Box
afterEach(() => box?.close())

async function openStaged({ script }: How): Promise<TakeoverJournal> {
  box = await makeBox(script)
  return stageOn(box, makeImage(box))
}

/** By GRUB itself, out of the disk as the cut left it: it replays no journal. */
function isAsked({ disk }: Cut): boolean {
  return variableIn(readBoot(disk, 'grub/grubenv'), 'next_entry') === ENTRY_ID
}

/** What would go wrong in the rehearsal that GRUB starts after a cut; none where it starts the old system. */
async function rehearsalProblems(cut: Cut, journal: TakeoverJournal): Promise<string[]> {
  if (!isAsked(cut)) return []
  const custom = readBoot(cut.disk, 'grub/custom.cfg').toString('latin1')
  const problems: string[] = []
  if (!custom.includes(`--id ${ENTRY_ID}`)) return ['GRUB is asked for an entry that it has not got']
  if (!readByGrub(cut.disk, '/pine-update/captured.cpio').equals(CAPTURED))
    problems.push('what was captured is not there')
  const region = await openRegion(cut.disk, partOf(journal, 'bootstate'))
  const state = await findBackend(region)
    .then((loader) => loader.read(region))
    .finally(() => region.close())
  if (!custom.includes(`pine.seq=${String(state.sequence).padStart(8, '0')}`))
    problems.push('the entry is that of another trial')
  return [...problems, ...(await lostProblems(cut, journal))]
}

/** The rehearsal writes to blocks that the old file system may have given to somebody else. */
async function lostProblems({ disk }: Cut, journal: TakeoverJournal): Promise<string[]> {
  const copy = copyBox({ disk, loaders: box.loaders })
  return checkCarved(copy.carving, journal, journal.root.offset)
    .then(
      () => [],
      () => ['GRUB starts a system whose blocks are no longer its own'],
    )
    .finally(() => copy.close())
}

function syncOther(): void {
  const path = join(box.folder, 'log')
  appendFileSync(path, 'x')
  run('sync', [path])
}

interface How {
  busy: boolean
  script: string
}

/** `busy`: others sync their files all the time, which brings what we did into the journal, and no further. */
async function exploreAsked(
  act: (machine: Machine) => Promise<void>,
  journal: TakeoverJournal,
  { busy }: How,
) {
  const asked: boolean[] = []
  const problems = await explore(box, act, (cut) => {
    if (busy) syncOther()
    asked.push(isAsked(cut))
    return rehearsalProblems(cut, journal)
  })
  return { asked, problems }
}

describe.skipIf(reason !== undefined).each([
  { on: 'a quiet machine', busy: false, script: DEBIAN },
  { on: 'a busy machine', busy: true, script: DEBIAN },
  { on: 'one with a /boot of its own', busy: false, script: WITH_BOOT },
])('the power of $on goes', (how) => {
  test('while a rehearsal is armed: GRUB is asked for nothing, or for all of it', async () => {
    const journal = await openStaged(how)
    const { asked, problems } = await exploreAsked(armOn, journal, how)
    expect(problems).toEqual([])
    expect([asked[0], asked.at(-1)]).toEqual([false, true])
  })

  test('while it is aborted: GRUB forgets it before anything of it is given back', async () => {
    const journal = await openStaged(how)
    await armOn(box)
    const { asked, problems } = await exploreAsked(abortOn, journal, how)
    expect(problems).toEqual([])
    expect([asked[0], asked.at(-1)]).toEqual([true, false])
    expect(await stageIn(box)).toBeUndefined()
  })
})
