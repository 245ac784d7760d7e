import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Ostree, OstreeRepo } from './ostree.ts'

/** In the root of a tree slot: what is ours and not the tree's. */
export const SLOT_FOLDER = '.pine'
/** In its root too: e2fsck(8) would make it again. */
const LOST_AND_FOUND = 'lost+found'
/** Has the commit of the slot, and nothing else. */
export const slotRepo = (slot: string): string => join(slot, SLOT_FOLDER, 'repo')
/** The one ref in it: what no ref leads to, `prune` removes. */
const REF = 'slot'

export type TreeFiles = 'link' | 'copy'

interface Filled {
  /** Its folder. */
  readonly slot: string
  readonly commit: string
  readonly files: TreeFiles
  readonly signal?: AbortSignal | undefined
}

/** Makes the tree of a slot, whose repository has the commit and may have more. On disk when it is done. */
export async function checkoutSlot(repo: OstreeRepo, { slot, commit, files, signal }: Filled): Promise<void> {
  await repo.setRef({ ref: REF, commit })
  await repo.prune({ refsOnly: true, depth: 0 }, { signal })
  await repo.checkout({ rev: commit, to: slot, into: true, files }, { signal })
}

interface Held {
  readonly slot: string
  readonly commit: string
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/** Opens the repository of a slot and reads every object in it. Undefined where it has that commit, whole; else what is wrong. */
export async function problemOfRepo(
  ostree: Ostree,
  { slot, commit, signal, onProgress }: Held,
): Promise<string | undefined> {
  let repo: OstreeRepo | undefined
  try {
    repo = await ostree.open({ path: slotRepo(slot) })
    const { isPartial } = await repo.show({ rev: commit })
    if (isPartial) return `has commit ${commit.slice(0, 12)} only in part`
    const { problems } = await repo.fsck({}, { signal, onProgress })
    const [first] = problems
    return first && `${first.object.slice(0, 12)}: ${first.found}`
  } catch (error) {
    if (!(error instanceof PineError) || !isAboutRepo(error)) throw error
    return error.message
  } finally {
    await repo?.close({})
  }
}

function isAboutRepo({ code }: PineError): boolean {
  return code === 'OSTREE_NOT_FOUND' || code === 'OSTREE_CORRUPT' || code === 'OSTREE_FAILED'
}

/** Undefined where the tree of the slot is exactly that of the commit and its repository is whole; else what is wrong. */
export async function problemOfSlot(ostree: Ostree, held: Held): Promise<string | undefined> {
  const { slot, commit, signal } = held
  const found = await problemOfRepo(ostree, held)
  if (found !== undefined) return found
  const repo = await ostree.open({ path: slotRepo(slot) })
  try {
    const [first] = await repo.compare(
      {
        rev: commit,
        folder: slot,
        except: [SLOT_FOLDER, LOST_AND_FOUND],
        objects: join(slotRepo(slot), 'objects'),
      },
      { signal },
    )
    return first && `${first.path}: ${first.found}`
  } finally {
    await repo.close({})
  }
}
