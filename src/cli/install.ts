import { Command } from 'commander'
import { EFI_PROGRAM } from '../boot/grub-efi-partition.ts'
import { describeDisk } from '../build/disk.ts'
import { PineError } from '../core/error.ts'
import { usesOf } from '../host/in-use.ts'
import type { Layout } from '../model/layout.ts'
import { type ContentOptions, contentOptions, diskRequest, printDryRun, writeContent } from './disk.ts'
import { type Io, printResult } from './io.ts'
import { examples } from './options.ts'

/** On a disk, where the default of temporary files is often memory. */
const WORK_DIR = '/var/tmp'

interface InstallOptions extends ContentOptions {
  disk: string
  yes?: boolean
}

export function installCommand(io: Io): Command {
  const command = contentOptions(
    new Command('install')
      .description(
        'Put layout and image on an idle disk. Everything on it is lost; a disk in use is refused.',
      )
      .requiredOption('--disk <device>', 'the whole disk, such as /dev/sdb')
      .option('--yes', 'erase the disk without asking'),
  ).action((options: InstallOptions) => runInstall(io, options))
  return examples(command, [
    'install --disk /dev/sdb --layout layouts/gpt-bios.sfdisk --image web-1.0.squashfs \\\n' +
      '      --compatible web --release 1.0 --dry-run',
  ])
}

async function runInstall(io: Io, options: InstallOptions): Promise<void> {
  const diskBytes = await idleDiskBytes(io, options.disk)
  const request = {
    ...(await diskRequest(io, options, { target: options.disk, workDir: WORK_DIR })),
    diskBytes,
  }
  if (options.dryRun === true) return printDryRun(io, request, options)
  if (options.yes !== true) {
    throw new PineError('USAGE', `this erases ${options.disk}`, {
      hint: 'look at it with --dry-run; when it is the right disk, add --yes',
    })
  }
  const layout = await writeContent(io, request)
  const text = [describeDisk(layout, request), ...firmwareAdvice(layout, options.disk)].join('\n')
  printResult(io, { json: { disk: options.disk, layout }, text }, options)
}

/** The firmware's own list of what to start is in the machine, not on the disk, which may be for another machine. */
function firmwareAdvice({ partitions: { esp } }: Layout, disk: string): string[] {
  if (esp === undefined) return []
  const loader = `'\\${EFI_PROGRAM.replaceAll('/', '\\')}'`
  return [
    'UEFI firmware finds the loader by itself. To put it first in the list of this machine:',
    `  efibootmgr --create --disk ${disk} --part ${esp.number} --label pine-update --loader ${loader}`,
  ]
}

async function idleDiskBytes(io: Io, disk: string): Promise<number> {
  const kind = await io.host.kindOf(disk)
  if (kind !== 'device') {
    throw new PineError('USAGE', `${disk} is not a block device`, {
      hint:
        kind === 'file' ? 'to make an image file, use "pine-update disk build"' : 'see lsblk for the disks',
    })
  }
  const uses = await usesOf(io.host, disk)
  if (uses.length > 0) {
    throw new PineError('DISK_IN_USE', `${disk} is in use: ${uses.join('; ')}`, {
      hint: 'unmount it first, and check that it is the disk you mean',
    })
  }
  const region = await io.host.openRegion(disk)
  await region.close()
  return region.bytes
}
