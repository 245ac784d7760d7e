import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'

/** What a tree lacks, and how to get it. */
interface Problem {
  what: string
  remedy: string
}

/** What starts it: a loader and an initramfs, or the host of the container. */
export type TreeKind = 'disk' | 'container'

const SYSTEMD = ['usr/lib/systemd/systemd', 'systemd-sysv'] as const
const NEEDED = [
  SYSTEMD,
  ['usr/sbin/update-initramfs', 'initramfs-tools'],
  ['usr/bin/busybox', 'busybox'],
  ['usr/sbin/e2fsck', 'e2fsprogs'],
  ['usr/sbin/blkid', 'util-linux'],
] as const

const OLDEST_NODE = [20, 19] as const

/** Version of the newest kernel in the tree of a disk. Throws `TREE_INVALID` with everything that is missing at once. */
export async function requireDiskTree(host: Host, tree: string): Promise<string> {
  requireRoot(tree)
  const problems = await folderProblems(host, tree, ['boot', 'etc', 'usr', 'var'])
  const kernel = newestKernel(await host.listFolder(join(tree, 'boot')))
  if (problems.length === 0) {
    problems.push(...(await toolProblems(host, tree, NEEDED)), ...(await nodeProblems(host, tree)))
    if (kernel === undefined) {
      problems.push({ what: 'no kernel /boot/vmlinuz-*', remedy: 'install linux-image-cloud-amd64' })
    }
  }
  if (problems.length > 0 || kernel === undefined) throw invalid(tree, problems)
  return kernel
}

/** Whatever a container is updated with calls libostree. Throws `TREE_INVALID` with everything that is missing at once. */
export async function requireContainerTree(host: Host, tree: string): Promise<void> {
  requireRoot(tree)
  const problems = await folderProblems(host, tree, ['etc', 'usr', 'var'])
  if (problems.length === 0) {
    problems.push(...(await toolProblems(host, tree, [SYSTEMD])), ...(await nodeProblems(host, tree)))
    if (!(await hasLibostree(host, tree)))
      problems.push({ what: `no ${LIBOSTREE}`, remedy: 'install libostree-1-1' })
  }
  if (problems.length > 0) throw invalid(tree, problems)
}

const LIBOSTREE = 'libostree-1.so.1'

/** In Debian's folder of the architecture. */
export async function hasLibostree(host: Host, tree: string): Promise<boolean> {
  const lib = join(tree, 'usr/lib')
  for (const name of await host.listFolder(lib)) {
    if (!name.endsWith('-linux-gnu')) continue
    if ((await host.listFolder(join(lib, name))).includes(LIBOSTREE)) return true
  }
  return false
}

function requireRoot(tree: string): void {
  if (process.getuid?.() === 0) return
  throw new PineError('NOT_ROOT', `preparing ${tree} runs programs of the tree and needs root`, {
    hint: 'run the command as root',
  })
}

function invalid(tree: string, problems: readonly Problem[]): PineError {
  const found = problems.map((problem) => problem.what).join('; ')
  return new PineError('TREE_INVALID', `${tree} cannot become a release: ${found}`, {
    hint: `in the tree: ${[...new Set(problems.map((problem) => problem.remedy))].join('; ')}`,
  })
}

/** The part after `vmlinuz-` that sorts last with numbers compared as numbers. */
export function newestKernel(namesInBoot: readonly string[]): string | undefined {
  const versions = namesInBoot.flatMap((name) => /^vmlinuz-(.+)$/.exec(name)?.[1] ?? [])
  return versions.sort((one, other) => one.localeCompare(other, 'en', { numeric: true })).at(-1)
}

/** A symbolic link would lead out of the tree, into the machine that builds it. */
async function folderProblems(host: Host, tree: string, names: readonly string[]): Promise<Problem[]> {
  const top = await host.realPath(tree)
  const problems: Problem[] = []
  for (const name of names) {
    if (top === undefined || (await host.realPath(join(tree, name))) !== join(top, name)) {
      problems.push({
        what: `/${name} is not a folder in it`,
        remedy: 'give the folder of a root file system',
      })
    }
  }
  return problems
}

async function toolProblems(
  host: Host,
  tree: string,
  needed: readonly (readonly [string, string])[],
): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const [path, packageName] of needed) {
    if ((await host.kindOf(join(tree, path))) === undefined) {
      problems.push({ what: `no /${path}`, remedy: `install ${packageName}` })
    }
  }
  return problems
}

async function nodeProblems(host: Host, tree: string): Promise<Problem[]> {
  const remedy = `install nodejs ${OLDEST_NODE.join('.')} or newer (Debian 13 has it; for older releases NodeSource)`
  if ((await host.kindOf(join(tree, 'usr/bin/node'))) === undefined)
    return [{ what: 'no /usr/bin/node', remedy }]
  const version = await nodeVersion(host, tree)
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return []
  return [{ what: `/usr/bin/node is ${version}, expected ${OLDEST_NODE.join('.')} or newer`, remedy }]
}

async function nodeVersion(host: Host, tree: string): Promise<string> {
  try {
    return (await host.exec('chroot', [tree, '/usr/bin/node', '--version'])).trim()
  } catch (error) {
    if (error instanceof PineError && error.code === 'TOOL_FAILED') return 'not able to run here'
    throw error
  }
}
