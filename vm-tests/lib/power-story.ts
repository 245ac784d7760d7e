import type { SlotStatus, StatusReport } from '../../src/agent/status.ts'
import type { Random } from '../../test/power-cut/random.ts'
import { POWER_RELEASES, type PowerKit, type PowerRelease, VERSIONS } from './power-kit.ts'

/** A machine that is on, seen through its serial port. Everything rejects when the power goes. */
export interface Guest {
  /** Waits until init takes commands. */
  up(): Promise<void>
  /** `exit` is that of the last program. */
  ask(command: string): Promise<{ exit: number; text: string }>
}

/** What a story has seen, over all its power-ons. */
export interface StoryCounts {
  /** Times that init came up. */
  boots: number
  /** `apply` commands that were started. */
  applies: number
  /** Of these: of a release that was given up before. */
  forced: number
  updates: number
  rollbacks: number
  /** Releases that a health check rejected. */
  rejections: number
  /** Trials that ended since cuts had used up all tries. */
  spent: number
}

/** Two updates, the way back, and a release that is no good; told over as many power-ons as it takes. */
export interface Story {
  readonly counts: StoryCounts
  /** To be called before each power-on. */
  powerOn(): void
  /** What the next power-on may start, by what the machine has said so far. */
  mayBootNext(): readonly PowerRelease[]
  /** From power-on to the end of the story. Throws where the machine breaks a promise, or the power goes. */
  live(guest: Guest): Promise<void>
}

/** The release to reach, and how; the next goal counts once the one before is reached. */
const GOALS = [
  { to: 'r2', by: 'apply' },
  { to: 'r3', by: 'apply' },
  { to: 'r2', by: 'rollback' },
  { to: 'bad', by: 'apply' },
] as const
type Goal = (typeof GOALS)[number]

/** As few as one, so that cuts end a trial now and then. */
const TRIES = [1, 2, 3, 7] as const
/** Starts without a verdict until the loader takes the other slot, if that was confirmed as well. */
const CONFIRMED_TRIES = 3

interface Trial {
  release: PowerRelease
  by: 'apply' | 'rollback'
  tries: number
  /** The command said that the release boots next. */
  isArmed: boolean
  /** It has come up, and is about to give itself up. */
  isDoomed: boolean
}

