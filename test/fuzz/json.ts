import { mutateBytes } from './bytes.ts'
import type { Random } from './random.ts'
import { mutateTree, Pairs, type Tree, treeOf } from './tree.ts'

/** Values are changed and written again; keys may come twice. What cannot be read has some bytes changed. */
export function mutateJson(input: Buffer, random: Random, donor: Buffer): Buffer {
  const tree = random.once(6) ? undefined : readJson(input)
  if (tree === undefined) return mutateBytes(input, random, donor, 65_000)
  return Buffer.from(writeJson(mutateTree(tree, random, readJson(donor) ?? null))).subarray(0, 65_000)
}

function readJson(text: Buffer): Tree | undefined {
  try {
    return treeOf(JSON.parse(text.toString()))
  } catch {
    return undefined
  }
}

/** What JSON has no words for is written as other programs do: `NaN`, `Infinity`. */
export function writeJson(tree: Tree): string {
  if (Array.isArray(tree)) return `[${tree.map(writeJson).join()}]`
  if (tree instanceof Pairs)
    return `{${tree.entries.map(([key, item]) => `${JSON.stringify(String(key))}:${writeJson(item)}`).join()}}`
  if (Buffer.isBuffer(tree)) return JSON.stringify(tree.toString('base64'))
  return typeof tree === 'string' ? JSON.stringify(tree) : String(tree)
}
