import type { Region } from '../core/region.ts'
import { readAsset } from '../host/assets.ts'
import type { Host } from '../host/host.ts'
import type { BootState } from '../model/boot-state.ts'
import type { Records } from '../model/records.ts'
import { AREA, encodeGrubCfg, formatBootstate } from './bootstate-area.ts'
import { type GrubCfgValues, renderGrubCfg } from './grub-script.ts'
import { writeMeta } from './grub-state.ts'

export interface NewBootstate {
  state: BootState
  /** Null where no GRUB reads it, as in a container. */
  script: Omit<GrubCfgValues, 'sleepSeconds'> | null
  records: Records
}

type Script = NonNullable<NewBootstate['script']>

/** How long the loader waits where nothing can be booted. */
const SLEEP_SECONDS = 30

/** Makes a bootstate partition; what was there is lost. */
export async function writeNewBootstate(
  host: Host,
  region: Region,
  { state, script, records }: NewBootstate,
): Promise<void> {
  const grubCfg = script === null ? '' : await renderScript(host, script)
  await region.write(formatBootstate({ state, grubCfg }), 0)
  // Twice: from the first day a bad sector leaves one of the two copies.
  for (let copies = 0; copies < 2; copies++) await writeMeta(region, records)
}

/** Another script for a loader that does not read it yet: the write is not atomic. */
export async function writeScript(host: Host, region: Region, script: Script): Promise<void> {
  await region.write(encodeGrubCfg(await renderScript(host, script)), AREA['grub.cfg'].offset)
}

async function renderScript(host: Host, script: Script): Promise<string> {
  const template = (await readAsset(host, 'grub.cfg')).toString()
  return renderGrubCfg(template, { ...script, sleepSeconds: SLEEP_SECONDS })
}
