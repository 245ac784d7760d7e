import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { whileAlone } from '../../src/hijack/alone.ts'
import { realHost } from '../../src/host/real-host.ts'

let dir: string
let disk: string
const host = { ...realHost(), sleep: async () => undefined }
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-alone-'))
  disk = join(dir, 'disk')
  writeFileSync(disk, Buffer.alloc(512))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('one step of a takeover at a time; who is at work is named', async () => {
  const other = spawn('flock', ['--exclusive', disk, 'sh', '-c', 'echo locked; read end'])
  await once(other.stdout, 'data')
  const step = whileAlone(host, disk, async () => 'done')
  await expect(step).rejects.toMatchObject({
    code: 'BUSY',
    message: expect.stringMatching(/flock.* has been at work on/),
  })
  other.stdin.end()
  await once(other, 'close')
  expect(await whileAlone(host, disk, async () => 'done')).toBe('done')
})

test('a step that fails leaves the disk to the next one', async () => {
  const step = whileAlone(host, disk, () => Promise.reject(new Error('no room')))
  await expect(step).rejects.toThrow('no room')
  expect(await whileAlone(host, disk, async () => 'done')).toBe('done')
})
