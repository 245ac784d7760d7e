import { readAsset } from '../host/assets.ts'
import type { Host } from '../host/host.ts'
import { type CapturedFile, textFile } from './captured.ts'
import { JOURNAL } from './journal.ts'

const UNITS = '/etc/systemd/system'
const WANTS = `${UNITS}/multi-user.target.wants`
const SERVICE = 'pine-update-takeover.service'
const RECLAIM = 'pine-update-reclaim.service'

/** Has the old system go on with the takeover at each start, with the program that runs now. */
export async function installService(host: Host, program: readonly string[]): Promise<void> {
  await host.exec('mkdir', ['-p', WANTS])
  await host.replaceFile(`${UNITS}/${SERVICE}`, serviceText(program))
  await host.exec('ln', ['-sfn', `../${SERVICE}`, `${WANTS}/${SERVICE}`])
}

/** The link first: without it nobody starts the service. */
export async function removeService(host: Host): Promise<void> {
  await host.removeFile(`${WANTS}/${SERVICE}`)
  await host.removeFile(`${UNITS}/${SERVICE}`)
}

function serviceText(program: readonly string[]): string {
  // systemd.service(5), "Command lines".
  const words = program.map((word) => `"${word.replace(/["\\]/g, '\\$&').replace(/[%$]/g, '$&$&')}"`)
  return `[Unit]
Description=The next step of a takeover by pine-update
ConditionPathExists=${JOURNAL}
After=multi-user.target

[Service]
Type=oneshot
ExecStart=${words.join(' ')} hijack continue
`
}

/** Has the new system give up the old one as soon as it is confirmed after the commit. */
export async function reclaimFiles(host: Host): Promise<CapturedFile[]> {
  const unit = String(await readAsset(host, RECLAIM))
  return [textFile(`${UNITS}/${RECLAIM}`, unit), { path: `${WANTS}/${RECLAIM}`, link: `../${RECLAIM}` }]
}
