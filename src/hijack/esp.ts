import { dirname, join } from 'node:path'
import { efiProgram } from '../boot/shipped-core.ts'
import { PineError } from '../core/error.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { OUR_PROGRAM } from '../model/boot-variables.ts'
import type { EfiJournal } from './journal.ts'
import { mountOf, parseMounts } from './mounts.ts'

/** What is written there must be where the firmware looks. Throws `TAKEOVER_REFUSED`. */
export async function requireEsp(host: Host, { at, uuid }: EfiJournal): Promise<void> {
  const mount = mountOf(parseMounts(String((await host.readFile('/proc/self/mountinfo')) ?? '')), at)
  const [found, wanted] = [
    await host.realPath(mount?.source ?? ''),
    await host.realPath(`/dev/disk/by-partuuid/${uuid}`),
  ]
  if (mount?.at === at && !mount.isReadOnly && found !== undefined && found === wanted) return
  throw new PineError(
    'TAKEOVER_REFUSED',
    `the EFI system partition with the PARTUUID ${uuid} is not mounted at ${at}, or read-only`,
    { hint: `mount it there: "mount /dev/disk/by-partuuid/${uuid} ${at}"` },
  )
}

/**
 * Our loader, in a folder of its own: nobody starts it before the firmware is told of it. FAT has no journal, and a crash in
 * between leaves what the next try writes over. Throws `IO_FAILED`.
 */
export async function installProgram(host: Host, carving: Carving, { at }: EfiJournal): Promise<void> {
  await writeProgram(host, join(at, OUR_PROGRAM), await efiProgram(host))
  await carving.settleFileSystem(at)
}

/** Whole, and read back from the disk. Throws `IO_FAILED`. */
export async function writeProgram(host: Host, path: string, program: Buffer): Promise<void> {
  await host.exec('mkdir', ['-p', dirname(path)])
  await host.replaceFile(path, program)
  const region = await host.openRegion(path)
  try {
    await region.dropCache()
    const found = Buffer.alloc(region.bytes)
    await region.read(found, 0)
    if (found.equals(program)) return
  } finally {
    await region.close()
  }
  throw new PineError('IO_FAILED', `${path} does not keep what is written`, {
    hint: 'look at dmesg; what starts is what started before',
  })
}

export async function removeProgram(host: Host, carving: Carving, { at }: EfiJournal): Promise<void> {
  const folder = join(at, dirname(OUR_PROGRAM))
  if ((await host.kindOf(folder)) === undefined) return
  await host.exec('rm', ['-rf', folder])
  await carving.settleFileSystem(at)
}
