import { join } from 'node:path'
import { decodeKeyLists, encodeKeyLists, type SignedKeyList } from '../bundle/key-list.ts'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import type { Records, StoredKeys } from '../model/records.ts'
import { followKeyLists, type TrustedKeys, trustFirst, trustList, trustPlainKeys } from '../trust/key-list.ts'
import { type PublicKey, parseKeyring } from '../trust/keys.ts'

/** Where keys are looked for. */
export interface KeySources {
  /** Folder of `*.pub` and `*.keys` files, or one such file. */
  path: string
  /** For plain keys; a key list has its own. */
  threshold: number
  /** What was learnt before. Undefined where only the files count. */
  stored: Records['keys']
}

/**
 * Whom this host believes. Plain keys are the start of a chain of key lists; the list that was remembered goes before the
 * files, so that neither a wiped /etc nor the files of an older release bring keys back that were replaced.
 * Throws `KEYRING_EMPTY`, `KEY_INVALID`, `KEY_LIST_INVALID`, `KEY_LIST_UNTRUSTED`.
 */
export async function readTrustedKeys(
  host: Host,
  { path, threshold, stored }: KeySources,
): Promise<TrustedKeys> {
  const { keys, lists } = await readKeyFiles(host, path)
  if (stored !== undefined) return followFrom(fromStored(stored), lists)
  if (keys.length > 0) return followKeyLists(trustPlainKeys(keys, threshold), lists)
  const [first, ...later] = lists
  if (first !== undefined) return followKeyLists(trustFirst(first), later)
  throw new PineError('KEYRING_EMPTY', `there is no public key in ${path}`, {
    hint: 'put the .pub file of "pine-update key generate" there',
  })
}

/** A chain of files that does not connect must not lock out a host that knows newer keys. */
function followFrom(trusted: TrustedKeys, lists: readonly SignedKeyList[]): TrustedKeys {
  try {
    return followKeyLists(trusted, lists)
  } catch (error) {
    if (error instanceof PineError) return trusted
    throw error
  }
}

async function readKeyFiles(
  host: Host,
  path: string,
): Promise<{ keys: PublicKey[]; lists: SignedKeyList[] }> {
  const folder = (await host.kindOf(path)) === 'folder'
  const files = folder ? (await host.listFolder(path)).map((name) => join(path, name)) : [path]
  const keys: PublicKey[] = []
  const lists: SignedKeyList[] = []
  for (const file of files) {
    const isList = file.endsWith('.keys')
    if (folder && !isList && !file.endsWith('.pub')) continue
    const content = (await host.readFile(file)) ?? Buffer.alloc(0)
    if (isList) lists.push(...decodeKeyLists(content))
    else keys.push(...parseKeyring(content.toString()))
  }
  return { keys, lists }
}

function fromStored({ list }: StoredKeys): TrustedKeys {
  const [signed] = decodeKeyLists(Buffer.from(list, 'base64'))
  if (signed === undefined) throw new Error('the records hold an empty key list')
  return trustList(signed)
}

/** What to remember of keys that are newer than what the records hold; null where they are not. */
export function storedForm({ version, signed }: TrustedKeys, records: Records): StoredKeys | null {
  if (signed === undefined || version <= (records.keys?.version ?? 0)) return null
  return { version, list: encodeKeyLists([signed]).toString('base64') }
}
