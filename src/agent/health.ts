import { basename, join } from 'node:path'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import type { Settings } from '../model/settings.ts'
import type { Verdict } from '../plan/verdict.ts'
import { requireGateway } from './gateway.ts'

type HealthSettings = Settings['health']

/** One question about the running system; `run` throws where the answer is no. */
interface Check {
  name: string
  run(): Promise<void>
}

export interface CheckResult {
  name: string
  healthy: boolean
  /** Why not; empty where healthy. */
  reason: string
  durationMs: number
}

export interface HealthReport extends Verdict {
  checks: CheckResult[]
}

/** What is asked beside scripts and ports. */
export interface HealthScope {
  /** The machine itself. */
  live: boolean
  /** Its way out, without which nobody reaches it. */
  network: boolean
}

/** Runs every check; one that fails is tried again until `settle` is over, since services take time to come up. */
export async function checkHealth(
  host: Host,
  settings: HealthSettings,
  { live, network }: HealthScope,
): Promise<HealthReport> {
  const checks = [
    ...(live ? [stateCheck(host)] : []),
    ...(network ? [gatewayCheck(host, settings)] : []),
    ...(settings.systemd ? [systemdCheck(host, settings)] : []),
    ...settings.tcp.map((target) => tcpCheck(host, target, settings)),
    ...settings.http.map((url) => httpCheck(host, url, settings)),
    ...(await scriptChecks(host, settings)),
  ]
  // Many servers start in 1970 and learn the time while this runs.
  const until = host.monotonicMs() + settings.settle * 1000
  const results: CheckResult[] = []
  for (const check of checks) results.push(await settled(host, check, until))
  const failed = results.filter((result) => !result.healthy)
  const reason = failed.map((result) => `${result.name}: ${result.reason}`).join('; ')
  return { healthy: failed.length === 0, reason, checks: results }
}

const RETRY_MS = 2000
const PROBE = '/var/tmp/pine-update-health'

async function settled(host: Host, check: Check, until: number): Promise<CheckResult> {
  const start = host.monotonicMs()
  for (;;) {
    const reason = await failureOf(check)
    const now = host.monotonicMs()
    if (reason === undefined || now + RETRY_MS > until) {
      return {
        name: check.name,
        healthy: reason === undefined,
        reason: reason ?? '',
        durationMs: Math.round(now - start),
      }
    }
    await host.sleep(RETRY_MS)
  }
}

async function failureOf(check: Check): Promise<string | undefined> {
  try {
    await check.run()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** ext4 turns read-only at its first error; everything runs on for a while, and then nothing does. */
function stateCheck(host: Host): Check {
  return {
    name: 'state',
    async run() {
      await host.replaceFile(PROBE, '')
      await host.removeFile(PROBE)
    },
  }
}

function gatewayCheck(host: Host, { timeout }: HealthSettings): Check {
  return { name: 'gateway', run: () => requireGateway(host, timeout * 1000) }
}

function systemdCheck(host: Host, settings: HealthSettings): Check {
  return {
    name: 'systemd',
    async run() {
      const args = ['list-units', '--failed', '--plain', '--no-legend', '--no-pager']
      const listed = await host.exec('systemctl', args, { timeoutMs: settings.timeout * 1000 })
      const units = listed.split('\n').flatMap((line) => line.trim().split(/\s+/)[0] || [])
      if (units.length > 0) throw new Error(`failed units: ${units.join(', ')}`)
    },
  }
}

function tcpCheck(host: Host, target: string, settings: HealthSettings): Check {
  const at = target.lastIndexOf(':')
  const [address, port] = [target.slice(0, at), Number(target.slice(at + 1))]
  return { name: `tcp ${target}`, run: () => host.connect(address, port, settings.timeout * 1000) }
}

function httpCheck(host: Host, url: string, settings: HealthSettings): Check {
  return {
    name: `http ${url}`,
    async run() {
      const status = await host.httpStatus(url, settings.timeout * 1000)
      if (status < 200 || status > 399) throw new Error(`answered ${status}, expected 200 to 399`)
    },
  }
}

/** Executables of `health.d`; one of the same name in a later folder takes the place of the earlier. */
async function scriptChecks(host: Host, settings: HealthSettings): Promise<Check[]> {
  const byName = new Map<string, string>()
  for (const folder of settings.directories) {
    for (const name of await host.listFolder(folder)) byName.set(name, join(folder, name))
  }
  return [...byName.keys()].sort().map((name) => scriptCheck(host, byName.get(name) ?? name, settings))
}

function scriptCheck(host: Host, path: string, settings: HealthSettings): Check {
  return {
    name: basename(path),
    async run() {
      try {
        await host.exec(path, [], { timeoutMs: settings.timeout * 1000, ownGroup: true })
      } catch (error) {
        // The message of a failed check is what an operator reads in "status": the check's own words.
        if (error instanceof PineError) throw new Error(error.message.replace(`${path} `, ''))
        throw error
      }
    },
  }
}
