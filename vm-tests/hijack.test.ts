import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, test } from 'vitest'
import { rentBox, TAKEOVERS, type TakeoverBox, type TakeoverCase } from './lib/takeover-box.ts'
import { takeoverCargo } from './lib/takeover-cargo.ts'
import { failAfterCommit, failInEveryWay } from './lib/takeover-failures.ts'
import { takeOverByFirmware } from './lib/takeover-firmware.ts'
import { refuseAll } from './lib/takeover-refusals.ts'
import { shrinkFirst } from './lib/takeover-shrink.ts'
import { takeOver, takeOverByItself } from './lib/takeover-story.ts'

const HOUR_MS = 3_600_000
/** Each takes ten minutes or more: all of them, or some by their names, on request. */
const wanted = (process.env.PINE_TAKEOVERS ?? 'debian-12').split(' ')
const isWanted = (name: string) => wanted.includes('all') || wanted.includes(name)
const cases = Object.entries(TAKEOVERS).filter(([name]) => isWanted(name))

let dir: string
let cargo: string

beforeAll(() => {
  const cache = join(process.cwd(), '.cache/vm')
  mkdirSync(cache, { recursive: true })
  dir = mkdtempSync(join(cache, 'takeover-'))
  cargo = takeoverCargo(dir)
  return () => rmSync(dir, { recursive: true, force: true })
}, HOUR_MS)

async function withBox(kind: TakeoverCase, use: (box: TakeoverBox) => Promise<void>): Promise<void> {
  const own = mkdtempSync(join(process.cwd(), '.cache/vm/box-'))
  const box = await rentBox(kind, cargo, own)
  try {
    await use(box)
  } catch (error) {
    throw new Error(`the serial log and the disk are kept in ${own}`, { cause: error })
  } finally {
    await box.kill()
  }
  rmSync(own, { recursive: true })
}

const title = `${cases.length} of ${Object.keys(TAKEOVERS).length}, all with PINE_TAKEOVERS=all`
test.each(cases)(`%s is taken over, and updated afterwards (${title})`, { timeout: HOUR_MS }, (_, kind) =>
  withBox(kind, takeOver),
)

test.runIf(isWanted('failures'))(
  'a new system that is no good in any way leaves the old one as it was (with PINE_TAKEOVERS=failures)',
  { timeout: HOUR_MS },
  () => withBox({ ...TAKEOVERS['debian-12'], memoryMiB: 512 }, failInEveryWay),
)

test.runIf(isWanted('refused'))(
  'what cannot be taken over is refused, and left as it is (with PINE_TAKEOVERS=refused)',
  { timeout: HOUR_MS },
  () => withBox({ ...TAKEOVERS['debian-12'], memoryMiB: 512 }, refuseAll),
)

test.runIf(isWanted('mbr-abort'))(
  'a commit that made an MBR a GPT is given up (with PINE_TAKEOVERS=mbr-abort)',
  { timeout: HOUR_MS },
  () => withBox(TAKEOVERS.mbr, failAfterCommit),
)

test.runIf(isWanted('firmware'))(
  'UEFI cannot start the new loader, starts it, and starts it when it has lost its variables (with PINE_TAKEOVERS=firmware)',
  { timeout: 2 * HOUR_MS },
  () => withBox(TAKEOVERS.uefi, (box) => takeOverByFirmware(box, cargo)),
)

test.runIf(isWanted('auto'))(
  'a takeover goes on by itself up to its end (with PINE_TAKEOVERS=auto)',
  { timeout: 2 * HOUR_MS },
  () => withBox({ ...TAKEOVERS['debian-12'], memoryMiB: 512 }, takeOverByItself),
)

test.runIf(isWanted('shrink'))(
  'a root whose free space is too scattered is shrunk first (with PINE_TAKEOVERS=shrink)',
  { timeout: HOUR_MS },
  () => {
    const scattered = { diskMiB: 5120, fullPercent: 70, isScattered: true }
    return withBox({ ...TAKEOVERS['debian-12'], ...scattered }, shrinkFirst)
  },
)
