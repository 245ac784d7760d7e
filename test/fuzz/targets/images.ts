import { bytesOfName, nameOf } from '../../../src/core/file-name.ts'
import { type FileState, MAX_TARGET_BYTES, MODE_MASK } from '../../../src/core/file-state.ts'
import { type ExpandedImage, expandImage } from '../../../src/expand/image.ts'
import { listTree } from '../../../src/expand/tree.ts'
import { codecs } from '../../support/bundles.ts'
import { memoryRegion } from '../../support/memory-region.ts'
import { mutateBytes } from '../bytes.ts'
import { readImage } from '../corpus.ts'
import { decodePatches, encodePatches, type Patch, patched } from '../patches.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'

/** Which of the images, in a byte, then changes of it. */
function mutateImage(images: readonly Buffer[]) {
  return (input: Buffer, random: Random, donor: Buffer): Buffer => {
    const index = random.once(20) ? random.below(images.length) : (input[0] ?? 0) % images.length
    const image = images[index] ?? Buffer.alloc(0)
    const patches = decodePatches(input.subarray(1))
    for (let left = few(random, 4); left > 0; left--) {
      const way = random.below(8)
      if (way === 0) patches.splice(random.below(patches.length), 1)
      else if (way === 1) patches.push(...decodePatches(donor.subarray(1)))
      else patches.push(changeOf(image, random))
    }
    return Buffer.concat([Buffer.of(index), encodePatches(patches)])
  }
}

const WINDOWS = [8, 16, 32, 64, 128, 512, 4096]

function changeOf(image: Buffer, random: Random): Patch {
  if (random.once(40)) return { offset: random.below(image.length + 1), bytes: Buffer.alloc(0) }
  const bytes = random.pick(WINDOWS)
  const at = placeIn(image, random)
  const offset = at - (at % Math.min(bytes, 32))
  const window = image.subarray(offset, offset + bytes)
  const elsewhere = image.subarray(placeIn(image, random))
  const changed = Buffer.from(window)
  mutateBytes(window, random, elsewhere, bytes).copy(changed)
  return { offset, bytes: changed }
}

/** Tables are at the start of ext4 and erofs and at the end of squashfs; zeros are nothing that is read. */
function placeIn(image: Buffer, random: Random): number {
  for (let tries = 0; tries < 8; tries++) {
    const reach = random.pick([1280, 2048, 8192, image.length])
    const from = random.below(Math.min(reach, image.length))
    const at = random.once(3) ? image.length - 1 - from : from
    if (image.subarray(at, at + 32).some((byte) => byte !== 0)) return at
  }
  return 0
}

/** Units cover the image, files lie within the content of units. */
function requireWhole({ units, files }: ExpandedImage, imageBytes: number): void {
  let [end, content] = [0, 0]
  for (const unit of units) {
    requireThat(
      unit.offset === end && unit.stored > 0 && unit.content >= 0,
      `a unit at ${unit.offset} after ${end}`,
    )
    end += unit.stored
    content += unit.content
  }
  requireThat(end === imageBytes, `units end at ${end} of ${imageBytes}`)
  for (const { path, bytes, pieces } of files) {
    let sum = 0
    for (const piece of pieces) {
      requireThat(
        piece.bytes > 0 && Number.isSafeInteger(piece.bytes),
        `${path} has a piece of ${piece.bytes} bytes`,
      )
      const isInside = piece.at === -1 || (piece.at >= 0 && piece.at + piece.bytes <= content)
      requireThat(isInside, `${path} has ${piece.bytes} bytes at ${piece.at} of ${content}`)
      sum += piece.bytes
    }
    requireThat(sum === bytes, `${path} has ${bytes} bytes, its pieces ${sum}`)
  }
}

function imageTarget(name: string, files: readonly string[], weight: number): TargetEntry {
  return {
    ...{ name, weight, slowness: 10, perRound: 5000 },
    open: () => {
      const images = files.map(readImage)
      return defineTarget({
        name,
        seeds: images.map((_, index) => Buffer.of(index)),
        mutate: mutateImage(images),
        async decode(input) {
          const image = patched(
            images[(input[0] ?? 0) % images.length] ?? Buffer.alloc(0),
            decodePatches(input.subarray(1)),
          )
          return { image, expanded: await expandImage(memoryRegion(image), codecs) }
        },
        codes: [],
        verdict({ image, expanded }) {
          requireWhole(expanded, image.length)
          if (expanded.fs === 'raw') return refused('raw')
          const packed = expanded.units.filter(({ encoding }) => encoding !== undefined).length
          const pieces = expanded.files.reduce((sum, file) => sum + file.pieces.length, 0)
          return accepted(`${packed} ${expanded.files.length} ${pieces}`)
        },
      })
    },
  }
}

/** Every name of an image, where its tables can be followed. */
const names: TargetEntry = {
  ...{ name: 'image-names', weight: 60_000, slowness: 10, perRound: 5000 },
  open: () => {
    const images = [
      'squashfs-gzip',
      'squashfs-plain',
      'erofs-plain',
      'erofs-chunks',
      'ext4-plain',
      'ext4-csum',
    ].map(readImage)
    return defineTarget({
      name: 'image-names',
      seeds: images.map((_, index) => Buffer.of(index)),
      mutate: mutateImage(images),
      decode(input) {
        const image = images[(input[0] ?? 0) % images.length] ?? Buffer.alloc(0)
        return listTree(memoryRegion(patched(image, decodePatches(input.subarray(1)))), codecs)
      },
      codes: [],
      verdict(entries) {
        if (entries === undefined) return refused('broken')
        for (const { path, state } of entries) requireState(path, state)
        return accepted(`${entries.length} ${new Set(entries.map(({ state }) => state.type)).size}`)
      },
    })
  },
}

/** What a list of changes takes: it is made of these. */
function requireState(path: string, { type, mode, uid, gid, bytes, target, device }: FileState): void {
  const isDevice = type === 'block' || type === 'character'
  requireThat(nameOf(bytesOfName(path)) === path, `the bytes of ${path} are lost`)
  requireThat((bytes !== undefined) === (type === 'file'), `a ${type} of ${bytes} bytes`)
  requireThat((target !== undefined) === (type === 'symlink'), `a ${type} with a target`)
  requireThat((device !== undefined) === isDevice, `a ${type} with device ${device}`)
  requireThat(
    mode <= MODE_MASK && uid <= 0xffff_ffff && gid <= 0xffff_ffff,
    `mode ${mode}, owner ${uid}:${gid}`,
  )
  requireThat(bytesOfName(target ?? '').length <= MAX_TARGET_BYTES, 'a long target')
  requireThat(bytes === undefined || Number.isSafeInteger(bytes), `a length of ${bytes}`)
}

export const imageTargets = [
  names,
  imageTarget(
    'squashfs',
    ['gzip', 'plain', 'xz', 'zstd', 'lz4'].map((kind) => `squashfs-${kind}`),
    60_000,
  ),
  imageTarget(
    'erofs',
    ['plain', 'lz4hc', 'big', 'full', 'chunks'].map((kind) => `erofs-${kind}`),
    50_000,
  ),
  imageTarget(
    'ext4',
    ['plain', 'csum'].map((kind) => `ext4-${kind}`),
    60_000,
  ),
]
