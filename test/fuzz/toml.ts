import { parse } from 'smol-toml'
import { mutateBytes } from './bytes.ts'
import type { Random } from './random.ts'
import { mutateTree, Pairs, type Tree, treeOf } from './tree.ts'

/** Values of a configuration are changed and written again; what cannot be read has some bytes changed. */
export function mutateConfig(input: Buffer, random: Random, donor: Buffer): Buffer {
  const tree = readToml(input)
  if (tree === undefined) return mutateBytes(input, random, donor, 16_384)
  return Buffer.from(writeToml(mutateTree(tree, random, readToml(donor) ?? null))).subarray(0, 16_384)
}

function readToml(text: Buffer): Tree | undefined {
  try {
    return treeOf(parse(text.toString()))
  } catch {
    return undefined
  }
}

/** One line for each key of the root, tables inline; not all of it is TOML, and need not be. */
function writeToml(tree: Tree): string {
  if (!(tree instanceof Pairs)) return value(tree)
  return tree.entries.map(([name, item]) => `${key(name)} = ${value(item)}\n`).join('')
}

function key(name: Tree): string {
  const text = String(name)
  return /^[A-Za-z0-9_-]+$/.test(text) ? text : JSON.stringify(text)
}

function value(tree: Tree): string {
  if (Array.isArray(tree)) return `[${tree.map(value).join(', ')}]`
  if (tree instanceof Pairs)
    return `{${tree.entries.map(([name, item]) => `${key(name)} = ${value(item)}`).join(', ')}}`
  if (typeof tree === 'string') return JSON.stringify(tree)
  if (Buffer.isBuffer(tree)) return JSON.stringify(tree.toString('latin1'))
  if (tree === Number.POSITIVE_INFINITY) return 'inf'
  return Number.isNaN(tree) ? 'nan' : String(tree)
}
