import type { Host } from '../host/host.ts'
import { type AccountFiles, linesOf, parseAccounts, type User, usersOf } from './accounts.ts'
import type { Captured, CapturedFile } from './captured.ts'
import type { RegularFile } from './copy-of.ts'
import { readKeys } from './key-files.ts'
import { type Login, lockOutProblems, loginOf, settingProblems } from './login.ts'
import { type Problem, stop, warn } from './problem.ts'
import { renderSshd } from './render-sshd.ts'
import { readSshd, type Sshd, valuesOf } from './sshd.ts'
import { readSudoers } from './sudoers.ts'
import { readHostKeys, readSystemFiles } from './system-files.ts'

/** Who a machine is, and who may log in to it. */
export interface Identity {
  captured: Captured
  problems: Problem[]
  /** Whoever logs in becomes root by sudo(8) alone: the image must have it. */
  needsSudo: boolean
}

/** Reads the running system as root; changes nothing. */
export async function readIdentity(host: Host): Promise<Identity> {
  const sshd = await readSshd(host).catch(() => undefined)
  if (sshd === undefined) return { captured: NOTHING, problems: [NO_SSHD], needsSudo: false }
  const files = await readAccountFiles(host)
  const found: { user: User; keys: RegularFile[] }[] = []
  for (const user of usersOf(files)) found.push({ user, keys: await readKeys(host, sshd, user) })
  // Who has neither key nor password cannot log in, and is left.
  const kept = found.filter(({ user, keys }) => user.name === 'root' || user.hasPassword || keys.length > 0)
  const users = kept.map(({ user }) => user)
  const sudoers = await readSudoers(host, users)
  const logins = kept.map(({ user, keys }) =>
    loginOf(sshd, user, { keys: keys.map(textOf), mighty: sudoers.mighty }),
  )
  return {
    captured: {
      files: onePerPath([
        ...(await readSystemFiles(host)),
        ...(await readHostKeys(host, sshd)),
        ...renderSshd(sshd),
        ...kept.flatMap(({ keys }) => keys),
        ...sudoers.files,
      ]),
      accounts: linesOf(files, users, askedGroups(sshd)),
    },
    problems: [
      ...lockOutProblems(logins),
      ...settingProblems(sshd, await readConfigs(host)),
      ...sudoers.left.map(notCopied),
      ...users.flatMap(movedHome),
    ],
    needsSudo: needsSudo(logins),
  }
}

const NOTHING: Captured = { files: [], accounts: { passwd: [], shadow: [], group: [], gshadow: [] } }
const NO_SSHD = stop(
  '"/usr/sbin/sshd -T" fails: who may log in to this machine is unknown',
  'run it, and mend what it says; other ssh servers than OpenSSH are not supported',
)

async function readAccountFiles(host: Host): Promise<AccountFiles> {
  const read = async (name: string) => parseAccounts((await host.readFile(`/etc/${name}`))?.toString() ?? '')
  return {
    passwd: await read('passwd'),
    shadow: await read('shadow'),
    group: await read('group'),
    gshadow: await read('gshadow'),
  }
}

function textOf({ content }: { content: Buffer }): string {
  return content.toString()
}

function askedGroups(sshd: Sshd): string[] {
  return ['allowgroups', 'denygroups']
    .flatMap((key) => valuesOf(sshd, key))
    .flatMap((line) => line.split(' '))
}

/** Several users may share a file. */
function onePerPath(files: readonly CapturedFile[]): CapturedFile[] {
  return [...new Map(files.map((file) => [file.path, file])).values()]
}

async function readConfigs(host: Host): Promise<string> {
  const folder = '/etc/ssh/sshd_config.d'
  const paths = [
    '/etc/ssh/sshd_config',
    ...(await host.listFolder(folder)).map((name) => `${folder}/${name}`),
  ]
  const texts: string[] = []
  for (const path of paths) texts.push((await host.readFile(path))?.toString() ?? '')
  return texts.join('\n')
}

function notCopied(path: string): Problem {
  return warn(
    `${path} is left: it names others than the users that are carried over`,
    'give each of them a file of its own',
  )
}

function movedHome({ name, home, newHome }: User): Problem[] {
  if (home === newHome) return []
  return [
    warn(
      `the home of ${name} becomes ${newHome}: ${home} would not outlive an update`,
      'copy what is needed of it',
    ),
  ]
}

function needsSudo(logins: readonly Login[]): boolean {
  const mighty = logins.filter(({ enters, becomesRoot }) => enters && becomesRoot)
  return mighty.length > 0 && mighty.every(({ user }) => user.uid !== 0)
}
