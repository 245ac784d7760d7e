import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { startVm } from './lib/qemu.ts'

const dir = mkdtempSync(join(tmpdir(), 'pine-qemu-'))
afterAll(() => rmSync(dir, { recursive: true }))

/** A boot sector that sends back, upper-cased by clearing bit 5, what it gets on COM1; `!` ends it by a triple fault. */
const ECHO = Buffer.from([
  ...[0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8], // wait: in 0x3fd, bit 0 = a byte is there
  ...[0xba, 0xf8, 0x03, 0xec, 0x3c, 0x21, 0x74, 0x05], // in 0x3f8; `!` leaves
  ...[0x24, 0xdf, 0xee, 0xeb, 0xeb], // and 0xdf, out, again
  ...[0x0f, 0x01, 0x1e, 0x00, 0x7e, 0xcc], // lidt of zeros, int3
])

function echoDisk(): string {
  const disk = join(dir, 'echo.disk')
  const sector = Buffer.alloc(1024 * 1024)
  ECHO.copy(sector)
  sector.writeUInt16LE(0xaa55, 510)
  writeFileSync(disk, sector)
  return disk
}

test('what is typed is answered, in order, and kept in the log', async () => {
  const serialLog = join(dir, 'serial')
  const vm = startVm({ disk: echoDisk(), memoryMiB: 64, serialLog })
  try {
    vm.send('one two')
    expect(await vm.expect(/O(N)E/, 20_000)).toBe('ONE')
    await vm.expect('TWO', 20_000)
    await expect(vm.expect('ONE', 300)).rejects.toThrow('300 ms passed before ONE was seen')
    vm.send('!')
    expect(await vm.exited).toBe(0)
    await expect(vm.expect('MORE', 20_000)).rejects.toThrow('qemu ended before MORE was seen')
    expect(await readFile(serialLog, 'utf8')).toBe(vm.output())
  } finally {
    await vm.kill()
  }
})

test('a killed machine is gone', async () => {
  const vm = startVm({ disk: echoDisk(), memoryMiB: 64, serialLog: join(dir, 'killed') })
  await vm.kill()
  expect(await vm.exited).toBe(null)
})
