import type { OpenRegion } from '../../src/core/region.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { ROLES, type Role } from '../../src/model/layout.ts'
import { contentOf, type Disk, type Piece } from './disk.ts'
import type { Fixture } from './fixture.ts'

/** A machine that runs, as far as `apply`, `health` and their like look at it. */
export interface Running {
  readonly fixture: Fixture
  readonly disk: Disk
  /** Breaks a region on purpose. */
  readonly twist?: ((region: OpenRegion, role: Role) => OpenRegion) | undefined
  /** The kernel's command line. */
  cmdline(): string
  /** Every unit is up. */
  isHealthy(): boolean
  write(piece: Piece): void
  flush(role: Role): Promise<void>
  /** `systemctl reboot` was called. */
  restart(): void
  now(): Date
}

const DISK = '/dev/vda'
const BY_UUID = '/dev/disk/by-partuuid/'
const REAL = realHost()

/** What a command asks of the machine beyond this is an error, or answered by the machine the test runs on. */
export function runningHost(running: Running): Host {
  const { layout, files } = running.fixture
  return {
    ...REAL,
    exec: async (command, args) => runProgram(running, [command, ...args].join(' ')),
    async openRegion(path: string) {
      const role = ROLES.find((known) => path === BY_UUID + layout.partitions[known].uuid)
      if (role === undefined) throw new Error(`no command here should open ${path}`)
      return openPartition(running, role)
    },
    readSource: (path) => once(files.get(path) ?? Buffer.alloc(0)),
    async readFile(path) {
      if (path === '/proc/cmdline') return Buffer.from(running.cmdline())
      if (path === '/proc/meminfo') return Buffer.from('MemAvailable: 1000000 kB\nSwapFree: 0 kB\n')
      return files.get(path)
    },
    listFolder: async (path) =>
      [...files.keys()].flatMap((name) => (name.startsWith(`${path}/`) ? [name.slice(path.length + 1)] : [])),
    kindOf: async (path) => (files.has(path) ? 'file' : 'folder'),
    freeBytes: async () => 2 ** 30,
    // Only the probes of /var are written and removed.
    replaceFile: async () => undefined,
    removeFile: async () => undefined,
    stopWatchdog: async () => true,
    now: running.now,
    async sleep() {
      throw new Error('no command here should wait')
    },
  }
}

export async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes
}

function openPartition(running: Running, role: Role): OpenRegion {
  const content = contentOf(running.disk, role)
  const region: OpenRegion = {
    name: role,
    bytes: content.length,
    async read(into, position) {
      if (position < 0 || position + into.length > content.length) throw new RangeError(`${role}: outside`)
      into.set(content.subarray(position, position + into.length))
    },
    write: async (bytes, offset) => running.write({ role, offset, bytes }),
    flush: () => running.flush(role),
    dropCache: async () => undefined,
    tryLock: () => true,
    lockId: async () => undefined,
    close: async () => undefined,
  }
  return running.twist?.(region, role) ?? region
}

function runProgram(running: Running, line: string): string {
  if (line === `sfdisk --json ${DISK}`) return running.fixture.table
  if (line.startsWith('lsblk ')) return listDevices(running.fixture)
  if (line.startsWith('systemctl list-units ')) return running.isHealthy() ? '' : 'web.service loaded failed'
  if (line !== 'systemctl reboot --no-block') throw new Error(`no command here should run ${line}`)
  running.restart()
  return ''
}

function listDevices({ layout }: Fixture): string {
  const partitions = Object.values(layout.partitions).map(({ number, uuid, bytes }) => ({
    name: `${DISK}${number}`,
    pkname: DISK,
    partuuid: uuid,
    size: bytes,
  }))
  return JSON.stringify({ blockdevices: [{ name: DISK, pkname: null, partuuid: null }, ...partitions] })
}
