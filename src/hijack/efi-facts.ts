import { dirname, join } from 'node:path'
import { EFIVARS, readBootVariables, readGlobalVariable } from '../boot/firmware-variables.ts'
import { EFI_PROGRAM } from '../boot/grub-efi-partition.ts'
import type { Host } from '../host/host.ts'
import type { BootVariables } from '../model/boot-variables.ts'
import { ESP_TYPE } from '../model/layout.ts'
import type { BlockDevice } from './block-devices.ts'
import type { Place } from './box-facts.ts'
import { type Mount, mountOf } from './mounts.ts'

const GRUB_FOLDER = '/boot/grub'
/** Modules are linked by such names. What GRUB prints is not in that of Ubuntu, which starts quietly. */
const GRUB_SYMBOL = 'grub_errno'

/** Of a machine that was started by UEFI. */
export interface EfiFacts {
  secureBoot: boolean
  /** Of the firmware's own addresses: 32 or 64. Zero where the kernel does not say. */
  wordBits: number
  canWriteVariables: boolean
  /** On the disk of the root; undefined where none is mounted. */
  esp: EspFacts | undefined
  /** The file on it that started what runs. */
  loader: string
  /** It, or what it loads beside it, is a GRUB that is told where /boot/grub is. */
  isGrub: boolean
}

/** The EFI system partition, as it is mounted. */
export interface EspFacts {
  /** Such as `/dev/vda1`. */
  path: string
  /** PARTUUID, lower case. */
  uuid: string
  /** Where it is mounted. */
  at: string
  bytes: number
  freeBytes: number
}

/** What is known of the machine already. */
export interface AroundEfi {
  devices: ReadonlyMap<string, BlockDevice>
  mounts: readonly Mount[]
  /** Path of the disk that the root is on. */
  disk: string | undefined
  /** What /boot/grub is on. */
  boot: Pick<Place, 'mount' | 'stack' | 'partition'>
}

export async function readEfiFacts(host: Host, around: AroundEfi): Promise<EfiFacts> {
  const variables = await readBootVariables(host)
  const { partition, path } = startedFile(variables)
  const esp = await findEsp(host, around, partition)
  const isThere = esp !== undefined && (partition === undefined || partition === esp.uuid)
  return {
    // UEFI 2.10 §32.3
    secureBoot: (await readGlobalVariable(host, 'SecureBoot'))?.[0] === 1,
    wordBits: Number((await host.readFile('/sys/firmware/efi/fw_platform_size')) ?? 0),
    canWriteVariables: isWritable(mountOf(around.mounts, EFIVARS)),
    esp,
    loader: path,
    isGrub: isThere && (await isGrub(host, join(esp.at, path), placesOf(around.boot))),
  }
}

/** Firmware that was told of no file takes the one that has its own place. UEFI 2.10 §3.5.1.1 */
function startedFile({ current, options }: BootVariables): { partition: string | undefined; path: string } {
  const option = current === undefined ? undefined : options.get(current)
  return option?.file ?? { partition: undefined, path: EFI_PROGRAM }
}

function isWritable(mount: Mount | undefined): boolean {
  return mount?.at === EFIVARS && mount.fs === 'efivarfs' && !mount.isReadOnly
}

/** Of several the one that the machine was started from. */
async function findEsp(
  host: Host,
  { devices, mounts, disk }: AroundEfi,
  started: string | undefined,
): Promise<EspFacts | undefined> {
  const found: EspFacts[] = []
  for (const { at, root, source, isReadOnly } of mounts) {
    const device = devices.get((await host.realPath(source)) ?? source)
    if (device?.partType !== ESP_TYPE.toLowerCase() || root !== '/' || isReadOnly) continue
    if (disk === undefined || !device.parents.includes(disk)) continue
    const { path, partUuid: uuid, bytes } = device
    found.push({ path, uuid, at, bytes, freeBytes: await host.freeBytes(at) })
  }
  return found.find(({ uuid }) => uuid === started) ?? found[0]
}

/** How a GRUB is told where its configuration is: by a file system, or a place on its own disk. grub-install(8) */
function placesOf({ mount, stack, partition }: AroundEfi['boot']): string[] {
  const uuid = stack[0]?.fsUuid ?? ''
  const folder = mount.at === '/' ? GRUB_FOLDER : GRUB_FOLDER.slice(mount.at.length)
  const place = partition === undefined ? [] : [`(,gpt${partition.number})${folder}\0`]
  return uuid === '' ? place : [...place, uuid]
}

/**
 * A GRUB has the names of its functions inside. Where a distribution has it find its configuration stands in the program, or
 * in a grub.cfg in a folder beside it. The rehearsal then shows whether all of that is so.
 */
async function isGrub(host: Host, loader: string, places: readonly string[]): Promise<boolean> {
  const folder = dirname(loader)
  const inside = (await host.listFolder(folder)).filter((name) => /\.efi$/i.test(name))
  const programs = await contentsOf(
    host,
    inside.map((name) => join(folder, name)),
  )
  const grubs = programs.filter((content) => content.includes(GRUB_SYMBOL))
  const started = await host.readFile(loader)
  if (started === undefined || grubs.length === 0) return false
  const beside = await host.listFolder(dirname(folder))
  const configurations = beside.map((name) => join(dirname(folder), name, 'grub.cfg'))
  const told = [...grubs, ...(await contentsOf(host, configurations))]
  return told.some((content) => places.some((place) => content.includes(place)))
}

async function contentsOf(host: Host, paths: readonly string[]): Promise<Buffer[]> {
  const contents: Buffer[] = []
  for (const path of paths) {
    const content = (await host.kindOf(path)) === 'file' ? await host.readFile(path) : undefined
    if (content !== undefined) contents.push(content)
  }
  return contents
}
