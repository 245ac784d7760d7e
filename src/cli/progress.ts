import { formatBytes } from '../core/format.ts'
import type { Io } from './io.ts'

const WIDTH = 30
const REDRAW_MS = 100
const PLAIN_MS = 5000

export interface Progress {
  /** Starts a new line of work; `done` of `total` where it can be counted: bytes, or what `unit` says. */
  update(label: string, done?: number, total?: number, unit?: 'objects'): void
  /** Ends the line that is being redrawn, so that what follows starts on its own. */
  end(): void
}

/** A bar on a terminal; elsewhere one line per label and one every five seconds, without control codes. */
export function createProgress(io: Io): Progress {
  return io.interactive ? terminalProgress(io) : plainProgress(io)
}

function terminalProgress(io: Io): Progress {
  let current = ''
  let drawnAt = Number.NEGATIVE_INFINITY
  const end = (): void => {
    if (current !== '') io.stderr('\n')
    current = ''
  }
  return {
    update(label, done, total, unit) {
      if (label !== current) {
        end()
        drawnAt = Number.NEGATIVE_INFINITY
      }
      current = label
      const now = io.host.monotonicMs()
      if (now - drawnAt < REDRAW_MS && done !== total) return
      drawnAt = now
      io.stderr(`\r\u001b[K${line(label, done, total, unit)}`)
    },
    end,
  }
}

function line(label: string, done: number | undefined, total: number | undefined, unit?: 'objects'): string {
  if (done === undefined || total === undefined || total === 0) return label
  const filled = Math.floor((done / total) * WIDTH)
  const bar = '='.repeat(filled).padEnd(WIDTH)
  return `[${bar}] ${percent(done, total)} %  ${label}  ${amount(done, total, unit)}`
}

function plainProgress(io: Io): Progress {
  let current = ''
  let printedAt = 0
  return {
    update(label, done, total, unit) {
      const now = io.host.monotonicMs()
      if (label !== current) {
        io.stderr(`${label}\n`)
        current = label
        printedAt = now
      }
      if (done === undefined || total === undefined || now - printedAt < PLAIN_MS) return
      printedAt = now
      io.stderr(`  ${percent(done, total)} %  ${amount(done, total, unit)}\n`)
    },
    end() {},
  }
}

function amount(done: number, total: number, unit: 'objects' | undefined): string {
  return unit === undefined ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done} of ${total} ${unit}`
}

function percent(done: number, total: number): number {
  return total === 0 ? 100 : Math.floor((done / total) * 100)
}
