import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { cleanTree } from './clean-tree.ts'
import { hasLibostree, requireContainerTree, requireDiskTree, type TreeKind } from './tree-needs.ts'

export interface PrepareOptions {
  kind: TreeKind
  /** The files of src/system. */
  systemDir: string
  /** dist: the command line as one file, with the native core and the data that lie beside it. */
  cliBundleDir: string
}

/** Files and folders of dist/ that a server needs; the programs of the tests lie there too. */
export const AGENT = ['pine-update.cjs', 'native', 'blake3_js_bg.wasm', 'system', 'layouts'] as const

/** What calls libostree, beside them. */
export const OSTREE_AGENT = ['ostree-child.cjs', 'node_modules'] as const

const LIB = 'usr/lib/pine-update'
const INITRAMFS = 'usr/share/initramfs-tools'
const UNITS = 'usr/lib/systemd/system'

/** [file of src/system, place in the tree, mode] */
const FILES = [
  ['launcher', 'usr/bin/pine-update', '755'],
  ['pine-update-health.service', `${UNITS}/pine-update-health.service`, '644'],
  ['pine-update-ssh-keys.service', `${UNITS}/pine-update-ssh-keys.service`, '644'],
] as const

const DISK_FILES = [
  ...FILES,
  ['etc-merge', `${LIB}/etc-merge`, '755'],
  ['apply-captured', `${LIB}/apply-captured`, '755'],
  ['initramfs-functions.sh', `${LIB}/initramfs-functions.sh`, '644'],
  ['initramfs.conf', `${LIB}/initramfs.conf`, '644'],
  ['initramfs-tools.conf', `${INITRAMFS}/conf.d/pine-update`, '644'],
  ['initramfs-hook', `${INITRAMFS}/hooks/pine-update`, '755'],
  ['initramfs-watchdog', `${INITRAMFS}/scripts/init-top/pine-update-watchdog`, '755'],
  ['initramfs-rehearse', `${INITRAMFS}/scripts/local-top/pine-update-rehearse`, '755'],
  ['initramfs-state', `${INITRAMFS}/scripts/local-bottom/pine-update-state`, '755'],
] as const

/** Enabled in /usr, so that /etc stays as the administrator left it. */
const WANTED = [
  ['multi-user.target', 'pine-update-health.service'],
  ['multi-user.target', 'pine-update-ssh-keys.service'],
] as const

/** / is read-only, and /tmp not shared as it is in a container. */
const DISK_WANTED = [...WANTED, ['local-fs.target', 'tmp.mount']] as const

/** systemd makes these for the esp of a disk that BIOS started. It would mount it at /efi, and / is read-only: they fail. */
const NOT_WANTED = ['efi.automount', 'efi.mount'] as const

/** What `prepareTree` would do, for a person. Throws what it throws for a tree that cannot be used. */
export async function describePrepare(host: Host, tree: string, kind: TreeKind): Promise<string[]> {
  const isDisk = kind === 'disk'
  const kernel = isDisk ? await requireDiskTree(host, tree) : await requireContainerTree(host, tree)
  return [
    `copy the agent to /${LIB}`,
    ...(isDisk ? DISK_FILES : FILES).map(([, to]) => `write /${to}`),
    ...(isDisk ? DISK_WANTED : WANTED).map(([target, unit]) => `start ${unit} with ${target}`),
    ...(isDisk ? NOT_WANTED.map((unit) => `never start ${unit}`) : []),
    ...(isDisk ? [`link /boot/vmlinuz and /boot/initrd.img to kernel ${kernel}`] : []),
    'remove host keys, machine-id, logs, package lists and caches',
    ...(isDisk ? [`make /boot/initrd.img-${kernel} anew`] : []),
  ]
}

const INITRD_TIMEOUT_MS = 900_000

/**
 * Makes a root file system of Debian's packages fit to be a release: installs the agent, and for a disk its boot integration,
 * removes what must not be the same on two machines, and makes the initrd anew. Changes the tree in place; running
 * it twice gives the same initrd. Runs programs of the tree as root. Throws `TREE_INVALID`, `NOT_ROOT`, `TOOL_*`.
 */
export async function prepareTree(host: Host, tree: string, options: PrepareOptions): Promise<void> {
  const { kind, systemDir, cliBundleDir } = options
  if (kind === 'container') {
    await requireContainerTree(host, tree)
    await installAgent(host, tree, cliBundleDir)
    await install(host, tree, { systemDir, files: FILES, wanted: WANTED })
    return await cleanTree(host, tree)
  }
  const kernelVersion = await requireDiskTree(host, tree)
  await installAgent(host, tree, cliBundleDir)
  await provideTmpMount(host, tree)
  await install(host, tree, { systemDir, files: DISK_FILES, wanted: DISK_WANTED })
  await neverStart(host, tree)
  await linkKernel(host, tree, kernelVersion)
  await cleanTree(host, tree)
  await makeInitrd(host, tree, { kernelVersion, systemDir })
}

