import { deflateRawSync, gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Encoding } from '../../src/core/encoding.ts'
import { findNested, type Nested } from '../../src/expand/nested.ts'
import { blockCodecs } from '../../src/host/codecs.ts'
import { bzImage, cpioArchive, fromFile, pipe, prose } from './programs.ts'

const MIB = 1024 * 1024
const codecs = blockCodecs()
const text = prose(300_000)

function prove(file: Buffer): Promise<Nested[]> {
  return findNested('some/file', file, codecs, { prove: true })
}

function look(file: Buffer): Promise<Nested[]> {
  return findNested('some/file', file, codecs, { prove: false })
}

function name({ codec, params }: Encoding): string {
  return [codec, ...params].join(' ')
}

/** The only payload of a file, proved once more here. */
async function onlyPayload(file: Buffer): Promise<Nested> {
  const [payload, ...others] = await prove(file)
  if (payload === undefined) throw new Error('there is none')
  expect(others).toEqual([])
  const { stored } = await codecs.encode(payload.encoding, payload.content)
  expect(stored.equals(file.subarray(payload.at, payload.at + payload.stored))).toBe(true)
  return payload
}

/** A member around raw DEFLATE data, with the extra flags of the best level and no checksum. */
function gzipMember(deflated: Buffer, contentBytes: number): Buffer {
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(contentBytes, 4)
  return Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3]), deflated, trailer])
}

function lengthBehind(stored: Buffer, content: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(content.length)
  return Buffer.concat([stored, length])
}

describe('a payload of the program', () => {
  test.each<[string, readonly string[], string]>([
    ['gzip', ['-n', '-9'], 'gzip 9'],
    ['gzip', ['-n'], 'gzip 6'],
    ['gzip', ['-1'], 'gzip 1'],
    ['zstd', ['-3'], 'zstd-mt 3 3'],
    ['zstd', ['-9', '-T0'], 'zstd-mt 9 3'],
    ['zstd', ['-19', '--no-check'], 'zstd-mt 19 2'],
    ['xz', ['--check=crc32', '--lzma2=dict=1MiB', '-T1'], 'xz 262 1048576 1 0'],
    ['xz', ['-9e', '-T1'], 'xz 326 67108864 4 0'],
    ['xz', ['-1', '--check=sha256', '-T1'], 'xz 257 1048576 10 0'],
    ['xz', ['--check=crc32', '--x86', '--lzma2=preset=6,dict=32MiB', '-T1'], 'xz 262 33554432 1 1'],
    ['lz4', ['-l', '-9'], 'lz4hc 9'],
    ['lz4', ['-l', '-12'], 'lz4hc 12'],
    ['lz4', ['-l', '-1'], 'lz4'],
  ])('%s %j is %s', async (program, args, encoding) => {
    const file = pipe(program, [...args, '-c'], text)
    const payload = await onlyPayload(file)
    expect(name(payload.encoding)).toBe(encoding)
    expect(payload.content.equals(text)).toBe(true)
    expect((await look(file)).map(({ content }) => content.equals(text))).toEqual([true])
  })

  test.each<[string, readonly string[], string]>([
    ['gzip', ['-9'], 'gzip 9'],
    ['zstd', ['-3'], 'zstd 3 1'],
    ['zstd', ['-19'], 'zstd 19 1'],
  ])('%s %j that knows name or length is %s', async (program, args, encoding) => {
    const payload = await onlyPayload(fromFile(program, [...args, '-c'], text))
    expect(name(payload.encoding)).toBe(encoding)
    expect(payload.content.equals(text)).toBe(true)
  })

  test('gzip is one zlib would not have made', () => {
    const file = pipe('gzip', ['-n', '-9'], text)
    expect(gunzipSync(file).equals(text)).toBe(true)
    for (const memLevel of [8, 9]) {
      expect(deflateRawSync(text, { level: 9, memLevel }).equals(file.subarray(10, -8))).toBe(false)
    }
  })

  test('is found among the likely levels by a sample when it is long', async () => {
    const long = prose(10 * MIB)
    expect(name((await onlyPayload(pipe('zstd', ['-7', '-T0', '-c'], long))).encoding)).toBe('zstd-mt 7 3')
    expect(name((await onlyPayload(pipe('gzip', ['-n', '-5'], long))).encoding)).toBe('gzip 5')
  })
})

describe('payloads one after another', () => {
  test('gzip members, and zeros behind them', async () => {
    const members = [text, Buffer.from('short\n'), Buffer.alloc(0), prose(50_000, 2)]
    const file = Buffer.concat([...members.map((m) => pipe('gzip', ['-9n'], m)), Buffer.alloc(512)])
    const found = await prove(file)
    expect(found.map(({ content }) => content.length)).toEqual(members.map((member) => member.length))
    expect(found.map(({ encoding }) => name(encoding))).toEqual(members.map(() => 'gzip 9'))
  })

  test('zstd frames of known and unknown length', async () => {
    const file = Buffer.concat([pipe('zstd', ['-3'], text), fromFile('zstd', ['-3', '-c'], text)])
    expect((await prove(file)).map(({ encoding }) => name(encoding))).toEqual(['zstd-mt 3 3', 'zstd 3 1'])
  })

  test('blocks of lz4, every 8 MiB of content', async () => {
    const content = prose(9 * MIB)
    const found = await prove(pipe('lz4', ['-l', '-9', '-c'], content))
    expect(found.map((payload) => payload.content.length)).toEqual([8 * MIB, MIB])
    expect(Buffer.concat(found.map((payload) => payload.content)).equals(content)).toBe(true)
  })

  test('a damaged member hides what follows, not what precedes', async () => {
    const member = pipe('gzip', ['-9n'], text)
    const damaged = Buffer.from(member)
    damaged.fill(0xff, 5000, 5100)
    expect(await prove(Buffer.concat([member, damaged, member]))).toHaveLength(1)
  })
})

