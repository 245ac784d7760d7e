import { keysOf, resolveRev } from './refs.ts'
import type { Request } from './requests.ts'
import type { Repo, Verb } from './verb.ts'

/** What the objects of a commit take, each by itself in blocks of 4 KiB. */
export interface Measured {
  readonly bytes: number
  /** Of those that the base does not have; without a base, all. */
  readonly newBytes: number
}

const BLOCK_BYTES = 4096

/** Lengths are those that objects have outside of any repository: they do not depend on its mode. */
export async function measure(verb: Verb, repo: Repo, { rev, base }: Request<'measure'>): Promise<Measured> {
  const known = new Set(base === undefined ? [] : (await objectsOf(verb, repo, base)).keys())
  const sum = { bytes: 0, newBytes: 0 }
  for (const [name, { type, checksum }] of await objectsOf(verb, repo, rev)) {
    const [stream, length] = await verb.fn.ostree_repo_load_object_stream(repo, type, checksum)
    stream.close()
    const bytes = Math.ceil(Number(length) / BLOCK_BYTES) * BLOCK_BYTES
    sum.bytes += bytes
    if (!known.has(name)) sum.newBytes += bytes
  }
  return sum
}

async function objectsOf(verb: Verb, repo: Repo, rev: string) {
  const table = await verb.fn.ostree_repo_traverse_commit(repo, await resolveRev(verb, repo, rev), 0)
  const objects = keysOf(verb, table).map((key) => {
    const [checksum, type] = verb.fn.ostree_object_name_deserialize(key)
    return [`${checksum}.${type}`, { checksum, type }] as const
  })
  table.close()
  return new Map(objects)
}
