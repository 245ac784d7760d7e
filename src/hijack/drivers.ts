import { basename } from 'node:path'
import type { Host } from '../host/host.ts'

/**
 * Kernel modules that drive a device of /sys, and all it hangs on up to the bus: `virtio_blk`, `virtio_pci`. What is built
 * into the kernel has no module and is not named.
 */
export async function modulesUnder(host: Host, sysPath: string): Promise<string[]> {
  const modules = new Set<string>()
  let at = await host.realPath(`${sysPath}/device`)
  while (at?.startsWith('/sys/devices/')) {
    const module = await host.realPath(`${at}/driver/module`)
    if (module !== undefined) modules.add(basename(module))
    at = at.slice(0, at.lastIndexOf('/'))
  }
  return [...modules]
}

/** A kernel says `virtio_blk` of what lies in virtio-blk.ko.xz. */
export function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_')
}