describe('a kernel image', () => {
  test.each<[string, readonly string[], string]>([
    ['lz4', ['-l', '-9', '-c'], 'lz4hc 9'],
    ['gzip', ['-n', '-9'], 'gzip 9'],
    ['zstd', ['-19', '-c'], 'zstd-mt 19 3'],
    ['xz', ['--check=crc32', '--x86', '--lzma2=dict=32MiB', '-T1'], 'xz 262 33554432 1 1'],
  ])('packed by %s %j', async (program, args, encoding) => {
    const stored = pipe(program, args, text)
    const payload = await onlyPayload(bzImage(lengthBehind(stored, text)))
    expect(name(payload.encoding)).toBe(encoding)
    expect(payload.content.equals(text)).toBe(true)
    expect(payload.at).toBeGreaterThanOrEqual(1024 + 777)
  })

  test('without the header is not searched', async () => {
    const image = bzImage(pipe('gzip', ['-9n'], text))
    image.write('XXXX', 0x202)
    expect(await prove(image)).toEqual([])
  })

  test('whose payload would leave the file has none', async () => {
    const image = bzImage(pipe('gzip', ['-9n'], text))
    image.writeUInt32LE(image.length, 0x24c)
    expect(await prove(image)).toEqual([])
  })
})

describe('an initrd', () => {
  const microcode = cpioArchive({ 'microcode.bin': prose(9001, 3) })
  const main = cpioArchive({ init: prose(40_000, 4), 'module.ko': text })

  test.each<[string, readonly string[]]>([
    ['zstd', ['-q', '-9', '-T0']],
    ['gzip', ['-n', '-9']],
    ['xz', ['--check=crc32', '-T1']],
    ['lz4', ['-9', '-l', '-c']],
  ])('behind microcode, packed by %s %j', async (program, args) => {
    const file = Buffer.concat([microcode, Buffer.alloc(1536), pipe(program, args, main)])
    const payload = await onlyPayload(file)
    expect(payload.content.equals(main)).toBe(true)
    expect(payload.at).toBeGreaterThanOrEqual(microcode.length + 1536)
  })

  test('that is not packed has none', async () => {
    expect(await prove(Buffer.concat([microcode, main]))).toEqual([])
  })
})

describe('what cannot be proved', () => {
  // Another strategy than any program has: GNU gzip and zlib do not make this.
  const foreign = gzipMember(deflateRawSync(text, { level: 9, strategy: 2 }), text.length)

  test('serves as a base only', async () => {
    expect(await prove(foreign)).toEqual([])
    expect((await look(foreign)).map(({ content }) => content.equals(text))).toEqual([true])
  })

  test('zlib in gzip is proved', async () => {
    const { stored } = await codecs.encode({ codec: 'deflate', params: [9, 15, 8, 0] }, text)
    const payload = await onlyPayload(gzipMember(stored, text.length))
    expect(name(payload.encoding)).toBe('deflate 9 15 8 0')
  })

  test.each(['gzip', 'zstd', 'xz'])('a base with much content is left out: %s', async (program) => {
    const zeros = Buffer.alloc(17 * MIB)
    const file = pipe(program, ['-c'], zeros)
    expect(await look(file)).toEqual([])
    expect(await look(pipe(program, ['-c'], zeros.subarray(MIB)))).toHaveLength(1)
  })

  test('tables of the file system are not files', async () => {
    expect(await findNested('#inodes', pipe('gzip', ['-9n'], text), codecs, { prove: true })).toEqual([])
  })
})

describe.each<[string, readonly string[]]>([
  ['gzip', ['-9n']],
  ['zstd', ['-3', '-c']],
  ['xz', ['-1', '--check=crc32', '-T1']],
  ['lz4', ['-l', '-9', '-c']],
])('a file of %s %j', (program, args) => {
  const content = prose(20_000, 5)
  const file = pipe(program, args, content)

  /** Whatever is found is right, and inside the file. */
  async function expectSound(bytes: Buffer): Promise<void> {
    for (const { at, stored, encoding, content: inside } of await prove(bytes)) {
      const made = await codecs.encode(encoding, inside)
      expect(made.stored.equals(bytes.subarray(at, at + stored))).toBe(true)
    }
    await look(bytes)
  }

  test('cut anywhere is sound', async () => {
    for (let bytes = 0; bytes < file.length; bytes += bytes < 64 ? 1 : 97)
      await expectSound(file.subarray(0, bytes))
  })

  test('with any byte changed is sound', async () => {
    for (let at = 0; at < file.length; at += at < 64 ? 1 : 97) {
      for (const value of [0, 0xff, (file[at] ?? 0) ^ 1]) {
        const damaged = Buffer.from(file)
        damaged[at] = value
        await expectSound(damaged)
      }
    }
  })

  test('that only begins like it has none', async () => {
    const head = file.subarray(0, 12)
    for (const tail of [Buffer.alloc(0), Buffer.alloc(5000), Buffer.alloc(5000, 0xff), prose(5000)]) {
      expect(await prove(Buffer.concat([head, tail]))).toEqual([])
    }
  })

  test('is not searched for behind other bytes', async () => {
    expect(await prove(Buffer.concat([Buffer.from('text'), file]))).toEqual([])
  })
})
