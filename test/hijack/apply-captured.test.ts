import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCaptured } from '../../src/hijack/capture.ts'
import { type Accounts, type Captured, type CapturedFile, textFile } from '../../src/hijack/captured.ts'

const SCRIPT = join(import.meta.dirname, '../../src/system/apply-captured')
const HASH = '$y$j9T$secretsalt$secrethash'

const top = mkdtempSync(join(tmpdir(), 'pine-apply-'))
afterAll(() => rmSync(top, { recursive: true, force: true }))

const toolDir = join(top, 'tools')
mkdirSync(toolDir)

interface Shell {
  argv: string[]
  path: string
}

/** The host's tools under dash, and busybox for everything. */
function shells(): [string, Shell][] {
  const found: [string, Shell][] = [['dash', { argv: ['dash'], path: process.env.PATH ?? '' }]]
  if (spawnSync('busybox', ['--install', '-s', toolDir]).status === 0)
    found.push(['busybox', { argv: ['busybox', 'sh'], path: `${toolDir}:/bin:/usr/bin` }])
  else console.warn('skipped: apply-captured under busybox, which is not installed')
  return found
}

const SHELLS = shells()
const DASH: Shell = { argv: ['dash'], path: process.env.PATH ?? '' }
const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn('skipped: apply-captured gives files to others, which only root may')

const IMAGE: Record<string, string> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n',
  'etc/shadow': 'root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n',
  'etc/group': 'root:x:0:\nshadow:x:42:\nsudo:x:27:\n',
  'etc/gshadow': 'root:*::\nshadow:*::\nsudo:*::\n',
  'etc/shells': '# /etc/shells\n/bin/sh\n/bin/bash\n',
  'etc/hosts': '127.0.0.1 localhost\n',
  'etc/machine-id': 'uninitialized\n',
  'etc/ssh/sshd_config': 'Include /etc/ssh/sshd_config.d/*.conf\n',
}

const ALICE = { uid: 1000, gid: 1000 }
const ACCOUNTS: Accounts = {
  passwd: ['alice:x:1000:1000:Alice:/home/alice:/bin/bash', 'bob:x:1001:1001::/home/bob:/usr/bin/zsh'],
  shadow: [`root:${HASH}:20000:0:99999:7:::`, 'alice:!:20001:0:99999:7:::', `bob:${HASH}:20002:0:99999:7:::`],
  group: ['sudo:x:27:alice', 'alice:x:1000:', 'bob:x:1001:', 'friends:x:1005:alice,bob'],
  gshadow: ['sudo:*::alice', 'alice:!::', 'bob:!::', 'friends:!::alice,bob'],
}

const FILES: CapturedFile[] = [
  textFile('/etc/hosts', '192.0.2.7 box\n'),
  textFile('/etc/machine-id', '0123456789abcdef0123456789abcdef\n', 0o444),
  textFile('/etc/ssh/ssh_host_ed25519_key', 'host-secret\n', 0o600),
  textFile('/etc/ssh/sshd_config.d/10-pine-takeover.conf', 'Port 2222\n'),
  textFile('/etc/resolv.conf', 'nameserver 9.9.9.9\n'),
  {
    path: '/etc/systemd/system/multi-user.target.wants/systemd-networkd.service',
    link: '/lib/systemd/n.service',
  },
  { path: '/etc/localtime', link: '/usr/share/zoneinfo/Europe/Berlin' },
  { path: '/etc/ssh/keys/alice', mode: 0o600, ...ALICE, content: Buffer.from('key of alice\n') },
  { path: '/home/alice/.ssh/authorized_keys', mode: 0o600, ...ALICE, content: Buffer.from('key of alice\n') },
  textFile('/root/.ssh/authorized_keys', 'key of root\n', 0o600),
]

let slot: string
beforeEach(() => {
  slot = mkdtempSync(join(top, 'slot-'))
  makeImage(slot)
})

