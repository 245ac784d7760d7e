import { constants } from 'node:fs'
import { chmod, lchown, open } from 'node:fs/promises'
import { PineError } from '../core/error.ts'
import type { Functions } from './functions.ts'
import { resolveRev } from './refs.ts'
import type { Request } from './requests.ts'
import { readVariant } from './variant.ts'
import { AT_FDCWD, type Repo, type Verb } from './verb.ts'

/** OstreeRepoCheckoutAtOptions, ostree-repo.h: where its fields stand; each is 4 bytes. Those left out are zero. */
const OPTIONS = { mode: 0, overwriteMode: 4, noCopyFallback: 20, forceCopy: 24 } as const
/** The struct has 168; what a later libostree reads behind them is zero too. */
const OPTIONS_BYTES = 512
const MODE_USER = 1
/** OSTREE_REPO_CHECKOUT_OVERWRITE_ADD_FILES */
const ADD_FILES = 2

/** Makes a folder of the files of a commit, on disk when it is done. Throws `FILE_EXISTS`. libostree does not cancel it. */
export async function checkout(verb: Verb, repo: Repo, request: Request<'checkout'>): Promise<void> {
  const { fn } = verb
  const { rev, to, files, into = false, asUser = false } = request
  const commit = await resolveRev({ fn }, repo, rev)
  const options = Buffer.alloc(OPTIONS_BYTES)
  if (asUser) options.writeInt32LE(MODE_USER, OPTIONS.mode)
  options.writeInt32LE(1, files === 'link' ? OPTIONS.noCopyFallback : OPTIONS.forceCopy)
  if (into) options.writeInt32LE(ADD_FILES, OPTIONS.overwriteMode)
  await fn.ostree_repo_checkout_at(repo, options, AT_FDCWD, to, commit)
  if (into) await makeRoot(verb, repo, to, commit)
  await flush(fn, to)
}

// OstreeObjectType, and where the root's own checksum is in OSTREE_COMMIT_GVARIANT_FORMAT, ostree-core.h
const DIR_META = 3
const COMMIT = 4
const ROOT_META = 7

/** libostree leaves a folder as it is that was there before: owner, mode and extended attributes. */
async function makeRoot({ fn, memory }: Verb, repo: Repo, path: string, commit: string): Promise<void> {
  const object = await fn.ostree_repo_load_variant(repo, COMMIT, commit)
  const checksum = readVariant({ fn, memory }, fn.g_variant_get_child_value(object, ROOT_META))
  const name = Buffer.from(checksum instanceof Uint8Array ? checksum : []).toString('hex')
  const meta = readVariant({ fn, memory }, await fn.ostree_repo_load_variant(repo, DIR_META, name))
  const [uid, gid, mode, xattrs] = Array.isArray(meta) ? meta : []
  await lchown(path, fromBigEndian(uid), fromBigEndian(gid))
  await chmod(path, fromBigEndian(mode) & 0o7777)
  for (const pair of Array.isArray(xattrs) ? xattrs : []) {
    const [key, value] = Array.isArray(pair) ? pair.map((part) => Buffer.from(part as Uint8Array)) : []
    if (key === undefined || value === undefined) continue
    // A bytestring ends with a zero.
    if (fn.setxattr(path, key.toString('latin1').slice(0, -1), value, value.length, 0) !== 0)
      throw notKept(path)
  }
}

function fromBigEndian(value: unknown): number {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(Number(value))
  return bytes.readUInt32BE()
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
