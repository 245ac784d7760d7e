import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { PineError } from '../../src/core/error.ts'
import { captureArchive } from '../../src/hijack/capture.ts'
import { type Identity, readIdentity } from '../../src/hijack/identity.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'

const top = mkdtempSync(join(tmpdir(), 'pine-identity-'))
afterAll(() => rmSync(top, { recursive: true, force: true }))

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNvbWVrZXlzb21la2V5c29tZWtleXNvbWVrZXk= me@laptop\n'
const HASH = '$6$salt$hash'

/** As OpenSSH 9.2 prints it, without what nobody reads. */
const SSHD = `port 22
addressfamily any
listenaddress [::]:22
listenaddress 0.0.0.0:22
usepam yes
permitrootlogin without-password
pubkeyauthentication yes
kbdinteractiveauthentication no
passwordauthentication no
permitemptypasswords no
authorizedkeyscommand none
authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2
trustedusercakeys none
authenticationmethods any
hostkey /etc/ssh/ssh_host_rsa_key
hostkey /etc/ssh/ssh_host_ed25519_key
`

const PASSWD = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
backup:x:34:34::/var/backups:/bin/bash
alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash
carol:x:1001:100::/srv/carol:/bin/zsh
deploy:x:1002:1002::/home/deploy:/bin/bash
web:x:1003:1003::/home/web:/usr/sbin/nologin
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
`

const BASE: Record<string, string> = {
  '/etc/passwd': PASSWD,
  '/etc/shadow': `root:*:1::::::\nalice:!:2:0:99999:7:::\ncarol:${HASH}:3:0:99999:7:::\ndeploy:!:4::::::\nweb:!:5::::::\n`,
  '/etc/group': `root:x:0:
