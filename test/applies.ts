// npm run applies -- --count 1000: many applies in a row on one disk image, in one process, so that leaks show.
import { parseArgs } from 'node:util'
import { preferNativeHashing } from '../src/host/native.ts'
import { type Holdings, prepareSoak, soak } from './faults/soak.ts'
import { openWorkshop } from './support/cli.ts'

const { values } = parseArgs({ options: { count: { type: 'string', default: '1000' } } })
/** The process has loaded and compiled by then what it needs. */
const WARM_UP = 100
const RSS_GROWTH_MIB = 48
const RECORDS_BYTES = 64 * 1024
const REJECTED = 32
const LOG_LINES = 256

/** What has grown that should not, in words. */
function problemsOf(warm: Holdings, now: Holdings): string[] {
  const same = ['files', 'listeners', 'leftFiles', 'diskBytes', 'elsewhere'] as const
  const grown = same
    .filter((name) => now[name] !== warm[name])
    .map((name) => `${name} ${warm[name]} → ${now[name]}`)
  if (now.rssMiB > warm.rssMiB + RSS_GROWTH_MIB) grown.push(`memory ${warm.rssMiB} → ${now.rssMiB} MiB`)
  if (now.recordsBytes > RECORDS_BYTES) grown.push(`records of ${now.recordsBytes} bytes`)
  if (now.rejected > REJECTED) grown.push(`${now.rejected} rejections`)
  if (now.logLines > LOG_LINES) grown.push(`${now.logLines} lines of log`)
  return grown
}

async function run(count: number): Promise<void> {
  const shop = openWorkshop()
  let warm: Holdings | undefined
  const problems: string[] = []
  const onHoldings = (now: Holdings): void => {
    const { elsewhere: _, ...figures } = now
    console.log(
      Object.entries(figures)
        .map(([name, value]) => `${name} ${value}`)
        .join('  '),
    )
    if (now.applies >= WARM_UP) warm ??= now
    if (warm !== undefined) problems.push(...problemsOf(warm, now))
  }
  try {
    await prepareSoak(shop)
    await soak({ shop, every: 100, onHoldings }, count)
  } finally {
    shop.close()
  }
  for (const problem of problems) console.log(`grew: ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}

preferNativeHashing()
void run(Number(values.count))
