import { type Room, sumOf } from '../core/room.ts'
import { entriesIn, rootOf } from './commit-tree.ts'
import { keysOf, resolveRev } from './refs.ts'
import type { Request } from './requests.ts'
import type { Repo, Verb } from './verb.ts'

/** What a commit takes. */
export interface Measured {
  /** Its objects, each by itself in blocks of 4 KiB, and each folder of its tree. */
  readonly tree: Room
  /** Without the objects that the base has. Its folders are of no use: none can be a link to another. */
  readonly fresh: Room
  /** Of the longest of these objects. */
  readonly longestBytes: number
  /** The files of its tree, each by itself. */
  readonly copies: Room
  /** Names in the root. */
  readonly top: readonly string[]
}

const BLOCK_BYTES = 4096
/** OstreeObjectType, ostree-core.h */
const FILE = 1

/** Lengths are those that objects have outside of any repository: they do not depend on its mode. */
export async function measure(verb: Verb, repo: Repo, { rev, base }: Request<'measure'>): Promise<Measured> {
  const commit = await resolveRev(verb, repo, rev)
  const known = new Set<string>(base === undefined ? [] : (await objectsOf(verb, repo, base)).keys())
  const objects = await objectsOf(verb, repo, commit)
  const sizes = new Map<string, Room>()
  for (const [name, object] of objects) sizes.set(name, await roomOfObject(verb, repo, object))
  const root = await rootOf(verb, repo, commit)
  const entries = { verb, repo, sizes, known: new Map() }
  const { folders, files } = await roomOfEntries(entries, root.tree)
  const fresh = [...sizes].flatMap(([name, room]) => (known.has(name) ? [] : [room]))
  const top = await entriesIn(verb, repo, root.tree)
  return {
    tree: sumOf([folders, ...sizes.values()]),
    fresh: sumOf([folders, ...fresh]),
    longestBytes: fresh.reduce((longest, { bytes }) => Math.max(longest, bytes), 0),
    copies: files,
    top: [...top.files, ...top.folders].map(({ name }) => name),
  }
}

interface ObjectName {
  readonly checksum: string
  readonly type: number
}

async function roomOfObject({ fn }: Verb, repo: Repo, { type, checksum }: ObjectName): Promise<Room> {
  const [stream, length] = await fn.ostree_repo_load_object_stream(repo, type, checksum)
  stream.close()
  return { bytes: inBlocks(Number(length)), inodes: 1 }
}

function inBlocks(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
}

interface EntriesRoom {
  readonly folders: Room
  readonly files: Room
}

interface Summing {
  readonly verb: Verb
  readonly repo: Repo
  readonly sizes: ReadonlyMap<string, Room>
  /** By checksum: equal folders are one object. */
  readonly known: Map<string, EntriesRoom>
}

/** Of a folder and all below it. */
async function roomOfEntries(summing: Summing, tree: string): Promise<EntriesRoom> {
  const { verb, repo, sizes, known } = summing
  const before = known.get(tree)
  if (before !== undefined) return before
  const { files, folders } = await entriesIn(verb, repo, tree)
  const below: EntriesRoom[] = []
  for (const folder of folders) below.push(await roomOfEntries(summing, folder.tree))
  const own = files.flatMap(({ checksum }) => sizes.get(`${checksum}.${FILE}`) ?? [])
  const room = {
    folders: sumOf([folderRoom([...files, ...folders]), ...below.map((each) => each.folders)]),
    files: sumOf([...own, ...below.map((each) => each.files)]),
  }
  known.set(tree, room)
  return room
}

/** ext4_dir_entry_2: a name is in multiples of 4 bytes, behind 8; blocks may be half empty. */
function folderRoom(entries: readonly { readonly name: string }[]): Room {
  const names = entries.reduce((sum, { name }) => sum + 12 + Buffer.byteLength(name), 0)
  return { bytes: Math.max(BLOCK_BYTES, inBlocks(2 * names)), inodes: 1 }
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
