import { formatBytes } from '../core/format.ts'
import type { Io } from './io.ts'

const WIDTH = 30
const REDRAW_MS = 100
const PLAIN_MS = 5000

export interface Progress {
  /** Starts a new line of work; `done` bytes of `total` where it can be counted. */
  update(label: string, doneBytes?: number, totalBytes?: number): void
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
    update(label, done, total) {
      if (label !== current) {
        end()
        drawnAt = Number.NEGATIVE_INFINITY
      }
      current = label
      const now = io.host.monotonicMs()
      if (now - drawnAt < REDRAW_MS && done !== total) return
      drawnAt = now
      io.stderr(`\r\u001b[K${line(label, done, total)}`)
    },
    end,
  }
}

function line(label: string, done: number | undefined, total: number | undefined): string {
  if (done === undefined || total === undefined || total === 0) return label
  const filled = Math.floor((done / total) * WIDTH)
  const bar = '='.repeat(filled).padEnd(WIDTH)
  return `[${bar}] ${percent(done, total)} %  ${label}  ${formatBytes(done)} of ${formatBytes(total)}`
}

function plainProgress(io: Io): Progress {
  let current = ''
  let printedAt = 0
  return {
    update(label, done, total) {
      const now = io.host.monotonicMs()
      if (label !== current) {
        io.stderr(`${label}\n`)
        current = label
        printedAt = now
      }
      if (done === undefined || total === undefined || now - printedAt < PLAIN_MS) return
      printedAt = now
      io.stderr(`  ${percent(done, total)} %  ${formatBytes(done)} of ${formatBytes(total)}\n`)
    },
    end() {},
  }
}

function percent(done: number, total: number): number {
  return total === 0 ? 100 : Math.floor((done / total) * 100)
}