function makeImage(to: string, changes: Record<string, string> = {}): void {
  for (const folder of ['etc', 'home', 'root', 'var']) mkdirSync(join(to, folder))
  for (const [path, text] of Object.entries({ ...IMAGE, ...changes })) {
    mkdirSync(dirname(join(to, path)), { recursive: true })
    writeFileSync(join(to, path), text)
  }
  chmodSync(join(to, 'etc/shadow'), 0o640)
  execFileSync('chown', ['0:42', join(to, 'etc/shadow')])
  symlinkSync('../run/stub-resolv.conf', join(to, 'etc/resolv.conf'))
}

/** As the kernel does with the second initrd. */
function unpack(captured: Captured): string {
  const folder = mkdtempSync(join(top, 'captured-'))
  execFileSync('cpio', ['--quiet', '-id'], { cwd: folder, input: encodeCaptured(captured) })
  return join(folder, 'captured')
}

function apply(captured: string, { argv: [command = '', ...args], path }: Shell = DASH) {
  const folders = ['etc', 'home', 'root', 'var'].map((name) => join(slot, name))
  return spawnSync(command, [...args, SCRIPT, captured, ...folders], {
    encoding: 'utf8',
    env: { PATH: path, TMPDIR: top },
  })
}

/** Everything below a folder: type and mode, owner, and content. */
function tree(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const at = join(folder, path)
    const { mode, uid, gid } = lstatSync(at)
    found[path] = `${mode.toString(8)} ${uid}:${gid} ${textOf(at)}`.trimEnd()
  }
  return found
}

function textOf(path: string): string {
  const info = lstatSync(path)
  if (info.isSymbolicLink()) return readlinkSync(path)
  return info.isFile() ? readFileSync(path, 'utf8') : ''
}

const file = (path: string) => readFileSync(join(slot, path), 'utf8')
const lines = (path: string) => file(path).trimEnd().split('\n')

