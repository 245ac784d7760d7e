import { AREA, type AreaName, formatBootstate, isBootstateArea } from '../../../src/boot/bootstate-area.ts'
import { chooseCopy } from '../../../src/boot/env-block.ts'
import {
  openLog,
  readBootState,
  readLog,
  readMeta,
  writeBootState,
  writeMeta,
} from '../../../src/boot/grub-state.ts'
import { confirm, initialBootState } from '../../../src/model/boot-state.ts'
import { parseRecords } from '../../../src/model/records.ts'
import { type MemoryRegion, memoryRegion } from '../../support/memory-region.ts'
import { mutateBytes } from '../bytes.ts'
import { decodePatches, encodePatches, type Patch } from '../patches.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'
import { COPIES, mutateCopies, requireHarmless } from './env-block.ts'
import { LOGS, metaBytes, mutateLog, mutateMeta, RECORDS } from './records.ts'

const FRESH = formatBootstate({ state: initialBootState('a'), grubCfg: '# no script\n' })
const NAMES = Object.keys(AREA) as AreaName[]

const patch = (offset: number, bytes: Buffer): Buffer => encodePatches([{ offset, bytes }])

const SEEDS = [
  patch(AREA.env0.offset, COPIES[1] ?? Buffer.alloc(0)),
  patch(AREA.meta0.offset, metaBytes(7, RECORDS[0])),
  patch(AREA.meta1.offset, metaBytes(8, RECORDS[1])),
  patch(AREA.log.offset, LOGS[0] ?? Buffer.alloc(0)),
]

function mutateArea(input: Buffer, random: Random, donor: Buffer): Buffer {
  const patches = decodePatches(input)
  const others = [...decodePatches(donor), ...SEEDS.flatMap(decodePatches)]
  for (let left = few(random, 4); left > 0; left--) {
    const at = random.below(patches.length)
    const old = patches[at]
    if (old === undefined || random.once(4)) patches.push(changedMember(random, random.pick(others)))
    else if (random.once(6)) patches.splice(at, 1)
    else
      patches[at] = random.once(2)
        ? moved(old, random)
        : { ...old, bytes: mutateBytes(old.bytes, random, donor, 4096) }
  }
  return encodePatches(patches)
}

/** What belongs to a member, changed as its own target changes it. */
function changedMember(random: Random, donor: Patch): Patch {
  const [env = donor.bytes, , log = donor.bytes] = [COPIES[0], undefined, LOGS[0]]
  switch (random.below(4)) {
    case 0:
      return {
        offset: random.pick([AREA.env0.offset, AREA.env1.offset]),
        bytes: mutateCopies(env, random, env).subarray(0, 1024),
      }
    case 1:
      return {
        offset: AREA[random.pick(['meta0', 'meta1'])].offset,
        bytes: mutateMeta(metaBytes(3, RECORDS[1]), random, donor.bytes),
      }
    case 2:
      return { offset: AREA.log.offset + 1024 * random.below(256), bytes: mutateLog(log, random, log) }
    default:
      return { offset: random.below(FRESH.length), bytes: random.bytes(few(random, 600)) }
  }
}

function moved({ bytes }: Patch, random: Random): Patch {
  return { offset: AREA[random.pick(NAMES)].offset + random.pick([0, 0, 0, -512, 1, 511, 512, 1024]), bytes }
}

/** Where numbers end; a bit that flips does not get there, since two copies of the number must agree. */
const LAST_SEQUENCE = 99_999_999

/** Reads all there is; where there is a boot state, changes it, and reads what was written. */
async function readAndChange(region: MemoryRegion) {
  const isOurs = await isBootstateArea(region)
  const meta = await readMeta(region)
  const log = await readLog(region)
  const { state, copies } = await readBootState(region)
  const isAtEnd = state.sequence === LAST_SEQUENCE || log.at(-1)?.sequence === LAST_SEQUENCE
  if (isAtEnd) return { isOurs, meta, log, state, copies, after: undefined }
  const next = confirm(state, 'a')
  await writeBootState(region, next, state.sequence)
  await (await openLog(region)).append({ event: 'fuzzed' })
  await writeMeta(region, RECORDS[0])
  const after = {
    ...(await readBootState(region)),
    next,
    meta: await readMeta(region),
    log: await readLog(region),
  }
  return { isOurs, meta, log, state, copies, after }
}

export const bootstateArea: TargetEntry = {
  name: 'bootstate-area',
  weight: 50_000,
  slowness: 10,
  open: () => {
    const region = memoryRegion(Buffer.from(FRESH))
    return defineTarget({
      name: 'bootstate-area',
      seeds: SEEDS,
      mutate: mutateArea,
      async decode(input) {
        FRESH.copy(region.content)
        for (const { offset, bytes } of decodePatches(input))
          bytes.copy(region.content, offset % FRESH.length)
        return await readAndChange(region)
      },
      codes: ['BOOT_STATE_INVALID'],
      verdict({ isOurs, meta, log, state, copies, after }) {
        requireHarmless(state)
        if (after === undefined) return accepted('at the end of numbers')
        const isWritten = [after.state, chooseCopy(after.copies)].every(
          (found) => JSON.stringify(found) === JSON.stringify(after.next),
        )
        requireThat(isWritten, 'a change of the boot state does not count')
        requireThat(after.log.at(-1)?.event.event === 'fuzzed', 'a new line of the log is not the last')
        const records = parseRecords(after.meta)
        requireThat(
          JSON.stringify(records) === JSON.stringify(RECORDS[0]),
          'records that were written are not read',
        )
        return accepted(
          `${isOurs} ${typeof meta} ${Math.min(log.length, 9)} ${copies.env0 !== undefined} ${copies.env1 !== undefined}`,
        )
      },
    })
  },
}
