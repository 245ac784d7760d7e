import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { AREA } from '../../src/boot/bootstate-area.ts'
import { decodeLog } from '../../src/boot/event-log.ts'
import { decodeMeta } from '../../src/boot/meta.ts'
import { digestOf } from '../../src/core/digest.ts'
import { makeHost, noise, ON_DISK, type Workshop } from '../support/cli.ts'

const MiB = 1024 * 1024
/** Where the boot state and the slots of host.img are; see the layout in test/support/cli.ts. */
const BOOTSTATE_AT = 2 * MiB
const SLOTS = { start: 4 * MiB, end: 12 * MiB }

/** More than the records remember of rejected ones. */
const RELEASES = 40

/** What one server and this process hold after so many applies. */
export interface Holdings {
  applies: number
  seconds: number
  rssMiB: number
  /** Open files of this process. */
  files: number
  /** Functions that wait for a signal or for the end of this process. */
  listeners: number
  /** Files beside the disk, and temporary ones anywhere. */
  leftFiles: number
  recordsBytes: number
  rejected: number
  logLines: number
  diskBytes: number
  /** Digest of the disk without the boot state and the slots. */
  elsewhere: string
}

export interface Soak {
  shop: Workshop
  /** The first apply and all others; called now and then. */
  onHoldings: (holdings: Holdings) => void
  /** After every so many. */
  every: number
}

/** A disk of 32 MiB that runs 1.0, and 40 releases, each with a delta from the one before it. */
export async function prepareSoak(shop: Workshop): Promise<void> {
  await makeHost(shop)
  mkdirSync(shop.path('tmp'))
  process.env.TMPDIR = shop.path('tmp')
  for (let release = 0; release < RELEASES; release++) {
    const tree = shop.path('tree')
    mkdirSync(`${tree}/etc`, { recursive: true })
    writeFileSync(`${tree}/etc/release`, String(release))
    writeFileSync(`${tree}/own`, noise(64 * 1024, release + 10))
    writeFileSync(`${tree}/shared`, noise(512 * 1024, 0))
    await shop.ok(`image build --tree @tree --out @r${release}.img`)
    const from = release === 0 ? '' : ` --from @r${release - 1}.img --full`
    const names = `--release 1.${release} --compatible test --key @keys/ci.key`
    await shop.ok(`bundle create${from} --to @r${release}.img --out @r${release}.bundle ${names}`)
  }
}

/** Applies releases in a row, as the years would: most prove good, some are rejected, never come up or are rolled back. */
export async function soak({ shop, onHoldings, every }: Soak, count: number): Promise<void> {
  const start = performance.now()
  const report = (applies: number) =>
    onHoldings(holdingsOf(shop, applies, (performance.now() - start) / 1000))
  report(0)
  for (let applies = 1; applies <= count; applies++) {
    await oneRelease(shop, applies)
    if (applies === 1 || applies % every === 0) report(applies)
  }
}

async function oneRelease(shop: Workshop, number: number): Promise<void> {
  const before = await shop.boot()
  const forced = '--allow-downgrade --force-rejected'
  await shop.ok(`apply @r${number % RELEASES}.bundle ${forced} ${ON_DISK}`)
  const other = before === 'a' ? 'b' : 'a'
  await expectBoot(shop, other)
  if (number % 3 === 0) await turnDown(shop, number, before)
  else await shop.ok(`confirm ${ON_DISK}`)
  if (number % 7 === 0 && number % 3 !== 0) await rollBack(shop, before)
  const { problems, trial } = (await shop.ok(`status --json ${ON_DISK}`)).json()
  if (problems.length > 0 || trial !== null)
    throw new Error(`after ${number} applies: ${JSON.stringify(problems)}`)
}

/** By a person, or by never coming up. */
async function turnDown(shop: Workshop, number: number, before: string | null): Promise<void> {
  const other = before === 'a' ? 'b' : 'a'
  if (number % 2 === 0) await shop.ok(`reject --reason ${'x'.repeat(2000)} ${ON_DISK}`)
  else for (let tries = 0; tries < 2; tries++) await expectBoot(shop, other)
  await expectBoot(shop, before)
  await shop.ok(`health --boot ${ON_DISK}`)
}

async function rollBack(shop: Workshop, before: string | null): Promise<void> {
  await shop.ok(`rollback ${ON_DISK}`)
  await expectBoot(shop, before)
  await shop.ok(`confirm ${ON_DISK}`)
}

async function expectBoot(shop: Workshop, slot: string | null): Promise<void> {
  const started = await shop.boot()
  if (started !== slot) throw new Error(`the loader starts ${started}, expected ${slot}`)
}

function holdingsOf(shop: Workshop, applies: number, seconds: number): Holdings {
  const disk = readFileSync(shop.path('host.img'))
  const area = (name: keyof typeof AREA) => {
    const { offset, bytes } = AREA[name]
    return disk.subarray(BOOTSTATE_AT + offset, BOOTSTATE_AT + offset + bytes)
  }
  const records = [decodeMeta(area('meta0')), decodeMeta(area('meta1'))]
  const newest = records.sort((one, two) => (two?.sequence ?? 0) - (one?.sequence ?? 0))[0]?.value
  const others = [
    disk.subarray(0, BOOTSTATE_AT),
    disk.subarray(BOOTSTATE_AT + MiB, SLOTS.start),
    disk.subarray(SLOTS.end),
  ]
  return {
    applies,
    seconds: Math.round(seconds),
    rssMiB: Math.round(process.memoryUsage.rss() / MiB),
    files: readdirSync('/proc/self/fd').length,
    listeners: ['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'].reduce(
      (sum, name) => sum + process.listenerCount(name),
      0,
    ),
    leftFiles: readdirSync(shop.dir).length + readdirSync(tmpdir()).length,
    recordsBytes: JSON.stringify(newest).length,
    rejected: (newest as { rejected: unknown[] }).rejected.length,
    logLines: decodeLog(area('log')).length,
    diskBytes: statSync(shop.path('host.img')).size,
    elsewhere: digestOf(Buffer.concat(others)),
  }
}
