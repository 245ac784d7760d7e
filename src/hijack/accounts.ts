import type { Accounts } from './captured.ts'

/** Of the running system, as fields. */
export interface AccountFiles {
  passwd: string[][]
  shadow: string[][]
  group: string[][]
  gshadow: string[][]
}

export interface User {
  name: string
  uid: number
  gid: number
  home: string
  /** Its home in the new system. */
  newHome: string
  /** Names, that of the primary group among them. */
  groups: string[]
  /** It has a password that can be given. */
  hasPassword: boolean
}

/** adduser(8) and Debian policy 9.2.2: below are those of packages, above dynamic ones and nobody. */
const FIRST_UID = 1000
const LAST_UID = 59_999
/** The group that makes somebody root; Debian's /etc/sudoers. */
export const SUDO = 'sudo'

export function parseAccounts(text: string): string[][] {
  const lines = text.split('\n').map((line) => line.split(':'))
  return lines.filter(([name, ...fields]) => name !== '' && !name?.startsWith('#') && fields.length > 0)
}

/** root, and everybody who was made by an administrator and has a shell. */
export function usersOf(files: AccountFiles): User[] {
  return files.passwd.flatMap(([name = '', , id, group, , home = '/', shell = '']) => {
    const [uid, gid] = [Number(id), Number(group)]
    if (uid !== 0 && !(uid >= FIRST_UID && uid <= LAST_UID)) return []
    if ((uid === 0 && name !== 'root') || /\/(nologin|false|sync)$/.test(shell)) return []
    const hash = files.shadow.find(([owner]) => owner === name)?.[1] ?? ''
    const groups = files.group.filter(
      ([, , number, members]) => Number(number) === gid || listed(members).includes(name),
    )
    return {
      name,
      ...{ uid, gid, home },
      newHome: newHomeOf(name, home),
      groups: groups.map(([group = '']) => group),
      hasPassword: /^[^!*]./.test(hash),
    }
  })
}

/** Homes are on the state partition; what else there is belongs to the image. */
function newHomeOf(name: string, home: string): string {
  if (name === 'root') return '/root'
  return /^\/home\/[^/]+$/.test(home) ? home : `/home/${name}`
}

/** The lines that make users again. Groups are their own, those that give rights, and those that sshd asks for. */
export function linesOf(files: AccountFiles, users: readonly User[], asked: readonly string[]): Accounts {
  const homes = new Map(users.map(({ name, newHome }) => [name, newHome]))
  const isWanted = ([name = '', , gid, members]: string[]): boolean => {
    if (Number(gid) === 0) return false
    if (users.some((user) => user.gid === Number(gid))) return true
    const isOurs = listed(members).some((member) => homes.has(member))
    return isOurs && (Number(gid) >= FIRST_UID || name === SUDO || asked.includes(name))
  }
  const only = (members: string | undefined) =>
    listed(members)
      .filter((member) => homes.has(member))
      .join(',')
  const groups = files.group.filter(isWanted)
  const names = new Set(groups.map(([name]) => name))
  return {
    passwd: files.passwd
      .filter(([name = '']) => name !== 'root' && homes.has(name))
      .map(([name = '', ...fields]) => [name, ...fields.with(4, homes.get(name) ?? '/')].join(':')),
    shadow: files.shadow.filter(([name = '']) => homes.has(name)).map((fields) => fields.join(':')),
    group: groups.map(([name, password, gid, members]) => [name, password, gid, only(members)].join(':')),
    gshadow: files.gshadow
      .filter(([name]) => names.has(name))
      .map(([name, password, admins, members]) => [name, password, only(admins), only(members)].join(':')),
  }
}

function listed(members = ''): string[] {
  return members.split(',').filter((member) => member !== '')
}
