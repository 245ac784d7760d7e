import { join } from 'node:path'
import type { Host } from '../host/host.ts'
import type { User } from './accounts.ts'
import type { CapturedFile } from './captured.ts'
import { copyOf } from './copy-of.ts'

export interface SudoRights {
  files: CapturedFile[]
  /** Who may run everything by these files. */
  mighty: Set<string>
  /** Files that name others as well, and so are left. */
  left: string[]
}

const FOLDER = '/etc/sudoers.d'

/** sudoers(5). A file goes along where it names nobody but the users that do. */
export async function readSudoers(host: Host, users: readonly User[]): Promise<SudoRights> {
  const rights: SudoRights = { files: [], mighty: new Set(), left: [] }
  for (const name of await host.listFolder(FOLDER)) {
    // sudo passes over those.
    if (name.includes('.') || name.endsWith('~') || name === 'README') continue
    const file = await copyOf(host, join(FOLDER, name))
    if (file === undefined) continue
    const grants = grantsOf(file.content.toString())
    if (grants.length === 0) continue
    const isOurs = grants.every(({ who }) => who.every((one) => users.some((user) => user.name === one)))
    if (!isOurs) rights.left.push(file.path)
    else rights.files.push(file)
    if (isOurs) for (const one of mightyOf(grants, users)) rights.mighty.add(one)
  }
  return rights
}

interface Grant {
  who: string[]
  /** What they may run, with tags. */
  what: string
}

/** A comment is no user id, `#1000`. An alias or an include names who is not seen here: it counts as somebody else. */
function grantsOf(text: string): Grant[] {
  const lines = text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.replace(/#(?!\d).*/, '').trim())
  return lines
    .filter((line) => line !== '' && !/^(Defaults\b|Cmnd_Alias\b|Runas_Alias\b|Host_Alias\b)/.test(line))
    .map((line) => {
      const [, who = line, what = ''] = /^([^\s,]+(?:\s*,\s*[^\s,]+)*)\s+\S+\s*=\s*(.*)$/.exec(line) ?? []
      return { who: who.split(/\s*,\s*/), what }
    })
}

function mightyOf(grants: readonly Grant[], users: readonly User[]): string[] {
  return grants.flatMap(({ who, what }) => {
    if (!/(^|[\s:,)])ALL$/.test(what)) return []
    const isAsked = !what.includes('NOPASSWD:')
    return who.filter((one) => !isAsked || users.some(({ name, hasPassword }) => name === one && hasPassword))
  })
}
