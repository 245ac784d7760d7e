import { crc32 } from 'node:zlib'
import { cpioMembers, findNested, type Nested } from '../../../src/expand/nested.ts'
import { bzImage } from '../../expand/programs.ts'
import { systemBytes } from '../../native/content.ts'
import { codecs } from '../../support/bundles.ts'
import { mutateBytes } from '../bytes.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'

const CONTENT = systemBytes(3000, 5)

function cpioEntry(name: string, content: Buffer, mode = 0o100644): Buffer {
  const hex = (value: number): string => value.toString(16).padStart(8, '0')
  const numbers = [1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0]
  const head = Buffer.from(`070701${numbers.map(hex).join('')}${name}\0`)
  const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
  return Buffer.concat([pad(head), pad(content)])
}

const CPIO = Buffer.concat([
  cpioEntry('.', Buffer.alloc(0), 0o40755),
  cpioEntry('./init', CONTENT.subarray(0, 500)),
  cpioEntry('kernel/x86/microcode', CONTENT.subarray(500, 900)),
  cpioEntry('TRAILER!!!', Buffer.alloc(0), 0),
  Buffer.alloc(256),
])

async function stored(
  codec: 'gzip' | 'zstd' | 'xz' | 'lz4hc',
  params: readonly number[],
  content = CONTENT,
): Promise<Buffer> {
  return (await codecs.encode({ codec, params }, content)).stored
}

async function gzipMember(name = ''): Promise<Buffer> {
  const head = Buffer.from([0x1f, 0x8b, 8, name === '' ? 0 : 8, 0, 0, 0, 0, 0, 3])
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(crc32(CONTENT), 0)
  tail.writeUInt32LE(CONTENT.length, 4)
  return Buffer.concat([head, Buffer.from(name === '' ? '' : `${name}\0`), await stored('gzip', [9]), tail])
}

async function lz4Legacy(): Promise<Buffer> {
  const block = await stored('lz4hc', [9])
  const head = Buffer.from([0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0])
  head.writeUInt32LE(block.length, 4)
  return Buffer.concat([head, block])
}

/** As files of a system are: alone, one behind another, behind a cpio archive, in a kernel. */
async function nestedFiles(): Promise<Buffer[]> {
  const [zstd, xz, lz4] = [
    await stored('zstd', [3, 0]),
    await stored('xz', [6, 65_536, 4, 0]),
    await lz4Legacy(),
  ]
  const gzip = await gzipMember('changelog')
  return [
    gzip,
    zstd,
    xz,
    lz4,
    CPIO,
    Buffer.concat([CPIO, zstd]),
    Buffer.concat([gzip, await gzipMember()]),
    bzImage(zstd).subarray(0, 4096),
  ]
}

interface Found {
  readonly guessed: readonly Nested[]
  readonly proved: readonly Nested[]
  readonly members: ReturnType<typeof cpioMembers>
}

export const nested: TargetEntry = {
  name: 'nested',
  weight: 80_000,
  perRound: 5000,
  slowness: 8,
  async open() {
    return defineTarget({
      name: 'nested',
      seeds: await nestedFiles(),
      mutate: (input, random, donor) => mutateBytes(input, random, donor, 16_384),
      async decode(input): Promise<Found> {
        const guessed = await findNested('file', input, codecs, { prove: false })
        // Encoding again takes long: only for some.
        const proved =
          (input.at(-1) ?? 0) < 16 ? await findNested('file', input, codecs, { prove: true }) : []
        return { guessed, proved, members: cpioMembers(input) }
      },
      codes: [],
      // A few kilobytes may hold sixteen megabytes, which are then encoded up to eight times.
      mostMs: 15_000,
      mostMemory: 384 * 1024 * 1024,
      verdict({ guessed, proved, members }, input) {
        for (const list of [guessed, proved]) requireInOrder(list, input.length)
        for (const { at, bytes } of members)
          requireThat(at > 0 && bytes > 0 && at + bytes <= input.length, 'a member outside')
        const codecsFound = [...guessed, ...proved].map(({ encoding }) => encoding.codec)
        if (codecsFound.length + members.length === 0) return refused('nothing')
        return accepted(`${codecsFound.join()} ${Math.min(9, members.length)}`)
      },
    })
  },
}

function requireInOrder(list: readonly Nested[], fileBytes: number): void {
  let end = 0
  for (const { at, stored: bytes, content } of list) {
    requireThat(
      at >= end && bytes > 0 && at + bytes <= fileBytes,
      `a payload of ${bytes} bytes at ${at} of ${fileBytes}`,
    )
    requireThat(content.length <= 256 * 1024 * 1024, 'a payload that is too long')
    end = at + bytes
  }
}
