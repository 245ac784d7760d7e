import { expect } from 'vitest'
import { IS_OLD, IS_R1, imageOptions, MOUNT_CARGO, type TakeoverBox } from './takeover-box.ts'

const IS_R2 = 'test -e /usr/share/pine-test/r2'

/** What somebody who looks from outside would miss. */
async function reachability(box: TakeoverBox): Promise<string> {
  const routes = 'grep -o "via [^ ]*" | sort -u'
  return box.ok(
    `hostname; ip -o addr show scope global | awk '{ print $4 }' | sort; ip route show default | ${routes}; ip -6 route show default | ${routes}; cat /etc/machine-id`,
  )
}

/** From the first look to an update of the new system. */
export async function takeOver(box: TakeoverBox): Promise<void> {
  const { hijack, isUp, ok, ssh } = box
  const image = imageOptions('r1', '1.0')
  const before = await reachability(box)
  console.log(await ok('df -h /; free -m; lsblk'))
  console.log(await hijack(`plan ${image}`))
  console.log(await hijack(`stage ${image}`))
  expect(await box.stage()).toMatchObject({ stage: 'staged' })
  console.log(await hijack('rehearse --deadline 900 --reboot'))

  await isUp(IS_R1)
  console.log(await ok('pine-update status; pine-update hijack status'))
  expect(await reachability(box)).toBe(before)
  await ssh('pine-update confirm')
  await isUp(IS_OLD)
  expect(await box.stage()).toMatchObject({ stage: 'rehearsed' })
  await ok(MOUNT_CARGO)
  console.log(await hijack('commit --reboot'))

  await isUp(`${IS_R1} && pine-update hijack status | grep -q confirmed`)
  expect(await reachability(box)).toBe(before)
  console.log(await ok('pine-update status; pine-update hijack reclaim'))
  console.log(await ok('pine-update hijack reclaim --yes; lsblk; df -h /var'))
  await ok(`${MOUNT_CARGO}; pine-update apply /run/cargo/r2.bundle`)
  await ssh('systemctl reboot')
  await isUp(`${IS_R2} && pine-update status --json | grep -q '"trial": null'`)
  expect(await reachability(box)).toBe(before)
  console.log(await ok('pine-update status'))
}

const HOUR_MS = 3_600_000

/** With one command; then somebody looks again. */
export async function takeOverByItself(box: TakeoverBox): Promise<void> {
  const before = await reachability(box)
  console.log(await box.hijack(`stage --auto --deadline 900 ${imageOptions('r1', '1.0')}`))
  await box.isUp(`${IS_R1} && pine-update hijack status | grep -q reclaimed`, HOUR_MS)
  expect(await reachability(box)).toBe(before)
  // Its service has removed itself.
  console.log(await box.ok('pine-update status; ! ls /etc/systemd/system/pine-update-reclaim.service'))
}