describe.skipIf(!isRoot).each(SHELLS)('%s', (_, shell) => {
  test('files with their modes and owners, and no word about them', () => {
    const done = apply(unpack({ files: FILES, accounts: ACCOUNTS }), shell)
    expect(done).toMatchObject({ status: 0, stdout: '', stderr: '' })
    expect(tree(slot)).toEqual({
      ...changedParts(),
      'etc/shells': `100644 0:0 ${IMAGE['etc/shells']}`.trimEnd(),
      'etc/ssh/sshd_config': `100644 0:0 ${IMAGE['etc/ssh/sshd_config']}`.trimEnd(),
    })
  })

  test('a second run changes nothing', () => {
    const captured = unpack({ files: FILES, accounts: ACCOUNTS })
    apply(captured, shell)
    const once = tree(slot)
    expect(apply(captured, shell)).toMatchObject({ status: 0, stdout: '', stderr: '' })
    expect(tree(slot)).toEqual(once)
  })

  test('ids that the image has given to others', () => {
    rmSync(slot, { recursive: true })
    mkdirSync(slot)
    makeImage(slot, {
      'etc/passwd': `${IMAGE['etc/passwd']}debian:x:1000:1000::/home/debian:/bin/bash\n`,
      'etc/group': `${IMAGE['etc/group']}debian:x:1000:\n`,
    })
    const captured = unpack({ files: FILES, accounts: ACCOUNTS })
    expect(apply(captured, shell)).toMatchObject({ status: 0, stderr: '' })
    // 1001 is bob's, and stays it.
    expect(lines('etc/passwd').slice(2)).toEqual([
      'debian:x:1000:1000::/home/debian:/bin/bash',
      'alice:x:1002:1002:Alice:/home/alice:/bin/bash',
      'bob:x:1001:1001::/home/bob:/bin/bash',
    ])
    expect(lines('etc/group').slice(3)).toEqual([
      'debian:x:1000:',
      'alice:x:1002:',
      'bob:x:1001:',
      'friends:x:1005:alice,bob',
    ])
    const found = tree(slot)
    expect(found['home/alice']).toBe('40700 1002:1002')
    expect(found['home/alice/.ssh/authorized_keys']).toBe('100600 1002:1002 key of alice')
    expect(found['etc/ssh/keys/alice']).toBe('100600 1002:1002 key of alice')
    apply(captured, shell)
    expect(tree(slot)).toEqual(found)
  })

  test('a user that the image has already keeps its id, and gets the password and the keys', () => {
    const passwd = `${IMAGE['etc/passwd']}alice:x:1500:1500::/home/alice:/bin/sh\n`
    writeFileSync(join(slot, 'etc/passwd'), passwd)
    writeFileSync(join(slot, 'etc/shadow'), `${IMAGE['etc/shadow']}alice:${HASH}image:1:0:99999:7:::\n`)
    writeFileSync(join(slot, 'etc/group'), `${IMAGE['etc/group']}alice:x:1500:\n`)
    expect(apply(unpack({ files: FILES, accounts: ACCOUNTS }), shell)).toMatchObject({
      status: 0,
      stderr: '',
    })
    expect(lines('etc/passwd')[2]).toBe('alice:x:1500:1500::/home/alice:/bin/sh')
    expect(lines('etc/shadow')[2]).toBe('alice:!:20001:0:99999:7:::')
    expect(tree(slot)['home/alice/.ssh/authorized_keys']).toBe('100600 1500:1500 key of alice')
  })

  test('nothing was captured but root', () => {
    const accounts = { passwd: [], shadow: [`root:${HASH}:20000::::::`], group: [], gshadow: [] }
    const files = [textFile('/root/.ssh/authorized_keys', 'key\n', 0o600)]
    expect(apply(unpack({ files, accounts }), shell)).toMatchObject({ status: 0, stderr: '' })
    expect(file('etc/passwd')).toBe(IMAGE['etc/passwd'])
    expect(lines('etc/shadow')[0]).toBe(`root:${HASH}:20000:0:99999:7:::`)
    expect(lstatSync(join(slot, 'root/.ssh')).mode & 0o777).toBe(0o700)
  })

  test('what a user has put in the place of its folder leads nowhere', () => {
    const captured = unpack({ files: FILES, accounts: ACCOUNTS })
    mkdirSync(join(slot, 'home/alice'))
    symlinkSync(join(slot, 'etc'), join(slot, 'home/alice/.ssh'))
    expect(apply(captured, shell)).toMatchObject({ status: 0, stderr: '' })
    expect(lstatSync(join(slot, 'etc')).uid).toBe(0)
    expect(lstatSync(join(slot, 'home/alice/.ssh')).isDirectory()).toBe(true)
    expect(existsSync(join(slot, 'etc/authorized_keys'))).toBe(false)
  })

  test('wrong use', () => {
    const {
      argv: [command = '', ...args],
      path,
    } = shell
    const done = spawnSync(command, [...args, SCRIPT, 'x'], { encoding: 'utf8', env: { PATH: path } })
    expect(done.status).toBe(2)
  })
})

