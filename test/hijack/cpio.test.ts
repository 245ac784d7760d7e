import { execFileSync, spawnSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { encodeCaptured } from '../../src/hijack/capture.ts'
import { type Captured, textFile } from '../../src/hijack/captured.ts'
import { type CpioEntry, encodeCpio } from '../../src/hijack/cpio.ts'

const KNOWN: [string, string[]][] = [
  ['cpio', ['cpio']],
  ['busybox cpio', ['busybox', 'cpio']],
]
const PROGRAMS = KNOWN.filter(([name, [command = '', ...args]]) => {
  const isThere = spawnSync(command, [...args, '--help']).error === undefined
  if (!isThere) console.warn(`skipped: ${name} is not installed`)
  return isThere
})

const OWNER = { uid: 1000, gid: 1001 }
const ENTRIES: CpioEntry[] = [
  { path: 'captured/b', mode: 0o640, ...OWNER, kind: 'file', content: Buffer.from('four') },
  { path: 'captured/b-c', mode: 0o600, uid: 0, gid: 0, kind: 'file', content: Buffer.from('\0\xff five') },
  { path: 'captured', mode: 0o700, uid: 0, gid: 0, kind: 'folder' },
  { path: 'captured/empty', mode: 0o444, uid: 0, gid: 0, kind: 'file', content: Buffer.alloc(0) },
  { path: 'captured/link', mode: 0o777, uid: 0, gid: 0, kind: 'link', target: '/lib/systemd/x.service' },
  { path: 'captured/ä', mode: 0o755, ...OWNER, kind: 'folder' },
  { path: 'captured/ä/x', mode: 0o4755, ...OWNER, kind: 'file', content: Buffer.alloc(1000, 'x') },
]

/** As [path, type and mode, owner, content]. */
function unpack(archive: Buffer, [command = '', ...args]: string[]): unknown[] {
  const dir = mkdtempSync(join(tmpdir(), 'pine-cpio-'))
  try {
    execFileSync(command, [...args, '-id'], { cwd: dir, input: archive, stdio: ['pipe', 'pipe', 'pipe'] })
    return readdirSync(dir, { recursive: true, encoding: 'utf8' })
      .sort()
      .map((path) => {
        const { mode, uid, gid } = lstatSync(join(dir, path))
        return { path, mode: mode.toString(8), uid, gid, content: contentOf(join(dir, path)) }
      })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function contentOf(path: string): string | undefined {
  const info = lstatSync(path)
  if (info.isSymbolicLink()) return readlinkSync(path)
  return info.isFile() ? readFileSync(path, 'latin1') : undefined
}

describe.each(PROGRAMS)('%s', (_, program) => {
  test('reads back exactly what was written', () => {
    const owner = { uid: 0, gid: 0 }
    expect(unpack(encodeCpio(ENTRIES), program)).toEqual([
      { path: 'captured', mode: '40700', ...owner, content: undefined },
      { path: 'captured/b', mode: '100640', ...OWNER, content: 'four' },
      { path: 'captured/b-c', mode: '100600', ...owner, content: '\0\xc3\xbf five' },
      { path: 'captured/empty', mode: '100444', ...owner, content: '' },
      { path: 'captured/link', mode: '120777', ...owner, content: '/lib/systemd/x.service' },
      { path: 'captured/ä', mode: '40755', ...OWNER, content: undefined },
      { path: 'captured/ä/x', mode: '104755', ...OWNER, content: 'x'.repeat(1000) },
    ])
  })

  test('lists folders before what is in them', () => {
    const listed = execFileSync(program[0] ?? '', [...program.slice(1), '-t'], {
      input: encodeCpio(ENTRIES),
      stdio: ['pipe', 'pipe', 'pipe'],
      encoding: 'utf8',
    })
    expect(listed.trim().split('\n')).toEqual(ENTRIES.map(({ path }) => path).sort())
  })
})

test('the same entries give the same bytes, in whatever order they come', () => {
  const archive = encodeCpio(ENTRIES)
  expect(encodeCpio(ENTRIES.toReversed()).equals(archive)).toBe(true)
  expect(archive.length % 512).toBe(0)
})

describe('what was captured', () => {
  const captured: Captured = {
    files: [
      textFile('/etc/ssh/sshd_config.d/10-pine-takeover.conf', 'Port 22\n'),
      { path: '/home/alice/.ssh/authorized_keys', mode: 0o600, ...OWNER, content: Buffer.from('key\n') },
      { path: '/root/.ssh/authorized_keys', mode: 0o600, uid: 0, gid: 0, content: Buffer.from('key\n') },
      { path: '/etc/localtime', link: '/usr/share/zoneinfo/Europe/Berlin' },
    ],
    accounts: {
      passwd: ['alice:x:1000:1001::/home/alice:/bin/bash'],
      shadow: [],
      group: ['a:x:1001:'],
      gshadow: [],
    },
  }

  test.each(PROGRAMS)('lies below captured/, with folders that only their owner sees (%s)', (_, program) => {
    const found = unpack(encodeCaptured(captured), program) as { path: string; mode: string; uid: number }[]
    expect(found.map(({ path, mode, uid }) => `${mode} ${uid} ${path}`)).toEqual([
      '40700 0 captured',
      '40700 0 captured/accounts',
      '100600 0 captured/accounts/group',
      '100600 0 captured/accounts/gshadow',
      '100600 0 captured/accounts/passwd',
      '100600 0 captured/accounts/shadow',
      '40755 0 captured/etc',
      '120777 0 captured/etc/localtime',
      '40755 0 captured/etc/ssh',
      '40755 0 captured/etc/ssh/sshd_config.d',
      '100644 0 captured/etc/ssh/sshd_config.d/10-pine-takeover.conf',
      '40755 0 captured/home',
      '40700 1000 captured/home/alice',
      '40700 1000 captured/home/alice/.ssh',
      '100600 1000 captured/home/alice/.ssh/authorized_keys',
      '40700 0 captured/root',
      '40700 0 captured/root/.ssh',
      '100600 0 captured/root/.ssh/authorized_keys',
    ])
  })
})
