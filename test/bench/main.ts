import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { figuresOf, type Measured } from './acceptance.ts'
import { circumstances } from './circumstances.ts'
import { measureDisk } from './disk-speed.ts'
import { applyLimited, measureOurs, OUR_CASES, type Places } from './ours.ts'
import { imagesOf, makePair } from './pair.ts'
import { measurePeers } from './peer-cache.ts'
import { measureReencoding } from './reencode.ts'
import { figureTable, markdown, resultTable } from './report.ts'
import { isRow, type Result } from './row.ts'
import { prepareServers } from './server.ts'

const LIMIT_BYTES = 128 * 1024 * 1024
const PAGE = 'docs/benchmarks.md'

const { values: options } = parseArgs({
  options: {
    /** Measures the peers again too, and writes the page: all of it in one run. */
    fresh: { type: 'boolean', default: false },
    /** Leaves out ours, or the peers. */
    only: { type: 'string', default: '' },
    /** Ours: only cases that have this in their name, such as `update/ext4`. */
    case: { type: 'string', default: '' },
  },
})

/** Holds the pair, and what was measured of the peers before. */
function benchFolder(): string {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  return process.env.PINE_BENCH_DIR ?? join(cache, 'pine-update/bench')
}

async function bench(): Promise<void> {
  const folder = benchFolder()
  const places = { pair: join(folder, 'pair'), work: join(folder, 'work') }
  makePair(places.pair)
  const peers = options.only === 'ours' ? [] : await measurePeers({ folder, fresh: options.fresh })
  const measured = options.only === 'peers' ? { results: peers } : await withOurs(places, peers)
  const report = {
    results: measured.results,
    figures: figuresOf(measured),
    circumstances: circumstances(measured),
  }
  writeFileSync(join(folder, 'results.json'), `${JSON.stringify({ ...report, measured }, null, 2)}\n`)
  console.log(
    [...report.circumstances, '', ...resultTable(report.results), ...figureTable(report.figures)].join('\n'),
  )
  const whole = options.fresh && options.only === '' && options.case === ''
  if (whole) writeFileSync(PAGE, markdown(report))
  else console.log(`\n${PAGE} is written only by a run with --fresh, of everything`)
}

async function withOurs(places: Places, peers: readonly Result[]): Promise<Measured> {
  rmSync(places.work, { recursive: true, force: true }) // of a run that was cut off
  mkdirSync(places.work)
  try {
    prepareServers(places.work)
    const ours: Result[] = []
    for (const of of OUR_CASES.filter(({ step, image }) => `${step}/${image}`.includes(options.case))) {
      ours.push(await measureOurs(places, of))
    }
    const results = [...peers, ...ours]
    return { results, ...(await moreOfApply(places, ours)) }
  } finally {
    rmSync(places.work, { recursive: true, force: true })
  }
}

async function moreOfApply(places: Places, ours: readonly Result[]): Promise<Omit<Measured, 'results'>> {
  const squashfs = { step: 'update', image: 'zstd.sqfs' } as const
  const ext4 = { step: 'update', image: 'ext4' } as const
  const isMade = ours.some((row) => isRow(row) && row.step === 'update' && row.image === 'zstd.sqfs')
  return {
    ...(isMade ? { limited: await applyLimited(places, squashfs, LIMIT_BYTES) } : {}),
    disk: await measureDisk(places.work, imagesOf(places.pair, ext4).to),
    reencoding: await measureReencoding(imagesOf(places.pair, squashfs)),
  }
}

void bench()