/** All that differs from the image, in the plain case. */
function changedParts(): Record<string, string> {
  const folder = (path: string) => [path, '40755 0:0']
  const root = (path: string, text: string, mode = '100644') => [path, `${mode} 0:0 ${text}`]
  return Object.fromEntries([
    ...['etc', 'etc/ssh', 'etc/ssh/keys', 'etc/ssh/sshd_config.d', 'etc/systemd', 'etc/systemd/system'].map(
      folder,
    ),
    ...['etc/systemd/system/multi-user.target.wants', 'home', 'root', 'var'].map(folder),
    root('etc/hosts', '192.0.2.7 box'),
    root('etc/machine-id', '0123456789abcdef0123456789abcdef', '100444'),
    root('etc/ssh/ssh_host_ed25519_key', 'host-secret', '100600'),
    root('etc/ssh/sshd_config.d/10-pine-takeover.conf', 'Port 2222'),
    root('etc/resolv.conf', 'nameserver 9.9.9.9'),
    root('etc/localtime', '/usr/share/zoneinfo/Europe/Berlin', '120777'),
    root(
      'etc/systemd/system/multi-user.target.wants/systemd-networkd.service',
      '/lib/systemd/n.service',
      '120777',
    ),
    ['etc/ssh/keys/alice', '100600 1000:1000 key of alice'],
    root(
      'etc/passwd',
      `${IMAGE['etc/passwd']}alice:x:1000:1000:Alice:/home/alice:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/bash`,
    ),
    [
      'etc/shadow',
      `100640 0:42 root:${HASH}:20000:0:99999:7:::
sshd:!:19000::::::
alice:!:20001:0:99999:7:::
bob:${HASH}:20002:0:99999:7:::`,
    ],
    root(
      'etc/group',
      'root:x:0:\nshadow:x:42:\nsudo:x:27:alice\nalice:x:1000:\nbob:x:1001:\nfriends:x:1005:alice,bob',
    ),
    root('etc/gshadow', 'root:*::\nshadow:*::\nsudo:*::alice\nalice:!::\nbob:!::\nfriends:!::alice,bob'),
    ['home/alice', '40700 1000:1000'],
    ['home/alice/.ssh', '40700 1000:1000'],
    ['home/alice/.ssh/authorized_keys', '100600 1000:1000 key of alice'],
    ['home/bob', '40700 1001:1001'],
    root('root/.ssh', '', '40700').map((text) => text.trimEnd()),
    root('root/.ssh/authorized_keys', 'key of root', '100600'),
  ])
}

/** Tools that change something, each of which kills the script before or after it has worked. */
const CHANGING = ['mv', 'cp', 'cat', 'chown', 'chmod', 'mkdir', 'ln', 'rm']

function killingTools(): string {
  const folder = join(top, 'killing')
  mkdirSync(folder, { recursive: true })
  for (const name of CHANGING) {
    const real = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
    writeFileSync(
      join(folder, name),
      `#!/bin/dash
count=$(($(/bin/cat "$COUNTER") + 1))
echo "$count" >"$COUNTER"
[ "$count" -ne "$KILL_BEFORE" ] || { kill -9 "$PPID"; exit 1; }
${real} "$@"
`,
      { mode: 0o755 },
    )
  }
  return folder
}

describe.skipIf(!isRoot)('a crash', () => {
  test('before any change is made good by the next run', () => {
    const few = ['/etc/resolv.conf', '/home/alice/.ssh/authorized_keys']
    const files = FILES.filter(({ path }) => few.includes(path))
    const captured = unpack({ files, accounts: ACCOUNTS })
    // With ids that are taken: they must come out the same.
    const taken = {
      'etc/passwd': `${IMAGE['etc/passwd']}debian:x:1000:1000::/home/debian:/bin/bash\n`,
      'etc/group': `${IMAGE['etc/group']}debian:x:1000:\n`,
    }
    const fresh = () => {
      rmSync(slot, { recursive: true })
      mkdirSync(slot)
      makeImage(slot, taken)
    }
    fresh()
    apply(captured)
    const whole = tree(slot)
    const [tools, counter] = [killingTools(), join(top, 'counter')]
    let crashes = 0
    for (let step = 1; ; step++) {
      fresh()
      writeFileSync(counter, '0')
      const folders = ['etc', 'home', 'root', 'var'].map((name) => join(slot, name))
      const env = {
        PATH: `${tools}:${process.env.PATH}`,
        TMPDIR: top,
        COUNTER: counter,
        KILL_BEFORE: String(step),
      }
      const { signal } = spawnSync('dash', [SCRIPT, captured, ...folders], { env })
      if (signal === null) break
      crashes++
      expect(apply(captured)).toMatchObject({ status: 0, stderr: '' })
      expect(tree(slot), `after a crash before change ${step}`).toEqual(whole)
    }
    expect(crashes).toBeGreaterThan(30)
  })
})