sudo:x:27:alice,gone
users:x:100:
docker:x:998:alice
alice:x:1000:
deploy:x:1002:
friends:x:1010:alice,deploy,carol
strangers:x:1011:deploy
`,
  '/etc/gshadow': 'root:*::\nsudo:*::alice,gone\nusers:*::\nalice:!::\nfriends:!:deploy:alice,deploy,carol\n',
  '/etc/ssh/ssh_host_ed25519_key': '(0640) host secret\n',
  '/etc/ssh/ssh_host_ed25519_key.pub': 'host public\n',
  '/etc/ssh/sshd_config': '#Match User anoncvs\n',
  '/etc/hostname': 'box\n',
  '/etc/hosts': '127.0.1.1 box\n',
  '/etc/machine-id': '(0444) 0123456789abcdef0123456789abcdef\n',
  '/usr/share/zoneinfo/Europe/Berlin': 'TZif',
  '/etc/localtime': '-> ../usr/share/zoneinfo/Europe/Berlin',
  '/etc/timezone': 'Europe/Berlin\n',
  '/etc/default/locale': 'LANG=C.UTF-8\n',
}

interface Box {
  /** Over those of `BASE`; undefined: not there. */
  files?: Record<string, string | undefined>
  /** Lines of `SSHD`, by keyword; in place of those there. */
  sshd?: Record<string, string[]>
}

function makeTree(files: Record<string, string | undefined>): string {
  const tree = mkdtempSync(join(top, 'box-'))
  for (const [path, content] of Object.entries({ ...BASE, ...files })) {
    if (content === undefined) continue
    const to = join(tree, path)
    mkdirSync(dirname(to), { recursive: true })
    const [, mode = '0644', text = ''] = /^(?:\((0\d+)\) )?(.*)$/s.exec(content) ?? []
    if (text.startsWith('-> ')) symlinkSync(text.slice(3), to)
    else writeFileSync(to, text)
    if (!text.startsWith('-> ')) chmodSync(to, Number.parseInt(mode, 8))
  }
  return tree
}

function sshdText(changes: Record<string, string[]>): string {
  const lines = SSHD.split('\n').filter((line) => !Object.keys(changes).includes(line.split(' ')[0] ?? ''))
  return [
    ...lines,
    ...Object.entries(changes).flatMap(([key, values]) => values.map((value) => `${key} ${value}`)),
  ].join('\n')
}

/** A machine whose files lie in a folder. */
function hostOf({ files = {}, sshd = {} }: Box): Host {
  const tree = makeTree(files)
  const real = realHost()
  return {
    ...real,
    kindOf: (path) => real.kindOf(join(tree, path)),
    realPath: async (path) => (await real.realPath(join(tree, path)))?.slice(tree.length),
    listFolder: (path) => real.listFolder(join(tree, path)),
    // What is shipped beside the program is none of the machine's.
    readFile: (path) => (path.includes('/dist/system/') ? asset(path) : real.readFile(join(tree, path))),
    exec: async (command, args) => {
      if (command === '/usr/sbin/sshd') return sshdText(sshd)
      if (command === 'uname') return 'box-by-kernel\n'
      return real.exec(command, [...args.slice(0, -1), join(tree, args.at(-1) ?? '')])
    },
  }
}

async function asset(path: string): Promise<Buffer> {
  return readFileSync(
    path.replace(/^.*\/dist\/system\//, `${join(import.meta.dirname, '../../src/system')}/`),
  )
}

const read = (box: Box) => readIdentity(hostOf(box))
const ROOT_KEY = { '/root/.ssh/authorized_keys': `(0640) ${KEY}` }
const ALICE_KEY = { '/home/alice/.ssh/authorized_keys': KEY }

function fileOf({ captured }: Identity, path: string) {
  const file = captured.files.find((one) => one.path === path)
  if (file === undefined) return undefined
  if ('link' in file) return `-> ${file.link}`
  return `${file.mode.toString(8)} ${file.content}`
}

const texts = ({ problems }: Identity) => problems.map(({ severity, text }) => `${severity}: ${text}`)

describe('what a machine is', () => {
  test('its host keys, names, place and tongue', async () => {
    const identity = await read({ files: ROOT_KEY })
    expect(texts(identity)).toEqual([expect.stringContaining('warn: the home of carol')])
    expect(fileOf(identity, '/etc/ssh/ssh_host_ed25519_key')).toBe('600 host secret\n')
    expect(fileOf(identity, '/etc/ssh/ssh_host_ed25519_key.pub')).toBe('644 host public\n')
    expect(fileOf(identity, '/etc/hostname')).toBe('644 box\n')
    expect(fileOf(identity, '/etc/hosts')).toBe('644 127.0.1.1 box\n')
    expect(fileOf(identity, '/etc/machine-id')).toBe('444 0123456789abcdef0123456789abcdef\n')
    expect(fileOf(identity, '/etc/localtime')).toBe('-> ../usr/share/zoneinfo/Europe/Berlin')
    expect(fileOf(identity, '/etc/timezone')).toBe('644 Europe/Berlin\n')
    expect(fileOf(identity, '/etc/default/locale')).toBe('644 LANG=C.UTF-8\n')
    expect(fileOf(identity, '/etc/cloud/cloud-init.disabled')).toBe('644 ')
  })

  test('what is missing is left out', async () => {
    const files = {
      ...ROOT_KEY,
      '/etc/hostname': undefined,
      '/etc/machine-id': 'uninitialized\n',
      '/etc/localtime': '-> /nowhere',
    }
    const identity = await read({ files })
    expect(fileOf(identity, '/etc/hostname')).toBe('644 box-by-kernel\n')
    expect(fileOf(identity, '/etc/machine-id')).toBeUndefined()
    expect(fileOf(identity, '/etc/localtime')).toBeUndefined()
  })

  test('host keys elsewhere come to /etc/ssh', async () => {
    const identity = await read({
      files: {
        ...ROOT_KEY,
        '/srv/ssh/my_key': '(0600) other secret\n',
        '/srv/ssh/my_key.pub': 'other public\n',
      },
      sshd: { hostkey: ['/srv/ssh/my_key'] },
    })
    expect(fileOf(identity, '/etc/ssh/my_key')).toBe('600 other secret\n')
    expect(fileOf(identity, '/etc/ssh/my_key.pub')).toBe('644 other public\n')
    expect(fileOf(identity, '/etc/ssh/sshd_config.d/10-pine-takeover.conf')).toContain(
      '\nHostKey /etc/ssh/my_key\n',
    )
  })
})

describe('sshd', () => {
  const DROP_IN = '/etc/ssh/sshd_config.d/10-pine-takeover.conf'
  const HEAD = '644 # Made by "pine-update hijack" of what "sshd -T" of the old system said.\n'

  test('as Debian sets it up', async () => {
    expect(fileOf(await read({ files: ROOT_KEY }), DROP_IN)).toBe(`${HEAD}Port 22
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitEmptyPasswords no
AddressFamily any
`)
  })

  test('ports, addresses and who is let in', async () => {
    const sshd = {
      port: ['2222'],
      listenaddress: ['192.0.2.7:2222', '[2001:db8::7]:2222', '[fe80::1%eth0]:2222'],
      allowusers: ['root', 'alice@10.*'],
      authorizedkeysfile: ['/etc/ssh/keys/%u .ssh/authorized_keys'],
    }
    const identity = await read({ files: ROOT_KEY, sshd })
    expect(fileOf(identity, DROP_IN)).toBe(`${HEAD}ListenAddress 192.0.2.7:2222
