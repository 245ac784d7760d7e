import { digestOf } from '../core/digest.ts'
import type { ImageFile, Piece } from '../expand/image.ts'
import type { Content } from './content.ts'

interface FileFinder {
  /** A file with exactly these bytes. */
  findSame(content: Buffer): Promise<readonly Piece[] | undefined>
  /** The file that the new file at `path` most likely was, or undefined. */
  findPartner(path: string, bytes: number): ImageFile | undefined
}

/** Finds files of the base by what is in them, and by their names. */
export function findFiles(files: readonly ImageFile[], content: Content): FileFinder {
  const names = KEYS.map((key) => ({ key, files: groupBy(files, (file) => key(file.path)) }))
  const sizes = groupBy(files, (file) => file.bytes)
  const hashes = new Map<ImageFile, Promise<string>>()

  function hashOfFile(file: ImageFile): Promise<string> {
    const hash = hashes.get(file) ?? content.readPieces(file.pieces).then(digestOf)
    hashes.set(file, hash)
    return hash
  }

  return {
    async findSame(wanted) {
      const candidates = wanted.length === 0 ? undefined : sizes.get(wanted.length)
      if (candidates === undefined) return undefined
      const digest = digestOf(wanted)
      for (const file of candidates) if ((await hashOfFile(file)) === digest) return file.pieces
      return undefined
    },
    findPartner(path, bytes) {
      const alike = names.find(({ key, files: known }) => known.has(key(path)))
      return alike && closest(alike.files.get(alike.key(path)) ?? [], bytes)
    },
  }
}

/** By path; by path with all numbers masked, which kernel and library versions are; by name alone. */
const KEYS: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => path.replace(/\d+/g, '0'),
  (path) => (path.split('/').at(-1) ?? path).replace(/\d+/g, '0'),
]

function groupBy<Key>(files: readonly ImageFile[], keyOf: (file: ImageFile) => Key): Map<Key, ImageFile[]> {
  const groups = new Map<Key, ImageFile[]>()
  for (const file of files) {
    const group = groups.get(keyOf(file))
    if (group) group.push(file)
    else groups.set(keyOf(file), [file])
  }
  return groups
}

function closest(files: readonly ImageFile[], bytes: number): ImageFile | undefined {
  const distance = (file: ImageFile) => Math.abs(file.bytes - bytes)
  return files.reduce<ImageFile | undefined>(
    (best, file) => (best === undefined || distance(file) < distance(best) ? file : best),
    undefined,
  )
}
