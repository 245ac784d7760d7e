import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { type PublicKey, parseKeyring } from '../trust/keys.ts'

/** The keys of every `*.pub` file in a folder, or of one file. Throws `KEYRING_EMPTY`, `KEY_INVALID`. */
export async function readKeyring(host: Host, path: string): Promise<PublicKey[]> {
  const folder = (await host.kindOf(path)) === 'folder'
  const names = folder ? (await host.listFolder(path)).filter((name) => name.endsWith('.pub')) : []
  const files = folder ? names.map((name) => join(path, name)) : [path]
  const keys: PublicKey[] = []
  for (const file of files) keys.push(...parseKeyring(((await host.readFile(file)) ?? '').toString()))
  if (keys.length > 0) return keys
  throw new PineError('KEYRING_EMPTY', `there is no public key in ${path}`, {
    hint: 'put the .pub file of "pine-update key generate" there',
  })
}