/** Throws `FILE_NOT_FOUND`. */
export async function installAgent(host: Host, tree: string, cliBundleDir: string): Promise<void> {
  if ((await host.kindOf(join(cliBundleDir, 'pine-update.cjs'))) === undefined) {
    throw new PineError('FILE_NOT_FOUND', `there is no pine-update.cjs in ${cliBundleDir}`, {
      hint: 'run "npm run build" first',
    })
  }
  const target = join(tree, LIB)
  await host.exec('mkdir', ['-p', target])
  const names = (await hasLibostree(host, tree)) ? [...AGENT, ...OSTREE_AGENT] : AGENT
  const from = names.map((name) => join(cliBundleDir, name))
  await host.exec('cp', ['--recursive', '--no-preserve=ownership', '--target-directory', target, ...from])
}

interface Installed {
  systemDir: string
  files: readonly (readonly [string, string, string])[]
  wanted: readonly (readonly [string, string])[]
}

async function install(host: Host, tree: string, { systemDir, files, wanted }: Installed): Promise<void> {
  for (const [name, to, mode] of files) {
    const owner = ['--owner=0', '--group=0', `--mode=${mode}`]
    await host.exec('install', [
      '-D',
      '--no-target-directory',
      ...owner,
      join(systemDir, name),
      join(tree, to),
    ])
  }
  for (const [target, unit] of wanted) {
    const wants = join(tree, UNITS, `${target}.wants`)
    await host.exec('mkdir', ['-p', wants])
    await host.exec('ln', ['--symbolic', '--force', '--no-dereference', `../${unit}`, join(wants, unit)])
  }
}

async function neverStart(host: Host, tree: string): Promise<void> {
  for (const unit of NOT_WANTED)
    await host.exec('ln', ['--symbolic', '--force', '--no-dereference', '/dev/null', join(tree, UNITS, unit)])
}

/** Debian 12 ships tmp.mount as an example only. */
async function provideTmpMount(host: Host, tree: string): Promise<void> {
  const unit = join(tree, UNITS, 'tmp.mount')
  if ((await host.kindOf(unit)) !== undefined) return
  await host.exec('cp', [join(tree, 'usr/share/systemd/tmp.mount'), unit])
}

/** The loader knows two names; relative links, since it reads them before anything is mounted. */
async function linkKernel(host: Host, tree: string, kernelVersion: string): Promise<void> {
  for (const name of ['vmlinuz', 'initrd.img']) {
    const link = join(tree, 'boot', name)
    await host.exec('ln', ['--symbolic', '--force', '--no-dereference', `${name}-${kernelVersion}`, link])
  }
}

async function makeInitrd(
  host: Host,
  tree: string,
  options: { kernelVersion: string; systemDir: string },
): Promise<void> {
  const initrd = `/boot/initrd.img-${options.kernelVersion}`
  // Time stamps are cut to that of the kernel, so that the same packages give the same initrd.
  const seconds = await host.exec('stat', [
    '-c',
    '%Y',
    join(tree, 'boot', `vmlinuz-${options.kernelVersion}`),
  ])
  const inTree = (...command: string[]) =>
    host.exec('unshare', ['--mount', 'sh', join(options.systemDir, 'in-tree'), tree, ...command], {
      timeoutMs: INITRD_TIMEOUT_MS,
      env: { SOURCE_DATE_EPOCH: seconds.trim() },
    })
  await inTree('update-initramfs', '-c', '-k', options.kernelVersion)
  const listed = new Set((await inTree('lsinitramfs', initrd)).split('\n'))
  const missing = IN_INITRD.filter((name) => !listed.has(name))
  if (missing.length > 0) {
    throw new PineError('TREE_INVALID', `the initrd of ${tree} has no ${missing.join(', ')}`, {
      hint: 'does a file in /etc/initramfs-tools of the tree take the place of one of pine-update?',
    })
  }
}

/** Without one of these a boot would end in a reboot, or in a system that forgets what is written to it. */
const IN_INITRD = [
  'scripts/init-top/pine-update-watchdog',
  'scripts/local-top/pine-update-rehearse',
  'scripts/local-bottom/pine-update-state',
  'usr/lib/pine-update/etc-merge',
  'usr/lib/pine-update/apply-captured',
  'usr/lib/pine-update/initramfs.conf',
  'usr/sbin/e2fsck',
  'usr/bin/cp',
]
