import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contentOf, type Disk, makeDisk, writePiece } from '../disk.ts'
import { type Recording, recordFlush, recordWrite, startRecording } from '../recording.ts'
import { type DiskFile, openFuse } from './fuse-disk.ts'
import { makeInitramfs, type Start, type Started, startSlot } from './initramfs.ts'
import type { SlotStart } from './phases.ts'
import { makeReleases } from './trees.ts'

/** Two releases, an initramfs and a state partition on a real disk: whatever is started here really runs. */
export interface Lab {
  /** An empty state partition, as `disk build` makes it. */
  blank(): Buffer
  /** Starts a slot with that content of the state partition. The result is what is there afterwards. */
  start(content: Uint8Array, start: SlotStart, edits?: string): Promise<Started & { content: Buffer }>
  /** The same, and records every write and flush of the file system. */
  record(content: Uint8Array, start: SlotStart): Promise<{ started: Started; recording: Recording }>
  close(): void
}

const STATE_BYTES = 16 * 1024 * 1024

/** Why no lab can be made here; undefined where one can. */
export function whyNoLab(): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting file systems needs root'
  if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse'
  if (!readFileSync('/proc/filesystems', 'utf8').includes('overlay')) return 'this kernel has no overlays'
  try {
    execFileSync('losetup', ['--find'], { stdio: 'pipe' })
    execFileSync('unshare', ['--mount', '--pid', '--fork', 'true'], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return `this machine does not allow it: ${String(error).split('\n').join(' ')}`
  }
}

/** `system`: folder with the scripts of src/system, or others in their place. */
export function openLab(system: string): Lab {
  const dir = mkdtempSync(join(tmpdir(), 'pine-state-'))
  const path = (name: string) => join(dir, name)
  makeInitramfs(path('root'), system)
  const releases = makeReleases(dir)
  const file = path('state.img')
  writeFileSync(file, Buffer.alloc(STATE_BYTES))
  mkdirSync(path('fuse'))
  const remove = () => rmSync(dir, { recursive: true, force: true })
  process.once('exit', remove)
  const run = (state: string, { image, ...rest }: SlotStart, more: Pick<Start, 'edits' | 'fuse'>) => {
    const other = image === 'old' ? releases.new : releases.old
    const files = { root: path('root'), state, image: releases[image], other }
    return startSlot({ ...files, ...rest, ...more }, path('cmdline'))
  }
  return {
    blank() {
      const blank = path('blank.img')
      writeFileSync(blank, Buffer.alloc(STATE_BYTES))
      execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', blank])
      return readFileSync(blank)
    },
    async start(content, start, edits = '') {
      writeFileSync(file, content)
      const started = await run(file, start, { edits })
      return { ...started, content: readFileSync(file) }
    },
    async record(content, start) {
      const disk = makeDisk(new Map([['state', content]]))
      const recording = startRecording(disk)
      const fuse = openFuse(recorded(disk, recording))
      const serving = fuse.serve()
      try {
        const place = { fd: fuse.fd, folder: path('fuse') }
        return { started: await run(path('fuse/disk'), start, { fuse: place }), recording }
      } finally {
        fuse.close()
        await serving
      }
    },
    close() {
      process.off('exit', remove)
      remove()
    },
  }
}

function recorded(disk: Disk, recording: Recording): DiskFile {
  const content = contentOf(disk, 'state')
  return {
    bytes: content.length,
    read: (offset, bytes) => content.subarray(offset, offset + bytes),
    write(offset, bytes) {
      const piece = { role: 'state', offset, bytes } as const
      recordWrite(recording, piece)
      writePiece(disk, piece)
    },
    flush: () => recordFlush(recording, 'state')(),
  }
}
