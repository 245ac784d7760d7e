import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { type Layout, parseLayout, ROLES, type Role } from '../../src/model/layout.ts'
import type { Workshop } from '../support/cli.ts'

/** A partition as lsblk lists it. */
export interface ListedDevice {
  name: string
  pkname: string | null
  partuuid: string | null
  size: number
}

/** A machine that runs from host.img, as /proc, /dev and lsblk show it; its bytes are real files and devices. */
export interface LiveMachine {
  host: Host
  layout: Layout
  /** What is in /proc/cmdline. */
  cmdline: string
  devices: ListedDevice[]
  /** Files or devices that take the place of a partition of host.img. */
  places: Partial<Record<Role, string>>
  /** Programs that were run, other than to look. */
  readonly ran: string[]
}

export const DISK = '/dev/vda'
const BY_UUID = '/dev/disk/by-partuuid/'

/** The machine as the loader started it: `slot` runs, the boot state had that sequence. */
export function cmdlineOf(layout: Layout, slot: 'a' | 'b', sequence: number, copy = '0'): string {
  const { uuid } = layout.partitions[`rootfs-${slot}`]
  const number = String(sequence).padStart(8, '0')
  return `root=PARTUUID=${uuid} ro pine.slot=${slot} pine.seq=${number} pine.st=${copy} pine.left=2`
}

export function devicesOf(layout: Layout, disk: string): ListedDevice[] {
  const partitions = Object.values(layout.partitions).map(({ number, uuid, bytes }) => ({
    name: `${disk}${number}`,
    pkname: disk,
    partuuid: uuid,
    size: bytes,
  }))
  return [{ name: disk, pkname: null, partuuid: null, size: 0 }, ...partitions]
}

export async function liveMachine(shop: Workshop): Promise<LiveMachine> {
  const real = realHost()
  const image = shop.path('host.img')
  const layout = parseLayout(await real.exec('sfdisk', ['--json', image]), image)
  const machine: LiveMachine = {
    host: real,
    layout,
    cmdline: cmdlineOf(layout, 'a', 2),
    devices: devicesOf(layout, DISK),
    places: {},
    ran: [],
  }
  machine.host = {
    ...real,
    async readFile(path) {
      return path === '/proc/cmdline' ? Buffer.from(machine.cmdline) : real.readFile(path)
    },
    async exec(command, args, options) {
      if (command === 'lsblk') return JSON.stringify({ blockdevices: machine.devices })
      if (command === 'sfdisk') return real.exec(command, [...args.slice(0, -1), image], options)
      if (command !== 'systemctl') return real.exec(command, args, options)
      machine.ran.push([command, ...args].join(' '))
      return ''
    },
    async openRegion(path, options) {
      const role = ROLES.find((name) => path === BY_UUID + layout.partitions[name].uuid)
      if (role === undefined) return real.openRegion(path, options)
      const place = machine.places[role]
      const { offset, bytes } = layout.partitions[role]
      return place === undefined
        ? real.openRegion(image, { ...options, offset, bytes })
        : real.openRegion(place, options)
    },
    // /var is on the state partition.
    replaceFile: (path, content, mode) => real.replaceFile(inShop(shop, path), content, mode),
    removeFile: (path) => real.removeFile(inShop(shop, path)),
    freeBytes: async () => 2 ** 30,
    stopWatchdog: async () => false,
  }
  return machine
}

function inShop(shop: Workshop, path: string): string {
  return path.startsWith('/var/') ? shop.path(path.replaceAll('/', '_')) : path
}
