import { join } from 'node:path'
import type { SlotName } from './boot-state.ts'

/** Where a container notes what is at its root, if it starts its slots by exchange. */
export function exchangeFile(machine: string): string {
  return join(machine, 'exchange')
}

/** Nothing was exchanged yet: the old system is at the root. The format is that of `native/container-init/journal.c`. */
export const FIRST_EXCHANGE = 'pine-exchange 1\nr 00000000 - 00000000 r r 00000000 0\nend\n'

/** `cut`: an exchange was cut off, and the next start ends it; or the file cannot be read. */
export type AtRoot = SlotName | 'old' | 'cut'

const JOURNAL = /^pine-exchange 1\n([abr]) \d{8} ([ab-]) .*\nend\n$/s

/** Whose entries are at the root of the container. */
export function parseExchange(text: string): AtRoot {
  const [, at, other] = JOURNAL.exec(text) ?? []
  if (other !== '-') return 'cut'
  return at === 'a' || at === 'b' ? at : 'old'
}
