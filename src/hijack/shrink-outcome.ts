import type { ShrinkRecord } from './shrink-record.ts'

/** What became of a shrink that was armed. */
export type ShrinkKind = 'waiting' | 'off' | 'silent' | 'cut-off' | (typeof REPORTED)[number]

export interface ShrinkOutcome {
  kind: ShrinkKind
  /** In the script's words; empty where it said nothing. */
  reason: string
}

interface ShrinkFacts {
  record: ShrinkRecord
  /** Of the script, once it ended. */
  log: string | undefined
  /** Ours is what runs when this system ends. */
  isWaiting: boolean
  bootId: string
  /** Of the file system. */
  blocks: number
}

/** The words of src/system/shrink-at-shutdown, but for one after which it keeps no log. */
const REPORTED = ['shrunk', 'smaller', 'untouched', 'failed', 'broken'] as const

export function shrinkOutcome({ record, log, isWaiting, bootId, blocks }: ShrinkFacts): ShrinkOutcome {
  if (record.bootId === bootId) return { kind: isWaiting ? 'waiting' : 'off', reason: '' }
  const [, word = '', reason = ''] = /^outcome (\w+) ?(.*)$/m.exec(log ?? '') ?? []
  const kind = REPORTED.find((each) => each === word)
  if (kind !== undefined) return { kind, reason }
  const isBetween = blocks === record.target && blocks < record.full
  return { kind: isBetween ? 'cut-off' : 'silent', reason: '' }
}

const AGAIN = '"hijack stage --shrink --yes" tries it again'
const GROWN = 'next: "hijack stage", which makes it as large as it was'
const WORDS: Record<ShrinkKind, string> = {
  waiting: 'the old file system is shrunk at the next restart; "hijack stage" or "hijack abort" calls it off',
  off: 'called off: nothing happens at the next restart',
  shrunk: 'what is free is in one piece; next: "hijack stage"',
  smaller: `the file system is smaller than it was, and sound; ${GROWN}`,
  'cut-off': `it was cut off, and the file system is smaller than it was; ${GROWN}`,
  untouched: `nothing was changed; ${AGAIN}`,
  failed: `the file system is as it was; ${AGAIN}`,
  broken: `its script ended early; ${AGAIN}`,
  silent: `it said nothing: the machine restarted in another way, or it was cut off; ${AGAIN}`,
}

/** For a person. */
export function describeShrink({ kind, reason }: ShrinkOutcome): string[] {
  const why = reason === '' ? [] : [`  ${reason}`]
  return [`shrink      ${kind}: ${WORDS[kind]}`, ...why]
}