ListenAddress [2001:db8::7]:2222
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitEmptyPasswords no
AddressFamily any
AllowUsers root alice@10.*
AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys
`)
    // It may start before its address is there.
    expect(fileOf(identity, '/etc/sysctl.d/10-pine-takeover.conf')).toContain('ip_nonlocal_bind = 1')
  })

  test('what is not carried over is said', async () => {
    const identity = await read({
      files: {
        ...ROOT_KEY,
        '/etc/ssh/sshd_config': 'Port 22\nMatch Address 10.0.0.0/8\n  PermitRootLogin yes\n',
      },
      sshd: { authorizedkeyscommand: ['/usr/bin/keys %u'], authenticationmethods: ['publickey,password'] },
    })
    expect(texts(identity).slice(0, 3)).toEqual([
      'warn: "authorizedkeyscommand /usr/bin/keys %u" of sshd is not carried over',
      'warn: "authenticationmethods publickey,password" of sshd is not carried over',
      'warn: "Match Address 10.0.0.0/8" of sshd is not carried over',
    ])
  })

  test('one that does not answer', async () => {
    const host = hostOf({})
    const exec = async () => {
      throw new PineError('TOOL_MISSING', 'the program /usr/sbin/sshd is not installed')
    }
    const identity = await readIdentity({ ...host, exec })
    expect(texts(identity)).toEqual([expect.stringContaining('stop: "/usr/sbin/sshd -T" fails')])
  })
})

describe('keys', () => {
  test('of root and of users, each with the owner and mode that sshd wants', async () => {
    const { captured } = await read({ files: { ...ROOT_KEY, ...ALICE_KEY } })
    const keys = captured.files.filter(({ path }) => path.includes('authorized_keys'))
    expect(keys).toEqual([
      { path: '/root/.ssh/authorized_keys', mode: 0o600, uid: 0, gid: 0, content: Buffer.from(KEY) },
      {
        path: '/home/alice/.ssh/authorized_keys',
        mode: 0o600,
        uid: 1000,
        gid: 1000,
        content: Buffer.from(KEY),
      },
    ])
  })

  test('where sshd looks for them, and where an update does not lose them', async () => {
    const files = {
      '/etc/ssh/keys/alice': KEY,
      '/srv/keys/root': KEY,
      '/srv/carol/.ssh/mine': KEY,
      '/home/alice/.ssh/authorized_keys': 'not looked at\n',
    }
    const authorizedkeysfile = ['/etc/ssh/keys/%u %h/.ssh/mine /srv/keys/%u']
    const identity = await read({ files, sshd: { authorizedkeysfile } })
    expect(fileOf(identity, '/etc/ssh/keys/alice')).toBe(`644 ${KEY}`)
    expect(fileOf(identity, '/etc/ssh/srv/keys/root')).toBe(`644 ${KEY}`)
    expect(fileOf(identity, '/home/carol/.ssh/mine')).toBe(`600 ${KEY}`)
    expect(fileOf(identity, '/home/alice/.ssh/authorized_keys')).toBeUndefined()
    expect(fileOf(identity, '/etc/ssh/sshd_config.d/10-pine-takeover.conf')).toContain(
      '\nAuthorizedKeysFile /etc/ssh/keys/%u %h/.ssh/mine /etc/ssh/srv/keys/%u\n',
    )
  })

  test('a link to what the user may not read', async () => {
    const files = {
      '/home/alice/.ssh/authorized_keys': '-> ../../../etc/secret',
      '/etc/secret': `(0600) ${KEY}`,
    }
    expect(fileOf(await read({ files }), '/home/alice/.ssh/authorized_keys')).toBeUndefined()
    const open = { ...files, '/etc/secret': KEY }
    expect(fileOf(await read({ files: open }), '/home/alice/.ssh/authorized_keys')).toBe(`600 ${KEY}`)
  })
})

describe('accounts', () => {
  test('users who can log in, their groups, and the password of root', async () => {
    const { captured, problems } = await read({ files: { ...ROOT_KEY, ...ALICE_KEY } })
    // deploy has neither key nor password; web has no shell.
    expect(captured.accounts).toEqual({
      passwd: ['alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash', 'carol:x:1001:100::/home/carol:/bin/zsh'],
      shadow: ['root:*:1::::::', 'alice:!:2:0:99999:7:::', `carol:${HASH}:3:0:99999:7:::`],
      group: ['sudo:x:27:alice', 'users:x:100:', 'alice:x:1000:', 'friends:x:1010:alice,carol'],
      gshadow: ['sudo:*::alice', 'users:*::', 'alice:!::', 'friends:!::alice,carol'],
    })
    expect(problems.map(({ text }) => text)).toEqual([
      'the home of carol becomes /home/carol: /srv/carol would not outlive an update',
    ])
  })

  test('a group that sshd asks for', async () => {
    const { captured } = await read({
      files: { ...ROOT_KEY, ...ALICE_KEY },
      sshd: { allowgroups: ['root', 'docker'] },
    })
    expect(captured.accounts.group).toContain('docker:x:998:alice')
  })
})

describe('sudo', () => {
  const mine = (text: string) => ({ ...ALICE_KEY, '/etc/sudoers.d/90-cloud-init-users': `(0440) ${text}` })

  test('a file that names users who come along', async () => {
    const text = '# User rules\nDefaults:alice !requiretty\nalice ALL=(ALL) NOPASSWD:ALL # always\n'
    const identity = await read({ files: mine(text) })
    expect(fileOf(identity, '/etc/sudoers.d/90-cloud-init-users')).toBe(`440 ${text}`)
    expect(identity.needsSudo).toBe(true)
    expect(texts(identity).filter((line) => !line.includes('carol'))).toEqual([])
  })

  test.each([
    'alice,mallory ALL=(ALL) NOPASSWD:ALL\n',
    '%admins ALL=(ALL) ALL\n',
    '#1000 ALL=(ALL) ALL\n',
    'User_Alias ADMINS = alice\nADMINS ALL=(ALL) ALL\n',
    '@include /etc/other\nalice ALL=(ALL) NOPASSWD: ALL\n',
    'alice ALL=(ALL) \\\n  NOPASSWD: ALL\ndeploy ALL=(ALL) ALL\n',
  ])('a file that names others: %j', async (text) => {
    const identity = await read({ files: mine(text) })
    expect(fileOf(identity, '/etc/sudoers.d/90-cloud-init-users')).toBeUndefined()
    expect(texts(identity)).toContain(
      'warn: /etc/sudoers.d/90-cloud-init-users is left: it names others than the users that are carried over',
    )
  })

  test('what sudo passes over, and what says nothing', async () => {
    const files = {
      ...mine('# nothing\n'),
      '/etc/sudoers.d/README': 'bob ALL=ALL\n',
      '/etc/sudoers.d/old.bak': 'bob ALL=ALL\n',
    }
    const identity = await read({ files })
    expect(texts(identity).filter((line) => line.includes('sudoers.d is left'))).toEqual([])
    expect(identity.captured.files.filter(({ path }) => path.includes('sudoers'))).toEqual([])
  })
})

describe('who gets in', () => {
  const verdicts = async (box: Box) =>
    texts(
      await read({
        ...box,
        files: { '/etc/passwd': PASSWD.replace('/srv/carol', '/home/carol'), ...box.files },
      }),
    )
  const NOBODY = [expect.stringContaining('stop: nobody could log in')]
  const YES = { passwordauthentication: ['yes'] }
  const SHADOW = (root: string, alice: string) => ({
    '/etc/shadow': `root:${root}:1::::::\nalice:${alice}:1::::::\n`,
  })

  test('nobody: no key, and no password is accepted', async () => {
    expect(await verdicts({})).toEqual(NOBODY)
  })

  test('nobody: what looks like a key is none', async () => {
    const command = `no-pty,command="echo 'Please login as the user \\"debian\\"'" ${KEY}`
    for (const text of [command, `# ${KEY}`, '\n', 'ssh-ed25519\n'])
      expect(await verdicts({ files: { '/root/.ssh/authorized_keys': text } })).toEqual(NOBODY)
  })

  test('nobody: sshd lets no key in, or not this user', async () => {
    const files = { ...ROOT_KEY, ...ALICE_KEY }
    expect(await verdicts({ files, sshd: { pubkeyauthentication: ['no'] } })).toEqual(NOBODY)
    expect(await verdicts({ files, sshd: { allowusers: ['carol', 'ali'] } })).toEqual(NOBODY)
    expect(await verdicts({ files, sshd: { denyusers: ['r*t', 'ali?e'] } })).toEqual(NOBODY)
    expect(await verdicts({ files, sshd: { allowgroups: ['users'] } })).toEqual(NOBODY)
    expect(await verdicts({ files: ROOT_KEY, sshd: { permitrootlogin: ['no'] } })).toEqual(NOBODY)
  })

  test('root by key, also with limits that open a shell', async () => {
    expect(await verdicts({ files: ROOT_KEY })).toEqual([])
    const from = `from="192.0.2.0/24",no-agent-forwarding ${KEY}`
    expect(await verdicts({ files: { '/root/.ssh/authorized_keys': from } })).toEqual([])
    expect(await verdicts({ files: ROOT_KEY, sshd: { allowgroups: ['root'] } })).toEqual([])
  })

  test('root by password, if that is allowed', async () => {
    const files = SHADOW(HASH, '!')
    expect(await verdicts({ files, sshd: { ...YES, permitrootlogin: ['yes'] } })).toEqual([])
    expect(await verdicts({ files, sshd: YES })).toEqual(NOBODY)
    expect(await verdicts({ files, sshd: { permitrootlogin: ['yes'] } })).toEqual(NOBODY)
  })

  test('a user who becomes root by its password', async () => {
    expect(await verdicts({ files: SHADOW('*', HASH), sshd: YES })).toEqual([])
    expect(await verdicts({ files: { ...ALICE_KEY, ...SHADOW('*', HASH) } })).toEqual([])
  })

  test('only users who cannot become root', async () => {
    const warning = ['warn: alice can log in to the new system, but nobody of them can become root']
    // In the group sudo, but without a password to give.
    expect(await verdicts({ files: ALICE_KEY })).toEqual(warning)
    const limited = 'alice ALL=(root) NOPASSWD: /usr/bin/systemctl restart web\n'
    expect(await verdicts({ files: { ...ALICE_KEY, '/etc/sudoers.d/alice': limited } })).toEqual(warning)
  })
})

test('the archive has both the identity and the network', async () => {
  const host = hostOf({ files: ROOT_KEY })
  const { captured } = await readIdentity(host)
  const archive = await captureArchive(host, { links: [], dns: ['9.9.9.9'], search: [] }, captured)
  for (const name of [
    'etc/ssh/ssh_host_ed25519_key',
    'etc/resolv.conf',
    'etc/pine-update/network-fallback',
    'accounts/shadow',
  ])
    expect(archive.includes(`captured/${name}\0`), name).toBe(true)
})
