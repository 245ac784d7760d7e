import { aroundRoot, type Box, copyBox, makeBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { type Known, knownOf, startProblems } from './cut-check.ts'
import type { Cut } from './cuts.ts'
import { becomeRehearsed } from './rehearsing.ts'
import { abortOn, commitOn, journalIn, type Machine, OLD, stageIn } from './takeover-steps.ts'

/** Since the new system was staged the old one has got another kernel. */
const NOW = { ...OLD, kernel: '/boot/vmlinuz-6.2' }

export function commitNow(machine: Machine): Promise<void> {
  return commitOn(machine, NOW)
}

async function inCopy<T>(of: Pick<Box, 'disk' | 'loaders'>, use: (copy: Box) => Promise<T>): Promise<T> {
  const copy = copyBox(of)
  return use(copy).finally(() => copy.close())
}

/** How a takeover ends where the power stays. */
export interface Ends {
  original: Buffer
  files: ReturnType<typeof filesOf>
  committed: Buffer
  known: Known
}

/** A box whose new system came through its rehearsal; whoever asks for it closes it. */
export async function openRehearsed(script?: string): Promise<{ box: Box; ends: Ends }> {
  const box = await makeBox(script)
  const [original, files] = [aroundRoot(box.disk), filesOf(box.folder)]
  await becomeRehearsed(box)
  const known = await knownOf(box, { journal: await journalIn(box), old: NOW })
  const committed = await inCopy(box, async (copy) => {
    await commitNow(copy)
    return aroundRoot(copy.disk)
  })
  return { box, ends: { original, files, committed, known } }
}

type Next = (copy: Box, ends: Ends) => Promise<string[]>

/** Commits once more. The command would not, where ours is the boot sector already. */
export const committedAgain: Next = async (copy, { committed, known }) => {
  await commitNow(copy)
  const problems = await startProblems(copy.disk, known)
  if (!aroundRoot(copy.disk).equals(committed)) problems.push('another commit comes to another end')
  if ((await stageIn(copy)) !== 'committed') problems.push('it is not committed')
  return problems
}

export const undone: Next = async (copy, { original, files }) => {
  await abortOn(copy)
  const problems: string[] = []
  if (!aroundRoot(copy.disk).equals(original)) problems.push('abort leaves another disk')
  if (JSON.stringify(filesOf(copy.folder)) !== JSON.stringify(files))
    problems.push('abort leaves other files')
  if ((await stageIn(copy)) !== undefined) problems.push('abort does not come to an end')
  return problems
}

type Look = (cut: Cut) => Promise<string[]>

/** What the firmware would start after the cut. */
export function started({ known }: Ends): Look {
  return ({ disk }) => startProblems(disk, known)
}

/** Starts the machine again after the cut, and does something; each with a disk of its own. */
export function andThen({ loaders }: Box, ends: Ends, ...next: Next[]): Look {
  return async (cut) => {
    const problems = await started(ends)(cut)
    if (cut.isWhole)
      for (const each of next)
        problems.push(...(await inCopy({ disk: cut.disk, loaders }, (copy) => each(copy, ends))))
    return problems
  }
}
