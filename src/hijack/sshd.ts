import { join } from 'node:path'
import type { Host } from '../host/host.ts'
import type { User } from './accounts.ts'
import { isPersistent } from './persistent.ts'

/** What `sshd -T` prints: values by lower-case keyword. */
export type Sshd = ReadonlyMap<string, string[]>

// By its path: before 8.0 it refuses to be called otherwise.
const SSHD = '/usr/sbin/sshd'

/** What the ssh server of this machine does, all its files taken together. Throws `TOOL_MISSING`, `TOOL_FAILED`. */
export async function readSshd(host: Host): Promise<Sshd> {
  return parseSshd(await host.exec(SSHD, ['-T']))
}

export function parseSshd(text: string): Sshd {
  const sshd = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [, key, value] = /^(\S+) (.*)$/.exec(line) ?? []
    if (key !== undefined && value !== undefined) sshd.set(key, [...(sshd.get(key) ?? []), value])
  }
  return sshd
}

export function valuesOf(sshd: Sshd, key: string): string[] {
  return sshd.get(key) ?? []
}

export function isYes(sshd: Sshd, key: string): boolean {
  return valuesOf(sshd, key)[0] === 'yes'
}

/** One file with keys: where it is, and where it will be. */
export interface KeyFile {
  from: string
  to: string
}

/** sshd_config(5), AuthorizedKeysFile: below the home unless absolute. */
export function keyFilesOf(sshd: Sshd, user: User): KeyFile[] {
  return keyPatterns(sshd).map((pattern) => {
    const expand = (home: string, text: string) =>
      join(text.startsWith('/') || text.startsWith('%h') ? '/' : home, fill(text, user, home))
    return { from: expand(user.home, pattern), to: expand(user.newHome, newPattern(pattern)) }
  })
}

export function keyPatterns(sshd: Sshd): string[] {
  return valuesOf(sshd, 'authorizedkeysfile')
    .flatMap((line) => line.split(' '))
    .filter((pattern) => pattern !== 'none')
}

/** What lies where only the image is goes below /etc/ssh. */
export function newPattern(pattern: string): string {
  return !pattern.startsWith('/') || isPersistent(pattern) ? pattern : join('/etc/ssh', pattern)
}

function fill(pattern: string, { name, uid }: User, home: string): string {
  const tokens: Record<string, string> = { '%%': '%', '%h': home, '%u': name, '%U': String(uid) }
  return pattern.replace(/%./g, (token) => tokens[token] ?? token)
}

/** AllowUsers and the like; of `user@address` the address is not looked at. */
export function isLetIn(sshd: Sshd, { name, groups }: User): boolean {
  const names = (key: string) => valuesOf(sshd, key).flatMap((line) => line.split(' '))
  const matches = (key: string, them: readonly string[]) =>
    names(key).some((pattern) => them.some((one) => matchesPattern(one, pattern)))
  const isAsked = (key: string, them: readonly string[]) => names(key).length === 0 || matches(key, them)
  if (matches('denyusers', [name]) || matches('denygroups', groups)) return false
  return isAsked('allowusers', [name]) && isAsked('allowgroups', groups)
}

function matchesPattern(name: string, pattern: string): boolean {
  const [text = ''] = pattern.split('@')
  const source = text
    .replace(/[^\w*?]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`).test(name)
}
