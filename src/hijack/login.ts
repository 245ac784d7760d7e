import { SUDO, type User } from './accounts.ts'
import { type Problem, stop, warn } from './problem.ts'
import { isLetIn, isYes, type Sshd, valuesOf } from './sshd.ts'

/** What a user can do over ssh. */
export interface Login {
  user: User
  /** It gets a shell, by a key or a password. */
  enters: boolean
  becomesRoot: boolean
}

interface Means {
  /** Texts of its files with keys. */
  keys: readonly string[]
  /** Users that sudo lets run everything. */
  mighty: ReadonlySet<string>
}

export function loginOf(sshd: Sshd, user: User, { keys, mighty }: Means): Login {
  const byKey = isYes(sshd, 'pubkeyauthentication') && keys.some(hasFreeKey)
  const asks = isYes(sshd, 'passwordauthentication') || isYes(sshd, 'kbdinteractiveauthentication')
  const byPassword = asks && user.hasPassword
  const isMighty = mighty.has(user.name) || (user.hasPassword && user.groups.includes(SUDO))
  const allowed = user.uid === 0 ? rootMay(sshd, byKey, byPassword) : byKey || byPassword
  return { user, enters: allowed && isLetIn(sshd, user), becomesRoot: user.uid === 0 || isMighty }
}

function rootMay(sshd: Sshd, byKey: boolean, byPassword: boolean): boolean {
  const [how = 'no'] = valuesOf(sshd, 'permitrootlogin')
  if (how === 'yes') return byKey || byPassword
  return (how === 'prohibit-password' || how === 'without-password') && byKey
}

/** sshd(8), authorized_keys. One with a command opens no shell: cloud images have root's such, to send people to a user. */
function hasFreeKey(text: string): boolean {
  const keys = text.split('\n').map((line) => line.trim())
  return keys.some(
    (line) => /^[^#]*\b(ssh-|ecdsa-|sk-)\S+ +[\w+/=]{16}/.test(line) && !/^[^#]*\bcommand=/i.test(line),
  )
}

/** R3: refuse where nobody would get in. */
export function lockOutProblems(logins: readonly Login[]): Problem[] {
  const inside = logins.filter(({ enters }) => enters)
  if (inside.length === 0)
    return [
      stop(
        'nobody could log in to the new system: no user has a key that opens a shell, and no password is accepted',
        'add your public key to /root/.ssh/authorized_keys, or to that of a user with sudo',
      ),
    ]
  if (inside.some(({ becomesRoot }) => becomesRoot)) return []
  const names = inside.map(({ user }) => user.name).join(', ')
  return [
    warn(
      `${names} can log in to the new system, but nobody of them can become root`,
      'add your public key to /root/.ssh/authorized_keys, or a file for a user to /etc/sudoers.d',
    ),
  ]
}

/** What else lets people in, or keeps them out, and is not carried over. */
export function settingProblems(sshd: Sshd, configs: string): Problem[] {
  const set = (key: string) => valuesOf(sshd, key).filter((value) => value !== 'none' && value !== 'any')
  const lost = ['authorizedkeyscommand', 'trustedusercakeys', 'authenticationmethods'].flatMap((key) =>
    set(key).map((value) => `${key} ${value}`),
  )
  const matches = [...configs.matchAll(/^[ \t]*(Match\s.*)$/gim)].flatMap(([, line]) => line ?? [])
  return [...lost, ...matches].map((line) =>
    warn(`"${line.trim()}" of sshd is not carried over`, 'set it up in the image, where it is needed'),
  )
}
