import type { Host } from '../host/host.ts'
import type { CapturedFile } from './captured.ts'

export type RegularFile = Extract<CapturedFile, { content: Buffer }>

/** A file with its mode and owner, of a link what it leads to; undefined where there is none. */
export async function copyOf(host: Host, path: string, to = path): Promise<RegularFile | undefined> {
  if ((await host.kindOf(path)) !== 'file') return undefined
  const content = await host.readFile(path)
  const said = await host.exec('stat', ['--dereference', '--format=%a:%u:%g', path])
  const [mode = '', uid, gid] = said.trim().split(':')
  if (content === undefined) return undefined
  return { path: to, mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid), content }
}

/** The same, but a link stays one: it names something of the image. */
export async function linkOrCopyOf(host: Host, path: string): Promise<CapturedFile | undefined> {
  if ((await host.kindOf(path)) !== 'file') return undefined
  const type = await host.exec('stat', ['--format=%F', path])
  if (type.trim() !== 'symbolic link') return copyOf(host, path)
  return { path, link: (await host.exec('readlink', [path])).trimEnd() }
}
