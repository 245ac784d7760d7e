import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { oldDebian } from './lib/old-debian.ts'
import { IS_OLD, IS_R1, imageOptions, MOUNT_CARGO, PINE, rentBox, TAKEOVERS } from './lib/takeover-box.ts'
import { takeoverCargo } from './lib/takeover-cargo.ts'

const ends = (disk: string) =>
  ['if=' + disk + ' bs=1M count=1', 'if=' + disk + ' bs=1M skip=3007'].map((words) =>
    execFileSync('sh', ['-c', `dd ${words} status=none | sha256sum`], { encoding: 'utf8' }),
  )
test('abort', { timeout: 3_600_000 }, async () => {
  const dir = mkdtempSync(join(process.cwd(), '.cache/vm/takeover-'))
  const cargo = takeoverCargo(dir)
  const kind = TAKEOVERS['Debian 12, MBR']
  const { memoryMiB, ...debian } = kind
  const old = await oldDebian(debian)
  const before = ends(old.disk)
  const own = mkdtempSync(join(process.cwd(), '.cache/vm/box-'))
  const box = await rentBox(kind, cargo, own)
  try {
    const { hijack, isUp, ok, ssh } = box
    const image = imageOptions('r1', '1.0')
    await hijack(`stage ${image}`)
    await hijack('rehearse --deadline 900 --unattended --reboot')
    await isUp(IS_R1)
    await isUp(IS_OLD)
    await ok(MOUNT_CARGO)
    await hijack('commit --reboot')
    await isUp(`${IS_R1} && pine-update hijack status | grep -q confirmed`)
    console.log(await ok('lsblk; cat /proc/swaps; pine-update hijack status; pine-update hijack abort'))
    await ssh('systemctl reboot')
    await isUp(IS_OLD)
    console.log(await ok(`lsblk; cat /proc/swaps /proc/cmdline; ${PINE} hijack status`))
    console.log(await hijack('abort'))
    console.log(await ok('cat /proc/swaps; sfdisk --list /dev/vda; sync'))
    expect(ends(box.disk)).toEqual(before)
    await ssh('systemctl reboot')
    await isUp(`${IS_OLD} && ! grep -q pine /proc/cmdline`)
    console.log(await ok(`lsblk; cat /proc/cmdline; ${PINE} hijack status`))
    await ok(MOUNT_CARGO)
    console.log(await hijack(`plan ${image}`))
  } finally {
    await box.vm.kill()
  }
})
