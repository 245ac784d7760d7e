import type { Host } from '../host/host.ts'

/** Where a command writes, and what it works on. Standard output is for results, standard error for the rest. */
export interface Io {
  host: Host
  stdout: (text: string) => void
  stderr: (text: string) => void
  /** Standard error is a terminal: progress may redraw its line. */
  interactive: boolean
  stdin: AsyncIterable<Uint8Array>
}

/** One result: a document for programs and lines for people. */
export interface Result {
  json: unknown
  text: string
}

export function printResult(io: Io, result: Result, options: { json?: boolean | undefined }): void {
  io.stdout(options.json === true ? `${JSON.stringify(result.json, null, 2)}\n` : `${result.text}\n`)
}

/** Tells a person what did not stop a command. */
export function noticeOn(io: Io): (text: string) => void {
  return (text) => io.stderr(`pine-update: ${text}\n`)
}
