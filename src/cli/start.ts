import { ERROR_CODES, isErrno } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { preferNativeHashing } from '../host/native.ts'
import { main } from './program.ts'

/** Runs the command line of this process on that machine, with its standard streams, and sets its exit code. */
export async function start(host: Host): Promise<void> {
  const io = {
    host,
    stdout: (text: string) => void process.stdout.write(text),
    stderr: (text: string) => void process.stderr.write(text),
    interactive: process.stderr.isTTY && process.env.TERM !== 'dumb',
    stdin: process.stdin,
  }
  endOnSignals(io.stderr)
  outliveReaders(io.stderr)
  preferNativeHashing()
  const exitCode = await main(process.argv.slice(2), io)
  if (exitCode !== 0) process.exitCode = exitCode
}

/**
 * The first signal is for the command, where it listens, as `apply` does; else, and from the second one on, it ends this
 * process at once, without its temporary files.
 */
function endOnSignals(stderr: (text: string) => void): void {
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (interrupted || process.listenerCount(signal) === 1) {
        stderr('pine-update: interrupted\n')
        endBy(signal)
      }
      interrupted = true
      // Whoever sends the bundle may have stalled, which is a reason to interrupt: nobody waits for the rest.
      process.stdin.destroy()
    })
  }
}

/** `process.exit` would wait for a thread that reads from a pipe. */
function endBy(signal: NodeJS.Signals): void {
  process.emit('exit', 0)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}

/** An update goes on when nobody reads along any more: a terminal that was closed, `| head`. */
function outliveReaders(stderr: (text: string) => void): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  // But a result that somebody wanted and that a full disk swallowed is none.
  process.stdout.on('error', (error) => {
    if (process.stdout.isTTY || isErrno(error, 'EPIPE')) return
    stderr(`pine-update: IO_FAILED: the result cannot be written: ${error.message}\n`)
    process.exitCode ||= ERROR_CODES.IO_FAILED
  })
}
