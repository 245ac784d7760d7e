import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { settleFileSystem } from '../../src/host/extents.ts'
import { MiB, type OldRoot, openOldRoot, type RootFs, withoutRoot } from './old-root.ts'

const ADDON = join(import.meta.dirname, '../../dist/native', `linux-${process.arch}.node`)

let root: OldRoot | undefined
afterEach(() => {
  if (root !== undefined) thaw(root.folder)
  root?.close()
  root = undefined
})

function open(fs: RootFs): OldRoot {
  root = openOldRoot(fs, { bytes: 512 * MiB })
  return root
}

/** False where it was not frozen. */
function thaw(folder: string): boolean {
  return spawnSync('fsfreeze', ['--unfreeze', folder]).status === 0
}

/** What is read of a file by somebody who does not look at the journal. */
function readLikeGrub({ disk, partitionOffset }: OldRoot, name: string): string {
  const { stdout } = spawnSync('debugfs', ['-R', `cat /${name}`, `${disk}?offset=${partitionOffset}`])
  return stdout.toString()
}

function writeDurably(path: string, content: string): void {
  const fd = openSync(path, 'w')
  writeSync(fd, content)
  fsyncSync(fd)
  closeSync(fd)
}

describe('a file system that comes to rest', () => {
  const reason = withoutRoot('ext4')
  if (reason !== undefined) console.log(`skipped, ${reason}: settling ext4`)

  test.skipIf(reason !== undefined)('ext4: a file is there for who reads no journal', async () => {
    const old = open('ext4')
    writeDurably(`${old.folder}/grubenv`, 'next_entry=pine\n')
    expect(readLikeGrub(old, 'grubenv')).toBe('')
    await settleFileSystem(old.folder)
    expect(readLikeGrub(old, 'grubenv')).toBe('next_entry=pine\n')
    // It was thawed.
    expect(thaw(old.folder)).toBe(false)
    writeDurably(`${old.folder}/other`, 'x')
    await settleFileSystem(`${old.folder}/other`)
    expect(readLikeGrub(old, 'other')).toBe('x')
  })

  test.skipIf(withoutRoot('xfs') !== undefined)('xfs: it goes on afterwards', async () => {
    const old = open('xfs')
    writeDurably(`${old.folder}/grubenv`, 'x')
    await settleFileSystem(old.folder)
    expect(thaw(old.folder)).toBe(false)
  })

  test.skipIf(process.getuid?.() !== 0)('one that cannot be frozen has no journal either', async () => {
    await settleFileSystem('/dev/shm')
  })

  test.skipIf(reason !== undefined)('one that somebody else has frozen stays frozen', async () => {
    const old = open('ext4')
    execFileSync('fsfreeze', ['--freeze', old.folder])
    await expect(settleFileSystem(old.folder)).rejects.toMatchObject({ code: 'IO_FAILED' })
    expect(thaw(old.folder)).toBe(true)
  })

  test.skipIf(reason !== undefined)(
    'a process that is killed when it has just frozen it',
    async (context) => {
      if (spawnSync('cc', ['--version']).error !== undefined) context.skip('cc is not installed')
      const old = open('ext4')
      const killer = join(old.disk, '../killer')
      writeFileSync(`${killer}.c`, KILLER)
      execFileSync('cc', ['-shared', '-fPIC', `${killer}.c`, '-o', `${killer}.so`])
      const script = `require(${JSON.stringify(ADDON)}).freezeThaw(fs.openSync(${JSON.stringify(old.folder)}))`
      const env = { ...process.env, LD_PRELOAD: `${killer}.so` }
      const ran = spawnSync(process.execPath, ['-e', script], { env, encoding: 'utf8' })
      expect(ran.signal, ran.stderr).toBe('SIGKILL')
      await setTimeout(500)
      expect(thaw(old.folder)).toBe(false)
      writeDurably(`${old.folder}/file`, 'x')
      expect(readFileSync(`${old.folder}/file`, 'utf8')).toBe('x')
    },
  )
})

/** Stands before the C library's: the process ends with the freeze. */
const KILLER = `#define _GNU_SOURCE
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  int result = syscall(SYS_ioctl, fd, request, argument);
  if (request == FIFREEZE) kill(getpid(), SIGKILL);
  return result;
}
`
