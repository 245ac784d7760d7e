import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { BootState } from '../model/boot-state.ts'
import { AREA, type AreaName } from './bootstate-area.ts'
import { decodeEnvBlock, type EnvCopies, encodeEnvBlock, newestCopy } from './env-block.ts'
import { decodeLog, encodeLogLine, type LogEvent, type LogLine, logLineOffset } from './event-log.ts'
import { decodeMeta, encodeMeta, type Meta } from './meta.ts'

/** What both copies of the boot state say, and what counts. */
export interface ReadBootState {
  state: BootState
  copies: EnvCopies
}

const PAGE_BYTES = 4096

/**
 * One member. Zeros stand for what cannot be read, and no copy, record or line is made of zeros: there is another copy, and
 * a disk mends a bad sector when it is written.
 */
async function readArea(bootstate: Region, name: AreaName): Promise<Buffer> {
  const { offset, bytes } = AREA[name]
  const content = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += PAGE_BYTES) {
    const page = content.subarray(at, at + PAGE_BYTES)
    try {
      await bootstate.read(page, offset + at)
    } catch (error) {
      if (!(error instanceof PineError) || error.code !== 'IO_FAILED') throw error
      page.fill(0)
    }
  }
  return content
}

async function readCopies(bootstate: Region): Promise<EnvCopies> {
  const env0 = decodeEnvBlock(await readArea(bootstate, 'env0'))
  return { env0, env1: decodeEnvBlock(await readArea(bootstate, 'env1')) }
}

/** The boot state that was written last. Throws `BOOT_STATE_INVALID` where neither copy is usable. */
export async function readBootState(bootstate: Region): Promise<ReadBootState> {
  const copies = await readCopies(bootstate)
  const state = newestCopy(copies)
  if (state !== undefined) return { state, copies }
  throw new PineError(
    'BOOT_STATE_INVALID',
    `${bootstate.name} has no usable copy of the boot state, expected two`,
    {
      hint: 'the loader boots whichever slot loads and counts nothing; restore the partition from a backup or install anew',
    },
  )
}

const COPIES = ['env0', 'env1'] as const

async function writeCopy(bootstate: Region, name: keyof EnvCopies, block: Uint8Array): Promise<void> {
  await bootstate.write(block, AREA[name].offset)
  await bootstate.flush()
}

/**
 * Writes both copies, one after the other, and reads them back. Throws `BUSY` where the state is not the one that `next`
 * was made from, `BOOT_STATE_INVALID` where there is none.
 */
export async function writeBootState(
  bootstate: Region,
  next: BootState,
  expectSequence: number,
): Promise<void> {
  const { state, copies } = await readBootState(bootstate)
  if (state.sequence !== expectSequence) {
    throw new PineError('BUSY', `the boot state has sequence ${state.sequence}, expected ${expectSequence}`, {
      hint: 'another pine-update changed it meanwhile; run the command again',
    })
  }
  if (next.sequence <= expectSequence) throw new Error(`sequence ${next.sequence} does not grow`)
  // A copy that an earlier power cut left behind, or torn, is mended first: below, the other one has to hold what counts.
  for (const name of COPIES)
    if (copies[name]?.sequence !== state.sequence) await writeCopy(bootstate, name, encodeEnvBlock(state))
  const block = encodeEnvBlock(next)
  // Atomic: all that differs is within one sector, and a sector is old or new. Should a disk tear it nevertheless, its
  // pine_seq and pine_end differ and the other copy counts. A cut before env0 is there leaves the old state, a cut after
  // it the new one: the loader prefers env0, user space the higher sequence.
  for (const name of COPIES) await writeCopy(bootstate, name, block)
  await bootstate.dropCache()
  for (const name of COPIES) {
    if (block.equals(await readArea(bootstate, name))) continue
    throw new PineError(
      'IO_FAILED',
      `${name} of ${bootstate.name} reads back differently from what was written`,
      {
        hint: 'the disk does not keep what is written to it: look at dmesg and smartctl',
      },
    )
  }
}

type MetaName = 'meta0' | 'meta1'

async function readMetaCopies(bootstate: Region): Promise<Record<MetaName, Meta | undefined>> {
  const meta0 = decodeMeta(await readArea(bootstate, 'meta0'))
  return { meta0, meta1: decodeMeta(await readArea(bootstate, 'meta1')) }
}

function newestMeta({ meta0, meta1 }: Record<MetaName, Meta | undefined>): MetaName {
  return (meta1?.sequence ?? -1) > (meta0?.sequence ?? -1) ? 'meta1' : 'meta0'
}

/** The value written last by `writeMeta`; undefined where no copy is readable. */
export async function readMeta(bootstate: Region): Promise<unknown> {
  const copies = await readMetaCopies(bootstate)
  return copies[newestMeta(copies)]?.value
}

/** Keeps one JSON value of at most 64 KiB. A power cut leaves the old value or the new one. */
export async function writeMeta(bootstate: Region, value: unknown): Promise<void> {
  const copies = await readMetaCopies(bootstate)
  const newest = newestMeta(copies)
  const sequence = (copies[newest]?.sequence ?? 0) + 1
  // Over the older copy: while this one is torn, the newest is whole.
  const older = newest === 'meta0' ? 'meta1' : 'meta0'
  await bootstate.write(encodeMeta(sequence, value), AREA[older].offset)
  await bootstate.flush()
}

/** Oldest first, at most 256 lines. */
export async function readLog(bootstate: Region): Promise<LogLine[]> {
  return decodeLog(await readArea(bootstate, 'log'))
}

export interface EventLog {
  /** Adds a line over the oldest one. A line is cut where it does not fit; a power cut loses at most this line. */
  append(event: LogEvent): Promise<void>
}

/** Reads the log once, to find its end; a line then costs one write. For whoever has the lock. */
export async function openLog(bootstate: Region): Promise<EventLog> {
  let sequence = (await readLog(bootstate)).at(-1)?.sequence ?? 0
  return {
    async append(event) {
      // Also where the write fails: what it left behind spoils no other line.
      sequence += 1
      await bootstate.write(encodeLogLine({ sequence, event }), AREA.log.offset + logLineOffset(sequence))
      await bootstate.flush()
    },
  }
}
