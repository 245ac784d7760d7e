import { EDGES, mutateBytes } from './bytes.ts'
import { few, type Random } from './random.ts'

/** What JSON, TOML and MessagePack can all say, and more: keys of any kind, twice, in any order. */
export type Tree = null | boolean | number | bigint | string | Buffer | Tree[] | Pairs
export class Pairs {
  entries: [Tree, Tree][]
  constructor(entries: [Tree, Tree][]) {
    this.entries = entries
  }
}

/** A tree of plain values, as `JSON.parse` or a decoder gives them. */
export function treeOf(value: unknown): Tree {
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (Array.isArray(value)) return value.map(treeOf)
  if (typeof value === 'object' && value !== null)
    return new Pairs(Object.entries(value).map(([key, item]): [Tree, Tree] => [key, treeOf(item)]))
  return value as Tree
}

/** A place in a tree whose value can be taken and replaced. */
interface Slot {
  get(): Tree
  set(value: Tree): void
}

const NUMBERS: readonly Tree[] = [
  ...EDGES.map((edge) => (edge <= Number.MAX_SAFE_INTEGER ? Number(edge) : edge)),
  ...[
    -1,
    -2,
    -128,
    -(2 ** 31),
    -(2 ** 53),
    0.5,
    -0.5,
    1e-320,
    1.5e300,
    86_400,
    86_401,
    99_999_999,
    100_000_000,
  ],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, -(2n ** 63n)],
]
const STRINGS = [
  ...[
    '',
    ' ',
    '\0',
    '\n',
    '/',
    '.',
    '..',
    '/..',
    '../../etc',
    '-',
    '--help',
    '%s',
    '\\',
    '"',
    "'",
    '$(x)',
    '0',
    '-1',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'length',
    'a'.repeat(64),
    'a'.repeat(65),
    'ä',
    '日本',
  ],
  ...[
    '\u202e',
    '\ud800',
    '\ufeff',
    '\u2028',
    '💾',
    '1.0',
    '01',
    '1'.repeat(300),
    'x'.repeat(5000),
    '\u001b[2J',
    'null',
  ],
]
const SCALARS: readonly Tree[] = [
  null,
  true,
  false,
  ...NUMBERS,
  ...STRINGS,
  Buffer.alloc(0),
  Buffer.alloc(31),
  Buffer.alloc(32),
]

/** Changes a tree in place, one to four times; `donor` lends values. Returns the tree, or what took the place of all of it. */
export function mutateTree(tree: Tree, random: Random, donor: Tree): Tree {
  let root = tree
  for (let left = few(random, 4); left > 0; left--) {
    const slots = slotsOf({
      get: () => root,
      set: (value) => {
        root = value
      },
    })
    // Near the root there are few places, but what happens there matters most.
    const slot = random.once(4) ? slots[random.below(Math.min(slots.length, 8))] : random.pick(slots)
    if (slot !== undefined) random.pick(TREE_STEPS)(slot, random, donor)
    root = cutAt(root, { left: MOST_UNITS })
  }
  return root
}

/** Somewhat more than the longest input. */
const MOST_UNITS = 100_000

/** Deeper than any decoder goes; a writer of text has the text of each level in its hands. */
const MOST_LEVELS = 200

/** A tree that borrows from itself a few times in a row has few places, but written out it would fill the memory. */
function cutAt(tree: Tree, budget: { left: number }, level = 0): Tree {
  budget.left -= 1 + (typeof tree === 'string' || Buffer.isBuffer(tree) ? tree.length : 0)
  if (budget.left < 0 || level > MOST_LEVELS) return null
  const cut = (item: Tree) => cutAt(item, budget, level + 1)
  if (Array.isArray(tree)) return cutList(tree, budget).map(cut)
  if (!(tree instanceof Pairs)) return tree
  return new Pairs(cutList(tree.entries, budget).map(([key, item]) => [cut(key), cut(item)]))
}

function cutList<Item>(items: readonly Item[], { left }: { left: number }): readonly Item[] {
  return items.length > left ? items.slice(0, left) : items
}

function slotsOf(root: Slot): Slot[] {
  const slots = [root]
  for (let next = 0; next < slots.length && slots.length < 4096; next++) {
    const value = slots[next]?.get()
    if (Array.isArray(value)) {
      for (const index of value.keys())
        slots.push({
          get: () => value[index] ?? null,
          set: (item) => {
            value[index] = item
          },
        })
    } else if (value instanceof Pairs) {
      for (const entry of value.entries)
        slots.push({
          get: () => entry[1],
          set: (item) => {
            entry[1] = item
          },
        })
    }
  }
  return slots
}

type TreeStep = (slot: Slot, random: Random, donor: Tree) => void

const TREE_STEPS: readonly TreeStep[] = [
  (slot, random) => slot.set(random.pick(SCALARS)),
  (slot, random) => slot.set(random.pick(NUMBERS)),
  (slot, random) => slot.set(random.pick(STRINGS)),
  changeScalar,
  changeScalar,
  nudge,
  nudge,
  nudge,
  changeList,
  changeList,
  changeKey,
  borrow,
  nest,
  asOtherType,
]

