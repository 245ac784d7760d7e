import * as v from 'valibot'
import { digestOf } from '../core/digest.ts'
import { parseJson } from '../core/json.ts'
import { AREA } from './bootstate-area.ts'

/** What happened, as words and short texts, such as `{ at: '2025-01-31T12:00:00.000Z', event: 'done' }`. */
export type LogEvent = Readonly<Record<string, string>>
const Event = v.record(v.string(), v.string())

export interface LogLine {
  /** Grows by one with every line. */
  sequence: number
  event: LogEvent
}

/** Every line has the same length, so that a torn one spoils nothing but itself. */
export const LOG_LINE_BYTES = 1024
const LINE_COUNT = AREA.log.bytes / LOG_LINE_BYTES
const LINE = /^([0-9]{8}) ([0-9a-f]{8}) (\{.*\}) *\n$/

/** Offset of a line within the log: the ring goes round every 256 lines. */
export function logLineOffset(sequence: number): number {
  return (sequence % LINE_COUNT) * LOG_LINE_BYTES
}

function checksum(text: string): string {
  return digestOf(Buffer.from(text)).slice(0, 8)
}

/** Cuts the longest text until the event fits a line. */
function jsonWithin(event: LogEvent, bytes: number): string {
  const json = JSON.stringify(event)
  const excess = Buffer.byteLength(json) - bytes
  if (excess <= 0) return json
  const [name, text] = Object.entries(event).reduce((a, b) => (b[1].length > a[1].length ? b : a), ['', ''])
  if (text === '')
    throw new Error(`an event with ${Object.keys(event).length} fields does not fit a log line`)
  // In proportion: a character takes one to six bytes here. At least one goes, so this comes to an end.
  const textBytes = Buffer.byteLength(JSON.stringify(text))
  const kept = Math.min(
    text.length - 1,
    Math.floor((text.length * Math.max(0, textBytes - excess)) / textBytes),
  )
  return jsonWithin({ ...event, [name]: text.slice(0, kept) }, bytes)
}

/** One line: sequence, checksum, JSON, spaces and a newline; readable with `strings`. */
export function encodeLogLine({ sequence, event }: LogLine): Buffer {
  const number = String(sequence).padStart(8, '0')
  const json = jsonWithin(event, LOG_LINE_BYTES - 20)
  const line = Buffer.alloc(LOG_LINE_BYTES, ' ')
  line.write(`${number} ${checksum(`${number} ${json}`)} ${json}`)
  line.write('\n', LOG_LINE_BYTES - 1)
  return line
}

function decodeLogLine(bytes: Uint8Array): LogLine | undefined {
  const [, number = '', sum, json = ''] = LINE.exec(Buffer.from(bytes).toString()) ?? []
  if (sum === undefined || checksum(`${number} ${json}`) !== sum) return undefined
  // Eight digits of a checksum say that most likely we wrote it, and nothing of the texts in it.
  const event = v.safeParse(Event, parseJson(json))
  return event.success ? { sequence: Number(number), event: event.output } : undefined
}

/** All readable lines of a whole log, oldest first. Torn lines and lines never written are left out. */
export function decodeLog(log: Uint8Array): LogLine[] {
  const lines: LogLine[] = []
  for (let at = 0; at < log.length; at += LOG_LINE_BYTES) {
    const line = decodeLogLine(log.subarray(at, at + LOG_LINE_BYTES))
    if (line !== undefined) lines.push(line)
  }
  return lines.sort((a, b) => a.sequence - b.sequence)
}
