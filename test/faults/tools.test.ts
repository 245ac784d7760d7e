import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
})
afterEach(() => shop.close())

function check(content: string, mode: number): void {
  mkdirSync(shop.path('health.d'))
  writeFileSync(shop.path('health.d/10-web'), content)
  chmodSync(shop.path('health.d/10-web'), mode)
}

describe('a program that fails without a word', () => {
  test.each([
    ['cannot be started', '#!/bin/sh\n', 0o644, 'EACCES'],
    ['has an interpreter that is not there', '#!/nowhere/sh\n', 0o755, 'TOOL_MISSING|not installed'],
    ['is killed', '#!/bin/sh\nkill -KILL $$\n', 0o755, 'SIGKILL, as when memory runs out'],
    ['is ended', '#!/bin/sh\nkill -TERM $$\n', 0o755, 'signal SIGTERM'],
    ['just fails', '#!/bin/sh\nexit 3\n', 0o755, 'exit code 3.*it printed no reason'],
  ])('since it %s: the reason says so', async (_why, content, mode, reason) => {
    check(content, mode)
    const { exit, stdout } = await shop.pine(`health ${ON_DISK}`)
    expect([exit, stdout]).toEqual([4, expect.stringMatching(new RegExp(reason))])
    expect(stdout).not.toContain('undefined')
  })
})

test('a disk image larger than files can be leaves no empty file in the way of the next try', async () => {
  await expect(shop.host.createSparse(shop.path('huge.img'), 2 ** 62)).rejects.toMatchObject({
    code: 'IO_FAILED',
  })
  expect(existsSync(shop.path('huge.img'))).toBe(false)
  await shop.host.createSparse(shop.path('huge.img'), 1024)
})
