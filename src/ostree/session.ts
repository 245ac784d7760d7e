import { PineError } from '../core/error.ts'
import type { Binding } from './bind.ts'
import { initRepo, openRepo } from './repo.ts'
import type { Request, VerbName } from './requests.ts'
import { openScope } from './scope.ts'
import type { Repo, Verb } from './verb.ts'
import { VERBS } from './verbs.ts'

/** A verb to run. */
export interface Task {
  readonly verb: VerbName
  /** A number that `open` or `init` gave; they themselves take none. */
  readonly repo: number
  /** As `REQUESTS` has it. */
  readonly request: unknown
  readonly progress: (done: number, total: number) => void
}

export interface RunningTask {
  /** Rejects with a `PineError` or `Cancelled`. */
  readonly result: Promise<unknown>
  cancel(): void
}

/** Takes verbs over one loaded library, and runs one after the other. */
export function startSession(binding: Binding): (task: Task) => RunningTask {
  const perform = performer()
  // One at a time: a repository has one transaction, and memory.ts takes turns for granted.
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const scope = openScope(binding)
    const turn = Promise.race([last, scope.cancelled])
    const result = turn
      .then(() => perform({ ...scope.verb, progress: task.progress }, task))
      .finally(() => scope.close())
    // Without what they gave, which nobody needs any more.
    last = Promise.allSettled([last, result]).then(() => undefined)
    return { result, cancel: scope.cancel }
  }
}

/** Keeps the open repositories. */
function performer(): (verb: Verb, task: Task) => Promise<unknown> {
  const repos = new Map<number, Repo>()
  let opened = 0
  const add = (repo: Repo): number => {
    opened++
    repos.set(opened, repo)
    return opened
  }
  return async (verb, { verb: name, repo, request }) => {
    if (name === 'open') return add(await openRepo(verb, request as Request<'open'>))
    if (name === 'init') return add(await initRepo(verb, request as Request<'init'>))
    const handle = repos.get(repo)
    if (handle === undefined) throw closedRepo()
    if (name !== 'close') return await VERBS[name](verb, handle, request as never)
    repos.delete(repo)
    handle.close()
  }
}

export function closedRepo(): PineError {
  const hint = 'open it again'
  return new PineError('USAGE', 'found a repository that is closed, expected an open one', { hint })
}
