import { AREA } from '../../../src/boot/bootstate-area.ts'
import { decodeLog, encodeLogLine, LOG_LINE_BYTES } from '../../../src/boot/event-log.ts'
import { decodeMeta, encodeMeta } from '../../../src/boot/meta.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { emptyRecords, parseRecords, type Records, withRejection } from '../../../src/model/records.ts'
import { mutateBytes } from '../bytes.ts'
import { mutateJson } from '../json.ts'
import type { Random } from '../random.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'

const IMAGE = {
  digest: 'ab'.repeat(32),
  bytes: 4096,
  fs: 'squashfs',
  version: '1.0',
  epoch: 1,
  writtenAt: '2026-01-01T00:00:00Z',
}
export const RECORDS: readonly Records[] = [
  emptyRecords('web-x86'),
  withRejection(
    {
      ...emptyRecords('web-x86'),
      slots: { a: IMAGE, b: { ...IMAGE, version: '1.1' } },
      trial: { slot: 'b', digest: IMAGE.digest, version: '1.1', armedAt: IMAGE.writtenAt, update: true },
      versionFloor: '1.0',
      keys: { version: 2, list: 'UElORUtFWVM=' },
    },
    { digest: 'cd'.repeat(32), version: '0.9', reason: 'nginx.service failed', at: IMAGE.writtenAt },
  ),
]

/** Without the zeros behind. */
export function metaBytes(sequence: number, value: unknown): Buffer {
  const copy = encodeMeta(sequence, value)
  return copy.subarray(0, copy.indexOf(0))
}

const HEADER_END = '\n'

/** The JSON is changed and its digest is right: what a power cut cannot do, but a program that is wrong can. */
export function mutateMeta(input: Buffer, random: Random, donor: Buffer): Buffer {
  if (random.once(3)) return mutateBytes(input, random, donor, AREA.meta0.bytes)
  const json = mutateJson(
    input.subarray(input.indexOf(HEADER_END) + 1),
    random,
    donor.subarray(donor.indexOf(HEADER_END) + 1),
  )
  const number = random.pick([
    '00000001',
    '00000002',
    '99999998',
    String(random.below(10 ** 8)).padStart(8, '0'),
    '1',
  ])
  const digest = digestOf(Buffer.concat([Buffer.from(`${number}\n`), json]))
  const length = random.once(20) ? random.below(70_000) : json.length
  return Buffer.concat([Buffer.from(`pine-meta 1 ${number} ${length} ${digest}\n`), json]).subarray(
    0,
    AREA.meta0.bytes,
  )
}

const meta: TargetEntry = {
  name: 'records',
  weight: 250_000,
  open: () =>
    defineTarget({
      name: 'records',
      seeds: RECORDS.map((records, index) => metaBytes(index + 1, records)),
      mutate: mutateMeta,
      decode(input) {
        const decoded = decodeMeta(input)
        return { decoded, records: decoded && parseRecords(decoded.value) }
      },
      codes: [],
      verdict({ decoded, records }, input) {
        if (decoded === undefined) return refused('torn')
        const [, , , length = '', digest = ''] = input
          .toString('latin1', 0, input.indexOf(HEADER_END))
          .split(' ')
        const json = input.subarray(input.indexOf(HEADER_END) + 1).subarray(0, Number(length))
        const number = String(decoded.sequence).padStart(8, '0')
        requireThat(
          digestOf(Buffer.concat([Buffer.from(`${number}\n`), json])) === digest,
          'records without their digest',
        )
        if (records === undefined) return refused('other shape')
        requireThat(
          typeof records.epochFloor === 'number' && typeof records.timeFloor === 'number',
          'floors are numbers',
        )
        requireThat(
          records.rejected.every(({ digest: of }) => typeof of === 'string'),
          'rejections have digests',
        )
        return accepted(
          `${records.trial?.slot} ${records.slots.a !== null} ${records.keys !== undefined} ${records.rejected.length}`,
        )
      },
    }),
}

const EVENTS = [
  { at: '2026-01-01T00:00:00Z', event: 'applied', version: '1.1', slot: 'b' },
  { at: '2026-01-02T00:00:00Z', event: 'rejected', version: '1.1', reason: '"nginx" failed: ä'.repeat(90) },
  {},
]

/** A line with other JSON, or another number, and the checksum of that. */
export function mutateLog(input: Buffer, random: Random, donor: Buffer): Buffer {
  if (random.once(3)) return mutateBytes(input, random, donor, 16 * LOG_LINE_BYTES)
  const lines = Math.ceil(input.length / LOG_LINE_BYTES)
  const at = random.below(lines + 1) * LOG_LINE_BYTES
  const from = random.once(2) ? donor : input
  const old = from.subarray(random.below(lines) * LOG_LINE_BYTES)
  const json = mutateJson(
    old.subarray(18, LOG_LINE_BYTES - 1),
    random,
    donor.subarray(18, LOG_LINE_BYTES - 1),
  )
  const number = random.pick([
    '00000001',
    '00000255',
    '00000256',
    '99999999',
    String(random.below(10 ** 8)).padStart(8, '0'),
  ])
  const line = Buffer.alloc(LOG_LINE_BYTES, ' ')
  const text = json.toString().trimEnd()
  line.write(`${number} ${digestOf(Buffer.from(`${number} ${text}`)).slice(0, 8)} ${text}`)
  line.write('\n', LOG_LINE_BYTES - 1)
  return Buffer.concat([input.subarray(0, at), line, input.subarray(at + LOG_LINE_BYTES)]).subarray(
    0,
    16 * LOG_LINE_BYTES,
  )
}

export const LOGS = [
  Buffer.concat(EVENTS.map((event, index) => encodeLogLine({ sequence: index + 255, event }))),
  encodeLogLine({ sequence: 1, event: EVENTS[0] ?? {} }),
]

const log: TargetEntry = {
  name: 'event-log',
  weight: 200_000,
  open: () =>
    defineTarget({
      name: 'event-log',
      seeds: LOGS,
      mutate: mutateLog,
      decode: decodeLog,
      codes: [],
      verdict(lines) {
        for (const [index, { sequence, event }] of lines.entries()) {
          requireThat(
            Number.isInteger(sequence) && sequence >= (lines[index - 1]?.sequence ?? 0),
            'lines out of order',
          )
          const texts = Object.values(event)
          requireThat(
            texts.every((text) => typeof text === 'string'),
            `an event of something else than texts: ${JSON.stringify(event)}`,
          )
        }
        return lines.length === 0
          ? refused('empty')
          : accepted(`${lines.length} ${Object.keys(lines[0]?.event ?? {}).length}`)
      },
    }),
}

export const recordTargets = [meta, log]
