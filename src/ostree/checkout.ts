import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { PineError } from '../core/error.ts'
import type { Functions } from './functions.ts'
import { resolveRev } from './refs.ts'
import type { Request } from './requests.ts'
import { AT_FDCWD, type Repo, type Verb } from './verb.ts'

/** OstreeRepoCheckoutAtOptions, ostree-repo.h: where its fields stand; each is 4 bytes. Those left out are zero. */
const OPTIONS = { mode: 0, noCopyFallback: 20, forceCopy: 24 } as const
/** The struct has 168; what a later libostree reads behind them is zero too. */
const OPTIONS_BYTES = 512
const MODE_USER = 1

/** Makes a folder of the files of a commit, on disk when it is done. Throws `FILE_EXISTS`. libostree does not cancel it. */
export async function checkout({ fn }: Verb, repo: Repo, request: Request<'checkout'>): Promise<void> {
  const { rev, to, files, asUser = false } = request
  const commit = await resolveRev({ fn }, repo, rev)
  const options = Buffer.alloc(OPTIONS_BYTES)
  if (asUser) options.writeInt32LE(MODE_USER, OPTIONS.mode)
  options.writeInt32LE(1, files === 'link' ? OPTIONS.noCopyFallback : OPTIONS.forceCopy)
  await fn.ostree_repo_checkout_at(repo, options, AT_FDCWD, to, commit)
  await flush(fn, to)
}

/** The whole file system at once: libostree's own way is one flush for each file, which takes ten times as long. */
async function flush(fn: Functions, path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    if ((await fn.syncfs(folder.fd)) !== 0) throw notKept(path)
  } finally {
    await folder.close()
  }
}

function notKept(path: string): PineError {
  return new PineError('IO_FAILED', `${path}: the file system could not write it all to disk`, {
    hint: 'look at "dmesg"; remove the folder and try again',
  })
}
