import { cpus } from 'node:os'
import type { BlockCodecs, Encoding } from '../../src/core/encoding.ts'
import type { Region } from '../../src/core/region.ts'
import { expandImage, type Unit } from '../../src/expand/image.ts'
import { blockCodecs } from '../../src/host/codecs.ts'
import { nativeHashing } from '../../src/host/native.ts'
import { openRegion } from '../../src/host/region.ts'
import type { Ends } from './pair.ts'

export interface ReencodeSpeed {
  readonly cores: number
  /** Content bytes a second of one thread, while nothing else runs. */
  readonly core: number
  /** The same of as many threads as there are. */
  readonly all: number
  /** Content of the blocks whose stored bytes the base does not have: what an apply encodes at least. */
  readonly changedBytes: number
}

interface Block {
  readonly encoding: Encoding
  readonly content: Buffer
}

const SAMPLES = 128

/** How fast the product's codec makes changed blocks of the target again; the sample is from all over the image. */
export async function measureReencoding({ from, to }: Ends): Promise<ReencodeSpeed> {
  const codecs = blockCodecs()
  const [base, target] = [await openRegion(from), await openRegion(to)]
  try {
    const known = new Set((await storedBlocks(base, codecs)).map(({ digest }) => digest))
    const changed = (await storedBlocks(target, codecs)).filter(({ digest }) => !known.has(digest))
    const every = Math.max(1, Math.floor(changed.length / SAMPLES))
    const sample = changed.filter((_, index) => index % every === 0)
    const blocks = await Promise.all(sample.map(({ unit }) => decodeBlock(target, codecs, unit)))
    const threads = cpus().length
    const [core, all] = await fastest(codecs, blocks, threads)
    return {
      cores: threads,
      core,
      all,
      changedBytes: changed.reduce((sum, { unit }) => sum + unit.content, 0),
    }
  } finally {
    await base.close()
    await target.close()
  }
}

type EncodedUnit = Unit & { readonly encoding: Encoding }

async function storedBlocks(
  image: Region,
  codecs: BlockCodecs,
): Promise<{ unit: EncodedUnit; digest: string }[]> {
  const { units } = await expandImage(image, codecs)
  const blocks = []
  for (const unit of units) {
    if (unit.encoding === undefined) continue
    const digest = nativeHashing()
      .blake3(await storedBytes(image, unit))
      .toString('hex')
    blocks.push({ unit: { ...unit, encoding: unit.encoding }, digest })
  }
  return blocks
}

async function storedBytes(image: Region, unit: Unit): Promise<Buffer> {
  const stored = Buffer.allocUnsafe(unit.stored)
  await image.read(stored, unit.offset)
  return stored
}

async function decodeBlock(image: Region, codecs: BlockCodecs, unit: EncodedUnit): Promise<Block> {
  const content = Buffer.alloc(unit.content)
  codecs.decode(unit.encoding.codec, await storedBytes(image, unit), content)
  return { encoding: unit.encoding, content }
}

const ROUNDS = 3

/** Of one thread and of all, in turn: the fastest round of each. */
async function fastest(
  codecs: BlockCodecs,
  blocks: readonly Block[],
  threads: number,
): Promise<[number, number]> {
  const one: number[] = []
  const all: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    one.push(await encodeAll(codecs, blocks, 1))
    // Twice as many under way, as an apply has: no thread waits for the next block to be handed over.
    all.push(await encodeAll(codecs, blocks, 2 * threads))
  }
  return [Math.max(...one), Math.max(...all)]
}

/** Bytes a second with that many blocks under way at once. */
async function encodeAll(codecs: BlockCodecs, blocks: readonly Block[], parallel: number): Promise<number> {
  const start = process.hrtime.bigint()
  const waiting = [...blocks]
  const work = async () => {
    for (let block = waiting.shift(); block !== undefined; block = waiting.shift()) {
      await codecs.encode(block.encoding, block.content)
    }
  }
  await Promise.all(Array.from({ length: parallel }, work))
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  return blocks.reduce((sum, { content }) => sum + content.length, 0) / seconds
}
