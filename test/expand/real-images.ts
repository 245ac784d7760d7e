import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { BlockCodecs } from '../../src/core/encoding.ts'
import { type ExpandedImage, expandImage, type ImageFile } from '../../src/expand/image.ts'
import { blockCodecs } from '../../src/host/codecs.ts'
import { memoryRegion } from '../support/memory-region.ts'

/** False, after saying so, where the program that makes the images is not there. */
export function hasTool(name: string): boolean {
  const found = spawnSync(name, ['--help']).error === undefined
  if (!found) console.log(`skipped: there is no ${name}`)
  return found
}

/** Bytes that nothing can pack, the same for the same seed. */
export function noise(bytes: number, seed: number): Buffer {
  const made = Buffer.alloc(bytes)
  let state = seed >>> 0
  for (let at = 0; at < bytes; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    made[at] = state >>> 24
  }
  return made
}

/** Words in no order: what packs to about a third. */
export function prose(bytes: number, seed: number): Buffer {
  const words = 'slot image bundle loader boot kernel verify update system partition health record'.split(' ')
  const picks = noise(bytes, seed)
  return Buffer.from([...picks].map((pick) => `${words[pick % words.length]}${pick % 7}`).join(' ')).subarray(
    0,
    bytes,
  )
}

/** Around the sizes of blocks and clusters. */
const SIZES = [1, 11, 4095, 4096, 4097, 8192, 12_345, 65_536, 131_071, 131_072, 131_073, 300_001]

