import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeMeta } from '../../src/boot/grub-state.ts'
import { detectFileSystem } from '../../src/build/file-system.ts'
import { digestRegion } from '../../src/core/digest-region.ts'
import { type OpenRegion, type Region, readParts } from '../../src/core/region.ts'
import { nativeHashing } from '../../src/host/native.ts'
import { realHost } from '../../src/host/real-host.ts'
import type { SlotName } from '../../src/model/boot-state.ts'
import { readRecords, withMachine } from '../../src/run/machine.ts'
import { bootDisk } from '../support/boot-disk.ts'
import { run } from './measure.ts'

/** The product, as a user starts it. */
export const PINE = [process.execPath, join(process.cwd(), 'dist/pine-update.cjs')] as const

const SLOT_MIB = 704
const LAYOUT = `label: gpt
first-lba: 2048
name=bios-boot, size=1MiB, type=21686148-6449-6E6F-744E-656564454649
name=bootstate, size=1MiB
name=swap, size=1MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F
name=rootfs-a, size=${SLOT_MIB}MiB
name=rootfs-b, size=${SLOT_MIB}MiB
name=state
`

/** A server's disk in a file. */
export interface Server {
  readonly disk: string
  /** What a command line needs to work on it. */
  readonly options: readonly string[]
}

const host = realHost()

/** Makes the key, and what every server has in common, in an empty folder. */
export function prepareServers(folder: string): void {
  mkdirSync(join(folder, 'keys'))
  run([...PINE, 'key', 'generate', '--out', join(folder, 'keys/ci')])
  writeFileSync(join(folder, 'layout.sfdisk'), LAYOUT)
  writeFileSync(join(folder, 'server.toml'), `keyring = "${folder}/keys"\n`)
  const tree = join(folder, 'tree')
  mkdirSync(join(tree, 'etc'), { recursive: true })
  run([...PINE, 'image', 'build', '--tree', tree, '--out', join(folder, 'small.sqfs')])
}

/** A server that runs `image` from slot a; slot b is empty. */
export async function makeServer(folder: string, image: string): Promise<Server> {
  const disk = join(folder, 'server.img')
  rmSync(disk, { force: true })
  const fixed = ['--layout', join(folder, 'layout.sfdisk'), '--size', `${2 * SLOT_MIB + 64}M`]
  // Not every image here is one that the loader reads, so it comes after the disk was made with a small one.
  const content = ['--image', join(folder, 'small.sqfs'), '--compatible', 'bench', '--release', '1.0']
  run([...PINE, 'disk', 'build', ...fixed, ...content, '--out', disk])
  await bootDisk(host, disk)
  await putImage(disk, image)
  return { disk, options: ['--disk', disk, '--config', join(folder, 'server.toml')] }
}

async function putImage(disk: string, path: string): Promise<void> {
  await withMachine(host, { disk, writable: true }, async (machine) => {
    const records = await readRecords(machine)
    await withRegions(
      [host.openRegion(path), machine.disk.open('rootfs-a', { writable: true })],
      async (image, slot) => {
        for await (const { part, position } of readParts(image, image.bytes)) await slot.write(part, position)
        await slot.flush()
        const digest = await digestRegion(image, { hashing: nativeHashing() })
        const release = {
          digest,
          bytes: image.bytes,
          fs: await detectFileSystem(image),
          version: '1.0',
          epoch: 0,
        }
        const a = { ...release, writtenAt: host.now().toISOString() }
        await writeMeta(machine.bootstate, { ...records, slots: { ...records.slots, a } })
      },
    )
  })
}

type Opening = Promise<OpenRegion>

async function withRegions(
  openings: [Opening, Opening],
  use: (first: Region, second: Region) => Promise<void>,
): Promise<void> {
  const [first, second] = await Promise.all(openings)
  try {
    await use(first, second)
  } finally {
    await Promise.all([first.close(), second.close()])
  }
}

/** Throws where the slot does not begin with the image. */
export async function checkSlot(server: Server, slot: SlotName, path: string): Promise<void> {
  await withMachine(host, { disk: server.disk, writable: false }, async ({ disk }) => {
    await withRegions(
      [host.openRegion(path), disk.open(`rootfs-${slot}`, { writable: false })],
      async (image, region) => {
        const options = { hashing: nativeHashing(), bytes: image.bytes }
        const [expected, found] = [await digestRegion(image, options), await digestRegion(region, options)]
        if (expected !== found) throw new Error(`slot ${slot} does not hold ${path}`)
      },
    )
  })
}

/** The next program that reads the file reads from the device, and pays for its cached pages itself. */
export async function dropCache(path: string): Promise<void> {
  const region = await host.openRegion(path, { writable: true })
  await region.flush()
  await region.dropCache()
  await region.close()
}
