import { expect } from 'vitest'
import { differingLines, LIST_FILES } from './old-files.ts'
import { IS_OLD, imageOptions, MOUNT_CARGO, rehearseWell, type TakeoverBox } from './takeover-box.ts'

/** A new system that is no good, and what the old one says of it afterwards. */
interface Failure {
  what: string
  image: string
  append?: string
  deadline: number
  stage: 'failed' | 'silent'
  reason: RegExp
}

const FAILURES: readonly Failure[] = [
  {
    what: 'its kernel panics',
    image: 'panic',
    deadline: 900,
    stage: 'silent',
    reason: /did not get as far as its health checks/,
  },
  { what: 'it hangs', image: 'hang', deadline: 150, stage: 'silent', reason: /did not get as far/ },
  {
    what: 'it has no network',
    image: 'r1',
    append: 'modprobe.blacklist=virtio_net',
    deadline: 900,
    stage: 'failed',
    reason: /gateway: there is no default route/,
  },
  {
    what: 'nobody confirms it',
    image: 'r1',
    deadline: 300,
    stage: 'silent',
    reason: /up and healthy .* nobody ran "pine-update confirm"/,
  },
]

/** The old system's files, and all of the disk that is none of them. */
export async function contentOf({ ok, rootOffset }: TakeoverBox): Promise<string> {
  // Boot sector, table and the old loader, and the second copy of the table.
  const outside = `{ head -c ${rootOffset} /dev/vda; tail -c 1M /dev/vda; } | sha256sum`
  return `${await ok(LIST_FILES)}\noutside ${await ok(outside)}`
}

export async function expectSame(box: TakeoverBox, before: string): Promise<void> {
  expect(differingLines(before, await contentOf(box))).toEqual([])
}

/** One after another on the same machine: whatever goes wrong, the old system is there as it was, and a next try works. */
export async function failInEveryWay(box: TakeoverBox): Promise<void> {
  const before = await contentOf(box)
  for (const failure of FAILURES) await failOnce(box, failure, before)
  await failAfterCommit(box)
}

async function failOnce(box: TakeoverBox, failure: Failure, before: string): Promise<void> {
  const { hijack, isUpAgain, ok } = box
  console.log(failure.what)
  await ok(MOUNT_CARGO)
  await hijack(`stage ${imageOptions(failure.image, '1.0', failure.append)}`)
  await isUpAgain(IS_OLD, () => hijack(`rehearse --deadline ${failure.deadline} --reboot`))
  const { stage, reason } = await box.stage()
  expect({ stage, reason }).toEqual({ stage: failure.stage, reason: expect.stringMatching(failure.reason) })
  console.log(await hijack('status'))
  // Nothing but the entry of the rehearsal, before it is given up; and nothing at all after.
  const changed = differingLines(before, await contentOf(box))
  expect(changed.filter((line) => !line.includes('boot/grub/custom.cfg'))).toEqual([])
  await hijack('abort')
  expect(await box.stage()).toMatchObject({ stage: null })
  await expectSame(box, before)
}

/** A good try up to the start after the commit. */
export async function failAfterCommit(box: TakeoverBox): Promise<void> {
  const before = await contentOf(box)
  const { hijack, isUpAgain, ok, ssh } = box
  console.log('it cannot be loaded any more after the commit')
  await ok(MOUNT_CARGO)
  const staged = JSON.parse(await hijack(`stage --json ${imageOptions('r1', '1.0')} 2>/dev/null`))
  await rehearseWell(box)
  await hijack('commit')
  const { offset } = staged.parts.find(({ name }: { name: string }) => name === 'rootfs-a')
  await ok(`dd if=/dev/zero of=/dev/vda bs=4096 count=1 seek=${offset / 4096} conv=fsync status=none`)
  await isUpAgain(IS_OLD, () => ssh('systemctl reboot'))
  const { stage, reason } = await box.stage()
  expect({ stage, reason }).toEqual({
    stage: 'committed',
    reason: expect.stringMatching(/could not be loaded/),
  })
  await hijack('abort')
  await expectSame(box, before)
  // Nothing of ours is left to start it.
  await isUpAgain(IS_OLD, () => ssh('systemctl reboot'))
  await expectSame(box, before)
}
