import type { CoreImage } from '../../src/boot/grub-core.ts'
import { type Carving, realCarving } from '../../src/host/extents.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'

/** What a program on the box calls the disk. */
export const DEVICE = '/dev/vda'

interface Places {
  disk: string
  /** Where its / is mounted. */
  folder: string
}

/** Only what a takeover writes to is the box's: all else is where it is on this machine. */
function mapper({ folder, disk }: Places): (path: string) => string {
  return (path) => {
    if (path === DEVICE) return disk
    if (path === '/') return folder
    return /^\/(pine-update|boot|etc\/systemd)(\/|$)/.test(path) ? folder + path : path
  }
}

/** The machine as a program on it sees it. */
export function hostIn(places: Places, ours: CoreImage): Host {
  const host = realHost()
  const at = mapper(places)
  // As the archive brings it: making one takes a second.
  const shipped = new Map([
    ['boot.img', ours.boot],
    ['core.img', ours.core],
  ])
  const loaderFile = (path: string) => shipped.get(/\/dist\/loader\/(\w+\.img)$/.exec(path)?.[1] ?? '')
  return {
    ...host,
    exec: (command, args, options) =>
      host.exec(
        command,
        args.map((arg) => (arg === '/' ? arg : at(arg))),
        options,
      ),
    openRegion: (path, options) => host.openRegion(at(path), options),
    readFile: async (path) => loaderFile(path) ?? host.readFile(at(path)),
    replaceFile: (path, content, mode) => host.replaceFile(at(path), content, mode),
    realPath: (path) => host.realPath(at(path)),
    listFolder: (path) => host.listFolder(at(path)),
    kindOf: (path) => host.kindOf(at(path)),
    freeBytes: (path) => host.freeBytes(at(path)),
    freeInodes: (path) => host.freeInodes(at(path)),
    removeFile: (path) => host.removeFile(at(path)),
    createFile: (path) => host.createFile(at(path)),
    rename: (from, to) => host.rename(at(from), at(to)),
    createSparse: (path, bytes) => host.createSparse(at(path), bytes),
  }
}

export function carvingIn(places: Places): Carving {
  const carving = realCarving()
  const at = mapper(places)
  return {
    mapExtents: (path) => carving.mapExtents(at(path)),
    allocateFile: (path, bytes) => carving.allocateFile(at(path), bytes),
    growFile: (path, bytes) => carving.growFile(at(path), bytes),
    punchHole: (path, offset, bytes) => carving.punchHole(at(path), offset, bytes),
    setImmutable: (path, on) => carving.setImmutable(at(path), on),
    settleFileSystem: (path) => carving.settleFileSystem(at(path)),
    fileSystemBytes: (path) => carving.fileSystemBytes(at(path)),
  }
}
