import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { deflateRawSync, gunzipSync, inflateRawSync } from 'node:zlib'

/** From the root of the repository, where tests and `npm run fuzz` start. */
const FOLDER = 'test/fuzz/corpus'

/**
 * `findings`: inputs that once made a decoder fail, each with a name that says how. `grown`: inputs that got further into a
 * decoder than those before them. Both are one text file a target, a line an input: its name, and what DEFLATE makes of it in base64.
 */
export type Kind = 'findings' | 'grown'

export interface Kept {
  readonly name: string
  readonly input: Buffer
}

function fileOf(kind: Kind, target: string): string {
  return join(FOLDER, kind, `${target}.txt`)
}

export function readCorpus(kind: Kind, target: string): Kept[] {
  const file = fileOf(kind, target)
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => {
    const [name = '', base64 = ''] = line.split(' ')
    return { name, input: inflateRawSync(Buffer.from(base64, 'base64')) }
  })
}

/** All that is known of a target, beside its own seeds. */
export function knownInputs(target: string): Buffer[] {
  return [...readCorpus('findings', target), ...readCorpus('grown', target)].map(({ input }) => input)
}

function lineOf({ name, input }: Kept): string {
  return `${name} ${deflateRawSync(input, { level: 9 }).toString('base64')}\n`
}

export function addFinding(target: string, kept: Kept): void {
  mkdirSync(dirname(fileOf('findings', target)), { recursive: true })
  appendFileSync(fileOf('findings', target), lineOf(kept))
}

export function writeGrown(target: string, kept: readonly Kept[]): void {
  mkdirSync(dirname(fileOf('grown', target)), { recursive: true })
  if (kept.length > 0) writeFileSync(fileOf('grown', target), kept.map(lineOf).join(''))
}

/** An image that a real program made; `corpus/images/make.sh` says how. */
export function readImage(name: string): Buffer {
  return gunzipSync(readFileSync(join(FOLDER, 'images', `${name}.gz`)))
}
