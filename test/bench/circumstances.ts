import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import type { Measured } from './acceptance.ts'
import { run } from './measure.ts'
import { versionOf } from './peer-cache.ts'
import { PEERS } from './peers.ts'
import { PINE } from './server.ts'

/** What the figures depend on, a line each. */
export function circumstances({ limited, disk, reencoding }: Measured): string[] {
  const ours = run([...PINE, '--version']).trim()
  const system = /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux'
  const peers = PEERS.map((peer) => `${peer.version[0]} ${versionOf(peer) ?? 'not installed'}`)
  const lines = [
    `${new Date().toISOString().slice(0, 10)}, pine-update ${ours}, Node ${process.versions.node}`,
    `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${(totalmem() / 2 ** 30).toFixed(1)} GiB, ${system}, Linux ${release()}`,
    `${peers.join(', ')}, ${firstLine('mksquashfs', '-version')}, ${firstLine('mkfs.erofs', '-V')}`,
  ]
  if (disk !== undefined) {
    lines.push(
      `the ext4 image: dd conv=fsync ${disk.writeSeconds.toFixed(2)} s, cold read ${disk.readSeconds.toFixed(2)} s`,
    )
  }
  if (reencoding !== undefined) {
    const { core, all, cores, changedBytes } = reencoding
    const speeds = `${rate(core)} on one core, ${rate(all)} on ${cores}`
    lines.push(
      `changed blocks of the squashfs zstd: ${rate(changedBytes).replace('/s', '')}, encoded at ${speeds}`,
    )
  }
  if (limited !== undefined) {
    const said = 'cost' in limited ? `done in ${limited.cost.seconds.toFixed(1)} s` : limited.failed
    lines.push(`apply of the squashfs zstd update, cold, in a memory cgroup of 128 MiB: ${said}`)
  }
  return lines
}

function rate(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`
}

function firstLine(program: string, flag: string): string {
  const { stdout } = spawnSync(program, [flag], { encoding: 'utf8' })
  return stdout.split('\n')[0]?.replace(/ \(.*/, '') ?? program
}
