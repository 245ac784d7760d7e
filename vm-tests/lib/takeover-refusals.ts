import { expect } from 'vitest'
import { imageOptions, MOUNT_CARGO, PINE, type TakeoverBox } from './takeover-box.ts'
import { contentOf, expectSame } from './takeover-failures.ts'

/** A machine that is not to be taken over. */
interface Refusal {
  what: string
  /** In a shell, before and after. */
  make: string
  undo: string
  reason: RegExp
}

/** A /boot/grub on a device of the device mapper, which lsblk(8) takes for what its UUID says. */
function onMapped(uuid: string): Pick<Refusal, 'make' | 'undo'> {
  const make = [
    'truncate -s 64M /run/boot.img',
    'loop=$(losetup -f --show /run/boot.img)',
    `dmsetup create mapped --uuid ${uuid} --table "0 131072 linear $loop 0"`,
    'mkfs.ext4 -q /dev/mapper/mapped',
    'mount /dev/mapper/mapped /mnt',
    'cp -a /boot/grub/. /mnt',
    'umount /mnt',
    'mount /dev/mapper/mapped /boot/grub',
  ]
  const undo = 'umount /boot/grub; dmsetup remove mapped; losetup -D; rm /run/boot.img'
  return { make: make.join(' && '), undo }
}

const AWAY = '/run/away'
const REFUSALS: readonly Refusal[] = [
  {
    what: 'there is too little space',
    make: 'fallocate -l $(($(df -B1 --output=avail / | tail -n 1) - 600000000)) /full',
    undo: 'rm /full',
    reason: /free, .* are needed/,
  },
  {
    what: 'nobody can log in with a key',
    make: `mv /root/.ssh/authorized_keys ${AWAY}`,
    undo: `cp -a ${AWAY} /root/.ssh/authorized_keys; rm ${AWAY}`,
    reason: /log in/,
  },
  {
    what: 'it is a container',
    make: 'mkdir -p /run/systemd && echo lxc >/run/systemd/container',
    undo: 'rm /run/systemd/container',
    reason: /this is a container \(lxc\)/,
  },
  {
    what: 'another loader starts it',
    make: `head -c 440 /dev/vda >${AWAY} && dd if=/dev/urandom of=/dev/vda bs=440 count=1 conv=fsync,notrunc status=none`,
    undo: `dd if=${AWAY} of=/dev/vda bs=440 count=1 conv=fsync,notrunc status=none; rm ${AWAY}`,
    reason: /the boot sector of \/dev\/vda is not GRUB's/,
  },
  {
    what: 'its GRUB reads no entries of others',
    make: `cp -a /boot/grub/grub.cfg ${AWAY} && sed -i /custom.cfg/d /boot/grub/grub.cfg`,
    undo: `cp -a ${AWAY} /boot/grub/grub.cfg; rm ${AWAY}`,
    reason: /does not read custom.cfg/,
  },
  {
    what: '/boot is on LVM',
    ...onMapped('LVM-test'),
    reason: /is on ext4 on lvm on .*where GRUB cannot write/,
  },
  {
    what: '/boot is encrypted',
    ...onMapped('CRYPT-LUKS2-test'),
    reason: /is on ext4 on crypt on .*where GRUB cannot write/,
  },
  {
    what: '/boot is on a file system that GRUB does not write to',
    make: 'mount -t tmpfs none /mnt && cp -a /boot/grub/. /mnt && mount --bind /mnt /boot/grub && umount /mnt',
    undo: 'umount /boot/grub',
    reason: /is on tmpfs.*where GRUB cannot write/,
  },
]

/** Each is refused before anything is written, and says why. */
export async function refuseAll(box: TakeoverBox): Promise<void> {
  await box.ok(MOUNT_CARGO)
  const before = await contentOf(box)
  for (const refusal of REFUSALS) await refuseOnce(box, refusal)
  await expectSame(box, before)
  expect(await box.stage()).toMatchObject({ stage: null })
  await box.ok('test ! -e /pine-update')
}

/** In one login: without its key there is no second one. */
async function refuseOnce({ ssh }: TakeoverBox, { what, make, undo, reason }: Refusal): Promise<void> {
  const stage = `${PINE} hijack stage ${imageOptions('r1', '1.0')}`
  const { exit, text } = await ssh(`${make} || exit 99; ${stage}; code=$?; ${undo}; exit $code`)
  expect({ exit, text }, what).toEqual({ exit: 3, text: expect.stringMatching(reason) })
  console.log(`${what}: ${text}`)
}
