import type { Check } from '../core/check.ts'
import type { Digest } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { Facts } from '../model/facts.ts'

/** What a verified manifest says of the image, or of the tree, as far as planning needs it. */
export interface Release {
  digest: Digest
  bytes: number
  fs: string
  version: string
  epoch: number
}

/** What the state partition of a running machine has left. */
export interface StateSpace {
  writable: boolean
  freeBytes: number
}

/** Room for what the first boot of a release writes: its changes in /etc and what is new in /var. */
const STATE_BYTES = 16 * 1024 * 1024

/** What must hold before anything is written; `state` is undefined for a disk that does not run. */
export function checkStart(facts: Facts, release: Release, state: StateSpace | undefined): Check[] {
  const checks = [checkLoader(facts), checkTrial(facts), checkFileSystem(release)]
  return state === undefined ? checks : [...checks, checkState(state)]
}

function checkLoader({ loaderSeesState, disk, boot, live }: Facts): Check {
  const found = live ? `reads the boot state, sequence ${boot.sequence}` : 'this disk does not run'
  if (loaderSeesState) return { name: 'loader', found }
  const problem = new PineError(
    'BOOT_STATE_UNSEEN',
    `the loader of this machine does not read the boot state on ${disk}`,
    { hint: 'an update would never be booted; look at pine.st and pine.seq in /proc/cmdline' },
  )
  return { name: 'loader', found: 'does not read the boot state', problem }
}

function checkTrial({ booted, boot }: Facts): Check {
  const name = 'running release'
  if (booted === null) return { name, found: 'never started' }
  if (boot.slots[booted].confirmed) return { name, found: `slot ${booted}, confirmed` }
  const problem = new PineError('TRIAL_PENDING', `the running release in slot ${booted} is still on trial`, {
    hint: 'run "pine-update confirm" or "pine-update reject" first: the other slot is the only way back',
  })
  return { name, found: `slot ${booted}, on trial`, problem }
}

/** Kernel and initrd are inside the image: what GRUB cannot read would only spend its tries. */
function checkFileSystem({ fs, version }: Release): Check {
  const name = 'file system'
  if (fs === 'squashfs' || fs === 'ext4' || fs === 'tree') return { name, found: fs }
  const problem = new PineError(
    'IMAGE_UNBOOTABLE',
    `the image of ${version} is ${fs}, the loader reads squashfs and ext4`,
    { hint: 'make the image with "pine-update image build --fs squashfs" or "--fs ext4"' },
  )
  return { name, found: fs, problem }
}

function checkState({ writable, freeBytes }: StateSpace): Check {
  const name = 'state partition'
  const found = `${formatBytes(freeBytes)} free, needs ${formatBytes(STATE_BYTES)}`
  if (!writable) {
    const problem = new PineError('STATE_READ_ONLY', 'the state partition does not take a write', {
      hint: 'look at dmesg; a restart checks and repairs its file system',
    })
    return { name, found: 'read-only', problem }
  }
  if (freeBytes >= STATE_BYTES) return { name, found }
  const problem = new PineError(
    'STATE_FULL',
    `the state partition has ${freeBytes} bytes free, the new release needs ${STATE_BYTES} for its first boot`,
    { hint: 'remove something in /var, /home or /root' },
  )
  return { name, found, problem }
}
