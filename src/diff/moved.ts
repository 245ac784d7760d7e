import type { Codecs } from '../core/codecs.ts'
import { type Elf, findElf } from './elf.ts'
import { listRuns, type MovedRun } from './moved-runs.ts'
import { invertMap, listDiagonals, moveMap, pruneMap } from './moves.ts'
import { countUses, settleRuns } from './settle.ts'
import { pairSections, type SectionPair } from './shapes.ts'

export interface MovedFile {
  readonly runs: readonly MovedRun[]
  readonly map: Float64Array
}

type MovingCodecs = Pick<Codecs, 'diff' | 'adjust'>

/**
 * Two builds of one program: where code has moved, the addresses in it have changed with it. A first difference tells
 * what has moved where; the second one compares what numbers point to in place of the numbers.
 * Undefined where one of the files is no ELF file, or not for the same machine.
 */
export async function compareBuilds(
  [old, now]: readonly [Buffer, Buffer],
  minCopyBytes: number,
  codecs: MovingCodecs,
): Promise<MovedFile | undefined> {
  const [oldElf, nowElf] = [findElf(old), findElf(now)]
  if (oldElf === undefined || nowElf === undefined || oldElf.machine !== nowElf.machine) return undefined
  const pairs = pairSections({ elf: oldElf, content: old }, { elf: nowElf, content: now })
  if (oldElf.isRelocatable !== nowElf.isRelocatable || pairs.length === 0) return undefined
  const first = moveMap(listDiagonals(await codecs.diff(old, now, minCopyBytes)), pairs)
  const bareOld = bareCopy(old, { elf: oldElf, pairs, side: 'old', map: wholeOf(oldElf) }, codecs)
  const bareNow = bareCopy(now, { elf: nowElf, pairs, side: 'now', map: invertMap(first) }, codecs)
  const triples = await codecs.diff(bareOld, bareNow, minCopyBytes)
  const runs = listRuns(triples, pairs)
  const builds = { old, now, codecs }
  const moves = moveMap(listDiagonals(triples), pairs)
  const map = pruneMap(moves, countUses(runs, { ...builds, map: moves }))
  return { map, runs: settleRuns(runs, { ...builds, map }) }
}

interface Side {
  readonly elf: Elf
  readonly pairs: readonly SectionPair[]
  readonly side: 'old' | 'now'
  readonly map: Float64Array
}

/** A copy that says where its numbers point to, in addresses of the old file. */
function bareCopy(content: Buffer, { pairs, side, map }: Side, codecs: MovingCodecs): Buffer {
  const copy = Buffer.from(content)
  for (const pair of pairs) {
    const { offset, bytes, address } = pair[side]
    if (pair.shapes === undefined) continue
    const part = copy.subarray(offset, offset + bytes)
    codecs.adjust(part, { shape: pair.shapes[side], map, oldAt: address, nowAt: 0, bare: true })
  }
  return copy
}

/** All addresses of a file, where they are. */
function wholeOf({ sections }: Elf): Float64Array {
  const loaded = sections.filter(({ address }) => address !== 0)
  const start = loaded.reduce((least, { address }) => Math.min(least, address), Number.MAX_SAFE_INTEGER)
  const end = loaded.reduce((most, { address, bytes }) => Math.max(most, address + bytes), start)
  return Float64Array.from([start, 0, end])
}
