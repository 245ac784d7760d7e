import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { parseSettings, type Settings } from '../model/settings.ts'

const CONFIG = '/etc/pine-update/config.toml'

/**
 * Reads the configuration: the file, then `NAME.d/*.toml` beside it in the order of their names. A missing
 * default file is an empty one; a missing file that was asked for is an error.
 */
export async function readSettings(host: Host, path: string | undefined): Promise<Settings> {
  const main = path ?? CONFIG
  const text = await host.readFile(main)
  if (text === undefined && path !== undefined) {
    throw new PineError('FILE_NOT_FOUND', `there is no configuration file ${path}`)
  }
  const folder = main.replace(/\.toml$/, '.d')
  const dropIns = (await host.listFolder(folder)).filter((name) => name.endsWith('.toml'))
  const sources = text === undefined ? [] : [{ path: main, text: text.toString() }]
  for (const name of dropIns) {
    const file = join(folder, name)
    sources.push({ path: file, text: ((await host.readFile(file)) ?? '').toString() })
  }
  return parseSettings(sources)
}
