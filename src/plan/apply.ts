import type { Digest } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import { type Facts, inactiveSlot } from '../model/facts.ts'
import type { ImageRecord } from '../model/records.ts'
import type { Plan, Step } from './step.ts'

/** What a verified manifest says of the image, as far as planning needs it. */
export interface Release {
  digest: Digest
  bytes: number
  fs: string
  version: string
  epoch: number
}

export interface ApplyOptions {
  tries: number
  reboot: boolean
  now: Date
}

/**
 * The release into the inactive slot, then the flip. Everything before `arm-slot` leaves the booted release the
 * one that boots; a power cut there costs only the work, and the next apply takes up what is already right.
 */
export function planApply(facts: Facts, release: Release, options: ApplyOptions): Plan {
  requireSafeStart(facts)
  requireBootable(release)
  const slot = inactiveSlot(facts)
  const { digest: image, bytes } = release
  const at = options.now.toISOString()
  const record: ImageRecord = { ...release, writtenAt: at }
  const trial = { slot, digest: image, version: release.version, armedAt: at, update: true }
  const steps: Step[] = [
    { kind: 'disarm-slot', slot },
    { kind: 'forget-image', slot },
    { kind: 'write-image', slot, image, bytes },
    { kind: 'flush-slot', slot },
    { kind: 'verify-image', slot, image, bytes },
    { kind: 'record-image', slot, record },
    { kind: 'record-trial', trial },
    { kind: 'arm-slot', slot, tries: options.tries, keepEtc: false },
  ]
  if (options.reboot) steps.push({ kind: 'reboot' })
  return { intent: 'apply', outcome: `${release.version} goes to slot ${slot} and boots next.`, steps }
}

function requireSafeStart(facts: Facts): void {
  const { booted } = facts
  if (!facts.loaderSeesState) {
    throw new PineError(
      'BOOT_STATE_UNSEEN',
      `the loader of this machine does not read the boot state on ${facts.disk}`,
      {
        hint: 'an update would never be booted; look at pine.st and pine.seq in /proc/cmdline',
      },
    )
  }
  if (booted !== null && !facts.boot.slots[booted].confirmed) {
    throw new PineError('TRIAL_PENDING', `the running release in slot ${booted} is still on trial`, {
      hint: 'run "pine-update confirm" or "pine-update reject" first: the other slot is the only way back',
    })
  }
}

/** Kernel and initrd are inside the image: what GRUB cannot read would only spend its tries. */
function requireBootable({ fs, version }: Release): void {
  if (fs === 'squashfs' || fs === 'ext4') return
  throw new PineError(
    'IMAGE_UNBOOTABLE',
    `the image of ${version} is ${fs}, the loader reads squashfs and ext4`,
    {
      hint: 'make the image with "pine-update image build --fs squashfs" or "--fs ext4"',
    },
  )
}
