import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'

/** Names in /etc of what nobody but root may read. */
const SECRET = ['shadow', 'shadow-', 'gshadow', 'gshadow-', 'ssh_host_*_key']

/**
 * Refuses a tree whose secrets everybody can read: the image would spread them to every server, and the next release would not
 * mend the slot that holds this one. As in CVE-2024-2905. Throws `TREE_INVALID`.
 */
export async function requireSecretsKept(host: Host, tree: string): Promise<void> {
  const etc = join(tree, 'etc')
  if ((await host.kindOf(etc)) !== 'folder') return
  const names = SECRET.flatMap((name, index) => [...(index === 0 ? [] : ['-o']), '-name', name])
  const found = await host.exec('find', [etc, '-xdev', '-type', 'f', '-perm', '-004', '(', ...names, ')'])
  const files = found.split('\n').filter((line) => line !== '')
  if (files.length === 0) return
  throw new PineError('TREE_INVALID', `everybody can read ${files.join(', ')}`, {
    hint: `run: chmod o-r ${files.join(' ')}`,
  })
}