/** A tree with what file systems treat in a way of its own. */
export function makeTree(root: string): void {
  const write = (path: string, content: Buffer | string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  for (const [seed, bytes] of SIZES.entries()) {
    write(`prose/${bytes}`, prose(bytes, seed))
    write(`noise/${bytes}`, noise(bytes, seed))
    write(`mixed/${bytes}`, Buffer.concat([prose(bytes, seed), noise(5000, seed), prose(bytes, seed + 99)]))
  }
  for (let number = 0; number < 700; number += 1) {
    write(`many/file-with-number-${number}`, prose((number * 37) % 900, number))
  }
  write('monotone', Buffer.alloc(1_100_000, 'pine'))
  write('empty', '')
  write('#inodes', 'a file that is called like a table')
  write(`${'deep/'.repeat(30)}file`, 'deep')
  // mkfs.erofs 1.5 refuses a name of 255 bytes, the longest there is.
  write('n'.repeat(254), 'a long name')
  write('ümläute/日本', 'not ASCII')
  write('links/first', prose(10_000, 1))
  linkSync(join(root, 'links/first'), join(root, 'links/second'))
  symlinkSync('../empty', join(root, 'links/symbolic'))
  symlinkSync('x'.repeat(200), join(root, 'links/long'))
  mkdirSync(join(root, 'nothing'))
  writeSparse(join(root, 'sparse'))
}

/** A hole at the start, data, a hole in the middle, data, and a hole at the end. */
function writeSparse(path: string): void {
  const file = openSync(path, 'w')
  writeSync(file, prose(5000, 7), 0, 5000, 1_000_000)
  writeSync(file, noise(200_000, 7), 0, 200_000, 3_000_000)
  closeSync(file)
  truncateSync(path, 5_000_001)
}

export interface Expanded {
  readonly image: ExpandedImage
  readonly stored: Buffer
  /** Contents of all units, one after another. */
  readonly content: Buffer
  readonly codecs: BlockCodecs
}

/** Expands an image, and unpacks all of it. */
export async function expandBytes(stored: Buffer): Promise<Expanded> {
  const codecs = blockCodecs()
  const image = await expandImage(memoryRegion(stored), codecs)
  const parts = image.units.map((unit) => {
    const run = stored.subarray(unit.offset, unit.offset + unit.stored)
    if (unit.encoding === undefined) return run
    const into = Buffer.alloc(unit.content)
    codecs.decode(unit.encoding.codec, run, into)
    return into
  })
  return { image, stored, content: Buffer.concat(parts), codecs }
}

export function contentOf({ content }: Expanded, file: ImageFile): Buffer {
  return Buffer.concat(
    file.pieces.map(({ at, bytes }) => (at === -1 ? Buffer.alloc(bytes) : content.subarray(at, at + bytes))),
  )
}

export function tablesOf({ image }: Expanded): string[] {
  return image.files.flatMap(({ path }) => (path.startsWith('#') ? [path] : []))
}

/** What is wrong with an expanded image: nothing, when its units follow each other and its files are those of the tree. */
export function mismatches(expanded: Expanded, tree: string): string[] {
  const { image, stored } = expanded
  const wrong: string[] = []
  let end = 0
  for (const unit of image.units) {
    if (unit.offset !== end || unit.stored <= 0)
      wrong.push(`the unit at ${unit.offset} does not start at ${end}`)
    end = unit.offset + unit.stored
  }
  if (end !== stored.length) wrong.push(`units end at ${end} of ${stored.length}`)
  const files = image.files.filter(({ path }) => !path.startsWith('#'))
  const found = new Map(files.map((file) => [join(file.path), file]))
  for (const path of regularFiles(tree)) {
    const file = found.get(path)
    if (file === undefined) wrong.push(`${path} is missing`)
    else if (!contentOf(expanded, file).equals(readFileSync(join(tree, path)))) wrong.push(`${path} differs`)
    found.delete(path)
  }
  for (const path of found.keys()) wrong.push(`${path} is not in the tree`)
  return wrong
}

/** Of hard links the first in the order of names, which is that of squashfs and erofs. */
function regularFiles(tree: string): string[] {
  const seen = new Set<number>()
  const paths = readdirSync(tree, { recursive: true, encoding: 'utf8' }).sort()
  return paths.filter((path) => {
    const { ino } = lstatSync(join(tree, path))
    if (!lstatSync(join(tree, path)).isFile() || seen.has(ino)) return false
    seen.add(ino)
    return true
  })
}

export interface Proofs {
  readonly claimed: number
  readonly proved: number
}

/** Packs each unit again; a cluster together with what follows it in its file. */
export async function prove({ image, stored, content, codecs }: Expanded, lookahead = 1024): Promise<Proofs> {
  const ends = pieceEnds(image)
  let claimed = 0
  let proved = 0
  let start = 0
  for (const { encoding, offset, stored: bytes, content: contentBytes } of image.units) {
    const end = start + contentBytes
    if (encoding !== undefined) {
      const more = encoding.codec === 'lz4hc-fill' ? Math.min(lookahead, (ends.get(start) ?? end) - end) : 0
      const encoded = await codecs.encode(encoding, content.subarray(start, end + more))
      const isSame = encoded.stored.equals(stored.subarray(offset, offset + bytes))
      claimed += 1
      if (isSame && encoded.consumed === contentBytes) proved += 1
    }
    start = end
  }
  return { claimed, proved }
}

/** For each unit that is in a file, by where its content starts: where the piece that it is in ends. */
function pieceEnds({ units, files }: ExpandedImage): Map<number, number> {
  const pieces = files.flatMap((file) => file.pieces).sort((a, b) => a.at - b.at)
  const ends = new Map<number, number>()
  let start = 0
  let next = 0
  for (const unit of units) {
    while (next < pieces.length && (pieces[next]?.at ?? 0) + (pieces[next]?.bytes ?? 0) <= start) next += 1
    const piece = pieces[next]
    if (piece !== undefined && piece.at <= start) ends.set(start, piece.at + piece.bytes)
    start += unit.content
  }
  return ends
}

/** Runs a tool that makes an image, and reads the image. */
export function make(out: string, [tool = '', ...args]: readonly string[]): Buffer {
  execFileSync(tool, args, { stdio: 'pipe' })
  return readFileSync(out)
}
