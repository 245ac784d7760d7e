import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readExt4 } from '../../src/hijack/ext4.ts'
import { decideShrink, type ShrinkPlan } from '../../src/hijack/shrink-plan.ts'
import { makeShutdownStage } from '../../src/hijack/shrink-stage.ts'
import type { Wanted } from '../../src/hijack/wanted.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { MiB, type OldRoot, withoutRoot } from './old-root.ts'

const SYSTEM = join(import.meta.dirname, '../../src/system')

export const WANTED: Wanted[] = [
  { name: 'rootfs-a', bytes: 64 * MiB },
  { name: 'rootfs-b', bytes: 64 * MiB },
  { name: 'bootstate', bytes: MiB },
  { name: 'swap', bytes: 8 * MiB },
  { name: 'state', bytes: 16 * MiB, grows: true },
]

/** The real one, with the script of the source tree. */
export function sourceHost(): Host {
  const host = realHost()
  return { ...host, readFile: (path) => host.readFile(path.replace(/^.*\/dist\/system\//, `${SYSTEM}/`)) }
}

export function withoutShrink(): string | undefined {
  const missing = ['resize2fs', 'dumpe2fs', 'unshare', 'ldd', 'umount'].find(
    (tool) => spawnSync(tool, ['--version']).error !== undefined,
  )
  return withoutRoot('ext4') ?? (missing && `${missing} is not installed`)
}

/** Half full, with contents; what is free is in pieces of 4 MiB. */
export function scatter({ folder, freeBytes }: OldRoot): void {
  const all = freeBytes()
  const large: string[] = []
  for (let index = 0; freeBytes() > 24 * MiB; index++) {
    const into = `${folder}/d${index % 30}`
    mkdirSync(into, { recursive: true })
    for (const bytes of [10, 9000, 70_000]) writeFileSync(`${into}/s${index}-${bytes}`, randomBytes(bytes))
    large.push(`${into}/f${index}`)
    writeFileSync(`${into}/f${index}`, randomBytes(4 * MiB))
  }
  for (let index = 0; freeBytes() < all * 0.48; index += 2) rmSync(large[index] ?? '')
}

/** What a program on the running system would decide. */
export async function decide({ device, folder, partitionOffset, limit }: OldRoot, wanted = WANTED) {
  execFileSync('sync', ['--file-system', folder])
  const numbers = execFileSync('stat', ['--file-system', '--format=%a %c %d', folder], { encoding: 'utf8' })
  const [freeBlocks = 0, inodes = 0, freeInodes = 0] = numbers.split(' ').map(Number)
  const place = { device, offset: partitionOffset, bytes: limit - partitionOffset }
  return decideShrink(await readExt4(realHost(), device), { freeBlocks, inodes, freeInodes }, wanted, place)
}

export interface ShrinkRun {
  /** Its last word: `outcome …`. */
  outcome: string
  log: string
  /** What it asked the kernel for: `b` is a restart. */
  asked: string
}

interface RunOptions {
  verb?: string
  /** In the folder of the stage, before it is entered. */
  prepare?(folder: string): void
  /** What runs in the old root and does not end. */
  holds?: boolean
}

/**
 * Runs the shutdown stage as systemd-shutdown does, as the first process of a namespace of its own, with the old root mounted
 * read-only beneath it. Nothing of this machine is in reach: neither its sysrq nor a watchdog.
 */
export async function runStage(plan: ShrinkPlan, options: RunOptions = {}): Promise<ShrinkRun> {
  const dir = mkdtempSync(join(tmpdir(), 'pine-shrink-'))
  const [folder, run] = [join(dir, 'stage'), join(dir, 'run')]
  mkdirSync(join(run, 'proc/sys/kernel'), { recursive: true })
  try {
    const settings = { folder, run: '/run', proc: '/run/proc', patience: 2, linger: 0 }
    await makeShutdownStage(sourceHost(), plan, settings)
    if (options.prepare !== undefined) {
      execFileSync('mount', ['-o', 'remount,rw', folder])
      options.prepare(folder)
    }
    const script = join(dir, 'enter')
    writeFileSync(script, enterScript(plan.device, { folder, run, ...options }))
    const words = ['--mount', '--pid', '--fork', '--kill-child', '--propagation=private', 'sh', script]
    const { stdout, stderr } = spawnSync('unshare', words, { encoding: 'utf8', timeout: 120_000 })
    const log = readFileSync(join(run, 'pine-update-shrink.log'), 'utf8') + stdout + stderr
    const asked = readFileSync(join(run, 'proc/sysrq-trigger'), 'utf8').trim()
    return { log, asked, outcome: /^outcome (.*)$/m.exec(log)?.[1] ?? '' }
  } finally {
    spawnSync('umount', [folder])
    rmSync(dir, { recursive: true })
  }
}

function enterScript(device: string, { folder, run, verb = 'reboot', holds = false }: RunOptions & Places) {
  return `set -e
mount --bind ${run} ${folder}/run
mount -t proc proc ${folder}/proc
mount -t tmpfs none ${folder}/dev
cp -a /dev/null ${device} ${folder}/dev/
mount -o ro ${device} ${folder}/oldroot
mount -t tmpfs none ${folder}/oldroot/tmp
${holds ? `(cd ${folder}/oldroot && exec sleep 60) &` : ''}
exec chroot ${folder} /shutdown ${verb}
`
}

interface Places {
  folder: string
  run: string
}
