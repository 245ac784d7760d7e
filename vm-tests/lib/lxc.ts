import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const NAME = 'shop'
const START_MS = 120_000
const POLL_MS = 500
/** What lxc-stop(1) ends with then. */
const NOT_RUNNING = 2

/** A container of LXC, as a host has it: its root is a folder, its init is started again when it restarts itself. */
export interface Container {
  run(command: string): SpawnSyncReturns<string>
  /** The same, expected to succeed; what it printed. */
  ok(command: string): string
  /** Waits until the system is up, and the verdict of its health service is there. */
  up(): Promise<void>
  /** From inside, and waits until the next system is up. */
  restart(): Promise<void>
  /** Throws where it is not within two minutes. */
  until(what: string, is: () => boolean): Promise<void>
  /** As if the power had gone. */
  kill(): void
  start(): void
}

/** Says why containers cannot run here, such as without cgroups; undefined where they can. */
export function lxcMissing(): string | undefined {
  const settings = ['-s', 'lxc.net.0.type=empty', '-s', 'lxc.rootfs.path=dir:/']
  const probe = ['-n', 'pine-probe', '-f', '/dev/null', ...settings, '--', '/bin/true']
  const { status, error, stderr } = spawnSync('lxc-execute', probe, { encoding: 'utf8' })
  return status === 0 ? undefined : (error?.message ?? `lxc-execute ended with ${status}: ${stderr}`)
}

/** `shown` is at /mnt in it; `dir` holds what belongs to its host. */
export function createContainer(root: string, { dir, shown }: { dir: string; shown: string }): Container {
  const config = join(dir, 'lxc.conf')
  writeFileSync(config, configOf(root, { dir, shown }))
  const place = ['-P', dir, '-n', NAME]
  const named = [...place, '-f', config]
  const run = (command: string) =>
    spawnSync('lxc-attach', [...named, '--clear-env', '--', 'sh', '-c', command], { encoding: 'utf8' })
  const ok = (command: string): string => {
    const { status, stdout, stderr } = run(command)
    if (status !== 0) throw new Error(`"${command}" ended with ${status}: ${stdout}${stderr}`)
    return stdout.trim()
  }
  const until = async (what: string, is: () => boolean): Promise<void> => {
    const deadline = performance.now() + START_MS
    while (!is()) {
      if (performance.now() > deadline) throw new Error(`the container is not ${what}; see ${dir}`)
      await sleep(POLL_MS)
    }
  }
  const up = () =>
    until('up', () => {
      const state = run('systemctl is-system-running; systemctl is-active pine-update-health')
      return /^(running|degraded)\n(active|failed|inactive)/.test(state.stdout)
    })
  const idOf = (): string => run('systemctl show --value --property UserspaceTimestampMonotonic').stdout
  return {
    run,
    ok,
    up,
    until,
    async restart() {
      const before = idOf()
      run('systemctl reboot')
      await until('restarting', () => idOf() !== before)
      await up()
    },
    kill() {
      const { status, stderr } = spawnSync('lxc-stop', [...place, '--kill'], { encoding: 'utf8' })
      if (status !== 0 && status !== NOT_RUNNING) throw new Error(`the container goes on: ${stderr}`)
    },
    start: () => void spawn('lxc-start', ['-F', ...named], { stdio: 'ignore' }),
  }
}

/** As a host writes it: no network, so that it needs no bridge; proc and sys as LXC guards them. */
function configOf(root: string, { dir, shown }: { dir: string; shown: string }): string {
  const lines = [
    `lxc.rootfs.path = dir:${root}`,
    `lxc.uts.name = ${NAME}`,
    'lxc.net.0.type = empty',
    `lxc.mount.entry = ${shown} mnt none bind,ro 0 0`,
    'lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed',
    'lxc.autodev = 1',
    'lxc.pty.max = 16',
    `lxc.console.logfile = ${join(dir, 'console.log')}`,
  ]
  return `${lines.join('\n')}\n`
}
