import { type CapturedFile, textFile } from './captured.ts'
import { keyPatterns, newPattern, type Sshd, valuesOf } from './sshd.ts'
import { hostKeyPath } from './system-files.ts'

const HEAD = '# Made by "pine-update hijack" of what "sshd -T" of the old system said.\n'
const DROP_IN = '/etc/ssh/sshd_config.d/10-pine-takeover.conf'
const SYSCTL = '/etc/sysctl.d/10-pine-takeover.conf'
const DEFAULT_KEYS = '.ssh/authorized_keys .ssh/authorized_keys2'
const DEFAULT_HOST_KEY = /^\/etc\/ssh\/ssh_host_\w+_key$/

/** Copied word for word. All of them are known to OpenSSH 8.4: an unknown one would keep sshd from starting. */
const PLAIN = {
  passwordauthentication: 'PasswordAuthentication',
  kbdinteractiveauthentication: 'KbdInteractiveAuthentication',
  pubkeyauthentication: 'PubkeyAuthentication',
  permitemptypasswords: 'PermitEmptyPasswords',
  addressfamily: 'AddressFamily',
}
const LISTS = {
  allowusers: 'AllowUsers',
  allowgroups: 'AllowGroups',
  denyusers: 'DenyUsers',
  denygroups: 'DenyGroups',
}

/** Who may log in, how and where. Debian's sshd_config reads this first, and the first value counts. */
export function renderSshd(sshd: Sshd): CapturedFile[] {
  const listens = listenAddresses(sshd)
  const lines = [
    ...(listens.length > 0 ? listens.map((address) => `ListenAddress ${address}`) : ports(sshd)),
    ...valuesOf(sshd, 'permitrootlogin').map(
      (value) => `PermitRootLogin ${value.replace(/^without-/, 'prohibit-')}`,
    ),
    ...Object.entries(PLAIN).flatMap(([key, name]) => valuesOf(sshd, key).map((value) => `${name} ${value}`)),
    ...Object.entries(LISTS).flatMap(([key, name]) => {
      const values = valuesOf(sshd, key)
      return values.length === 0 ? [] : [`${name} ${values.join(' ')}`]
    }),
    ...keyFileLines(sshd),
    ...hostKeyLines(sshd),
  ]
  const files = [textFile(DROP_IN, `${HEAD}${lines.join('\n')}\n`)]
  // sshd may start before its address is there, and does not try twice.
  if (listens.length > 0)
    files.push(textFile(SYSCTL, 'net.ipv4.ip_nonlocal_bind = 1\nnet.ipv6.ip_nonlocal_bind = 1\n'))
  return files
}

function ports(sshd: Sshd): string[] {
  return valuesOf(sshd, 'port').map((port) => `Port ${port}`)
}

/** With their ports; none where it listens everywhere. A scope is the name of an interface, which changes. */
function listenAddresses(sshd: Sshd): string[] {
  const found = valuesOf(sshd, 'listenaddress').filter((address) => !address.includes('%'))
  return found.every((address) => /^(0\.0\.0\.0|\[::\]):\d+$/.test(address)) ? [] : found
}

function keyFileLines(sshd: Sshd): string[] {
  const patterns = keyPatterns(sshd).map(newPattern).join(' ')
  return patterns === DEFAULT_KEYS ? [] : [`AuthorizedKeysFile ${patterns || 'none'}`]
}

/** Of those that are where they are by default sshd takes what is there. */
function hostKeyLines(sshd: Sshd): string[] {
  const keys = valuesOf(sshd, 'hostkey').map(hostKeyPath)
  return keys.every((path) => DEFAULT_HOST_KEY.test(path)) ? [] : keys.map((path) => `HostKey ${path}`)
}