export function openStory({ digests }: PowerKit, random: Random): Story {
  const counts = { boots: 0, applies: 0, forced: 0, updates: 0, rollbacks: 0, rejections: 0, spent: 0 }
  const orders: number[] = []
  let goal = 0
  let permanent: PowerRelease = 'r1'
  /** Confirmed as well, in the other slot. */
  let other: PowerRelease | undefined
  let trial: Trial | undefined
  /** Since the last verdict or arming. A start that was cut may have cost a try, or not. */
  let starts = 0
  let isOpened = false

  /** What the start with that number may run. */
  function mayBoot(start: number): PowerRelease[] {
    if (trial?.isArmed && !trial.isDoomed && start <= trial.tries) return [trial.release]
    const releases = [permanent, ...(trial ? [trial.release] : [])]
    return other !== undefined && start > CONFIRMED_TRIES ? [...releases, other] : releases
  }

  async function arrive(guest: Guest): Promise<PowerRelease> {
    await guest.up()
    counts.boots++
    const running = releaseOf(await printed(guest, 'cat /usr/share/shop/release'))
    const allowed = mayBoot(starts)
    if (!allowed.includes(running)) throw new Error(`${running} runs, expected ${allowed.join(' or ')}`)
    expectText(await printed(guest, 'cat /etc/shop.conf'), `shop of ${running}`, '/etc/shop.conf')
    if (isOpened) await checkData(guest)
    else await openShop(guest)
    return running
  }

  /** What the operator makes on the first day, and is told that it is safe. */
  async function openShop(guest: Guest): Promise<void> {
    await printed(guest, 'echo "do not reboot" >/etc/motd; mkdir -p /var/lib/shop; sync')
    isOpened = true
  }

  async function checkData(guest: Guest): Promise<void> {
    expectText(await printed(guest, 'cat /etc/motd'), 'do not reboot', '/etc/motd')
    const kept = (await printed(guest, 'cat /var/lib/shop/orders 2>/dev/null || true')).split(/\s+/)
    const missing = orders.filter((order) => !kept.includes(String(order)))
    if (missing.length > 0)
      throw new Error(`orders ${missing.join(', ')} are lost, there are ${kept.join(' ')}`)
    const order = orders.length + 1
    await printed(guest, `echo ${order} >>/var/lib/shop/orders; sync /var/lib/shop/orders`)
    orders.push(order)
  }

  /** The checks of this boot, and what follows from them. Undefined where the machine restarts by itself. */
  async function judge(guest: Guest, running: PowerRelease): Promise<StatusReport | undefined> {
    if (trial && running === 'bad') trial.isDoomed = true
    const { exit, text } = await guest.ask('echo "<health>"; pine-update health --boot')
    if (running === 'bad') {
      if (exit !== 4 || !text.includes('is given up'))
        throw new Error(`health of bad ended with ${exit}: ${text}`)
      counts.rejections++
      trial = undefined
      return undefined
    }
    if (exit !== 0) throw new Error(`health ended with ${exit}: ${text}`)
    const status: StatusReport = JSON.parse(await printed(guest, 'pine-update status --json'))
    checkStatus(status, running)
    closeTrial(status, running)
    return status
  }

  function checkStatus(status: StatusReport, running: PowerRelease): void {
    const slot = status.slots.find(({ booted }) => booted)
    const found = {
      ...slot?.image,
      condition: slot?.condition,
      trial: status.trial,
      sees: status.loaderSeesState,
    }
    const { version, digest, condition, sees } = found
    const isRight = version === VERSIONS[running] && digest === digests[running]
    if (!isRight || condition !== 'confirmed' || !sees || status.trial !== null)
      throw new Error(`status of ${running} is ${JSON.stringify(found)}`)
  }

  function closeTrial(status: StatusReport, running: PowerRelease): void {
    if (trial?.release === running) counts[trial.by === 'apply' ? 'updates' : 'rollbacks']++
    else if (trial?.isArmed && !trial.isDoomed && starts <= trial.tries + CONFIRMED_TRIES) {
      counts.spent++
      if (trial.by === 'apply' && !isRejected(status, trial.release))
        throw new Error(`nobody remembers that ${trial.release} failed`)
    }
    trial = undefined
    starts = 0
    permanent = running
    const slot = status.slots.find(({ booted }) => !booted)
    other = slot?.condition === 'confirmed' ? POWER_RELEASES.find((name) => holds(slot, name)) : undefined
  }

  /** Starts what leads to the goal; the machine then restarts. */
  async function goOn(guest: Guest, status: StatusReport, { to, by }: Goal): Promise<void> {
    const tries = TRIES[random.below(TRIES.length)] ?? 1
    const canRollBack = by === 'rollback' && other === to
    const how = canRollBack ? 'rollback' : 'apply'
    const command = canRollBack ? 'pine-update rollback' : await applyCommand(guest, status, to)
    trial = { release: to, by: how, tries, isArmed: false, isDoomed: false }
    const { text } = await guest.ask(`echo "<${how}>"; ${command} --tries ${tries} --reboot 2>&1 | cat`)
    if (!text.includes('boots next')) throw new Error(`${command} said ${text}`)
    trial.isArmed = true
    other = undefined
    starts = 0
  }

  async function applyCommand(guest: Guest, status: StatusReport, to: PowerRelease): Promise<string> {
    const command = `pine-update apply /mnt/${to}.bundle --allow-downgrade`
    counts.applies++
    if (!isRejected(status, to)) return command
    counts.forced++
    const { exit, text } = await guest.ask(`${command} 2>&1`)
    if (exit !== 3 || !text.includes('REJECTED_BEFORE'))
      throw new Error(`${to} was given up before, and apply ended with ${exit}: ${text}`)
    return `${command} --force-rejected`
  }

  /** Undefined where all are reached. */
  function nextGoal(status: StatusReport): Goal | undefined {
    const isReached = (to: PowerRelease) => (to === 'bad' ? isRejected(status, to) : permanent === to)
    for (; goal < GOALS.length; goal++) {
      const next = GOALS[goal]
      if (next && !isReached(next.to)) return next
    }
    return undefined
  }

  return {
    counts,
    powerOn: () => void starts++,
    mayBootNext: () => mayBoot(starts + 1),
    async live(guest) {
      for (;;) {
        const status = await judge(guest, await arrive(guest))
        if (status !== undefined) {
          const next = nextGoal(status)
          if (next === undefined) return
          await goOn(guest, status, next)
        }
        starts++
      }
    },
  }
}

/** Prints what the command prints, which is expected to succeed. */
async function printed(guest: Guest, command: string): Promise<string> {
  const { exit, text } = await guest.ask(command)
  if (exit !== 0) throw new Error(`"${command}" ended with ${exit}: ${text}`)
  return text
}

function releaseOf(text: string): PowerRelease {
  const found = POWER_RELEASES.find((name) => name === text)
  if (found === undefined) throw new Error(`an unknown release runs: ${JSON.stringify(text)}`)
  return found
}

function expectText(found: string, expected: string, where: string): void {
  if (found !== expected) throw new Error(`${where} says ${JSON.stringify(found)}, expected "${expected}"`)
}

function holds({ image }: SlotStatus, release: PowerRelease): boolean {
  return image?.version === VERSIONS[release]
}

function isRejected({ rejected }: StatusReport, release: PowerRelease): boolean {
  return rejected.some(({ version }) => version === VERSIONS[release])
}