function changeScalar(slot: Slot, random: Random): void {
  const value = slot.get()
  if (typeof value === 'number')
    slot.set(value + random.pick([1, -1, 2, -2, 0.5, 512, 4096, value, -2 * value]))
  else if (typeof value === 'bigint') slot.set(value + random.pick([1n, -1n, 2n ** 32n]))
  else if (typeof value === 'boolean') slot.set(!value)
  else if (typeof value === 'string') slot.set(mutateString(value, random))
  else if (Buffer.isBuffer(value)) slot.set(mutateBytes(value, random, value))
  else changeList(slot, random)
}

/** As little as there is: what a schema says of length and type still holds. */
function nudge(slot: Slot, random: Random): void {
  const value = slot.get()
  if (typeof value === 'number') slot.set(Math.max(0, value + random.pick([1, -1, 8, 100])))
  else if (typeof value === 'string') slot.set(value.replace(/[a-z0-9]/i, random.pick(['a', 'Z', '0', '9'])))
  else if (Buffer.isBuffer(value) && value.length > 0) {
    const changed = Buffer.from(value)
    changed[random.below(changed.length)] = random.below(256)
    slot.set(changed)
  } else changeList(slot, random)
}

/** One to three characters are inserted, dropped or replaced, or a part comes twice. */
export function mutateString(text: string, random: Random): string {
  let mutated = text
  for (let left = few(random, 3); left > 0; left--) {
    const at = random.below(mutated.length + 1)
    const to = at + random.below(Math.min(8, mutated.length - at + 1))
    const between = random.pick([
      '',
      mutated.slice(at, to).repeat(2),
      random.pick(STRINGS),
      ownCharacter(mutated, random),
    ])
    mutated = mutated.slice(0, at) + between + mutated.slice(to)
  }
  return mutated
}

/** Another character of the same text: what its parser knows. */
function ownCharacter(text: string, random: Random): string {
  return text.length === 0 || random.once(2)
    ? String.fromCharCode(random.below(128))
    : text.charAt(random.below(text.length))
}

function changeList(slot: Slot, random: Random): void {
  const value = slot.get()
  const list: unknown[] | undefined =
    value instanceof Pairs ? value.entries : Array.isArray(value) ? value : undefined
  if (list === undefined || list.length === 0) return
  const [at, other] = [random.below(list.length), random.below(list.length)]
  const item = list[at]
  switch (random.below(5)) {
    case 0:
      list.splice(at, 1)
      break
    case 1:
      list.splice(other, 0, copyOf(item))
      break
    case 2:
      list[at] = list[other]
      list[other] = item
      break
    case 3:
      for (let copies = Math.min(1 << random.below(8), copiesOf(item)); copies > 0; copies--)
        list.push(copyOf(item))
      break
    default:
      list.reverse()
  }
}

/** How many there is room for. */
function copiesOf(item: unknown): number {
  return Math.ceil(MOST_UNITS / unitsOf(item))
}

function unitsOf(item: unknown): number {
  const items = item instanceof Pairs ? item.entries : Array.isArray(item) ? item : []
  return items.reduce((sum: number, inner: unknown) => sum + unitsOf(inner), 1)
}

function copyOf(item: unknown): unknown {
  if (item instanceof Pairs) return new Pairs(item.entries.map((entry) => copyOf(entry) as [Tree, Tree]))
  return Array.isArray(item) ? item.map(copyOf) : item
}

function changeKey(slot: Slot, random: Random): void {
  const value = slot.get()
  if (!(value instanceof Pairs)) {
    changeScalar(slot, random)
    return
  }
  const entry = value.entries[random.below(value.entries.length)]
  const key = random.pick<Tree>([
    random.pick(STRINGS),
    random.pick(SCALARS),
    mutateString(String(entry?.[0] ?? 'key'), random),
  ])
  if (entry === undefined || random.once(3)) value.entries.push([key, random.pick(SCALARS)])
  else entry[0] = key
}

function borrow(slot: Slot, random: Random, donor: Tree): void {
  slot.set(copyOf(random.pick(slotsOf({ get: () => donor, set: () => undefined })).get()) as Tree)
}

function nest(slot: Slot, random: Random): void {
  const isMap = random.once(2)
  for (let depth = random.pick([1, 2, 7, 8, 9, 50, 500]); depth > 0; depth--)
    slot.set(isMap ? new Pairs([['a', slot.get()]]) : [slot.get()])
}

function asOtherType(slot: Slot, random: Random): void {
  const value = slot.get()
  if (Buffer.isBuffer(value)) slot.set(random.pick([value.toString('hex'), [...value]]))
  else if (typeof value === 'string')
    slot.set(random.pick<Tree>([Buffer.from(value), Number(value), [value], [...value.slice(0, 99)]]))
  else if (typeof value === 'number') slot.set(random.pick<Tree>([String(value), [value], value === 1]))
  else if (value instanceof Pairs) slot.set(value.entries.map((entry): Tree => [...entry]))
  else if (Array.isArray(value))
    slot.set(new Pairs(value.map((item, index): [Tree, Tree] => [String(index), item])))
  else slot.set(String(value))
}
