import { expect } from 'vitest'
import { differingLines, LIST_FILES } from './old-files.ts'
import { IS_OLD, imageOptions, MOUNT_CARGO, PINE, rehearseWell, type TakeoverBox } from './takeover-box.ts'

const SHRINK_MS = 30 * 60_000
const BOOT_ID = 'cat /proc/sys/kernel/random/boot_id'

/** What is free in its root is too scattered: it is pushed together at a restart, and then all goes as elsewhere. */
export async function shrinkFirst(box: TakeoverBox): Promise<void> {
  const { hijack, isUp, ok, ssh } = box
  const image = `${imageOptions('r1', '1.0')} --state-size 64M`
  const step = stopwatch()
  console.log(await ok('df -m /; free -m'))
  const files = await ok(LIST_FILES)
  step('files listed')
  const refused = await ssh(`${PINE} hijack stage ${image}`)
  console.log(refused.text)
  expect(refused).toMatchObject({ exit: 3, text: expect.stringContaining('too scattered') })
  expect(refused.text).toContain('hijack stage --shrink')
  console.log(await hijack(`stage ${image} --shrink`))
  step('refused, and shown the way out')
  expect(await box.stage()).toMatchObject({ stage: 'begun', shrink: null })

  const { text: before } = await ssh(BOOT_ID)
  console.log(await hijack(`stage ${image} --shrink --yes`))
  expect(await box.stage()).toMatchObject({ shrink: { kind: 'waiting' } })
  console.log(await ok('du -sm /run/initramfs; grep /run/initramfs /proc/self/mountinfo; free -m'))
  step('armed')
  await ssh('systemctl reboot')
  await isUp(`${IS_OLD} && [ "$(${BOOT_ID})" != ${before} ]`, SHRINK_MS)
  step('shrunk, grown and started again')
  expect(await box.stage()).toMatchObject({ stage: 'begun', shrink: { kind: 'shrunk' } })
  console.log(await ok('cat /pine-update/shrink.log; cat /proc/cmdline; df -m /'))
  expect(differingLines(withoutLoader(files), withoutLoader(await ok(LIST_FILES)))).toEqual([])
  step('the files are the same')

  await ok(MOUNT_CARGO)
  console.log(await hijack(`stage ${image}`))
  expect(await box.stage()).toMatchObject({ stage: 'staged' })
  step('staged')
  await rehearseWell(box)
  expect(await box.stage()).toMatchObject({ stage: 'rehearsed' })
  step('rehearsed')
  await hijack('abort')
  expect(differingLines(files, await ok(LIST_FILES))).toEqual([])
  expect((await ssh('test -e /pine-update')).exit).toBe(1)
}

/** The entry of the start that repairs what there is to repair; the next stage, or abort, takes it away. */
function withoutLoader(files: string): string {
  return files
    .split('\n')
    .filter((line) => !/ \/?boot\/grub(\/custom\.cfg)?( |$)/.test(line))
    .join('\n')
}

function stopwatch(): (what: string) => void {
  const start = performance.now()
  return (what) => console.log(`${Math.round((performance.now() - start) / 1000)} s: ${what}`)
}
