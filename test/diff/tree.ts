import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { bzImage, pipe } from '../expand/programs.ts'
import { numbers, systemBytes } from '../native/content.ts'

/** How a file is packed: a program and its options. */
export type Packing = readonly [program: string, ...options: string[]]

export interface TreeFile {
  readonly content: Buffer
  readonly packing?: Packing
}

/** A small system: files by path, and how its initrd and its kernel are packed. */
export interface Tree {
  readonly files: ReadonlyMap<string, TreeFile>
  readonly initrd: Packing
  readonly kernel: Packing
}

type Next = ReturnType<typeof numbers>

const LIBRARY = 'usr/lib/libpine.so.1'

const LEVELS: Readonly<Record<string, readonly Packing[]>> = {
  gz: [
    ['gzip', '-9n'],
    ['gzip', '-6n'],
    ['gzip', '-1'],
  ],
  xz: [
    ['xz', '-6', '--check=crc32', '-T1'],
    ['xz', '-6', '-T1'],
  ],
  zst: [
    ['zstd', '-3', '-c'],
    ['zstd', '-19', '-c', '-T1'],
    ['zstd', '-9', '-T0', '-c'],
  ],
  lz4: [
    ['lz4', '-l', '-9', '-c'],
    ['lz4', '-l', '-1', '-c'],
  ],
}
const INITRD: readonly Packing[] = [
  ['gzip', '-9n'],
  ['zstd', '-9', '-T0', '-c'],
  ['xz', '--check=crc32', '--lzma2=dict=1MiB', '-T1'],
]
const KERNEL: readonly Packing[] = [
  ['zstd', '-9', '-c'],
  ['gzip', '-9n'],
  ['lz4', '-l', '-9', '-c'],
]

/** Packed files and programs, text, tables, noise and zeros, of lengths around those of blocks. */
export function makeTree(seed: number): Tree {
  const next = numbers(seed)
  const files = new Map<string, TreeFile>()
  const file = (bytes: number): TreeFile => ({ content: systemBytes(bytes, 1 + next(1000)) })
  for (const bytes of [1, 4095, 4096, 12_345, 65_536, 131_073, 200_000])
    files.set(`usr/bin/tool-${bytes}`, file(bytes))
  for (let number = 0; number < 20; number++) files.set(`etc/conf.d/${number}`, file(next(3000)))
  for (const [end, levels] of Object.entries(LEVELS))
    for (let number = 0; number < 2; number++)
      files.set(`usr/share/doc/page-${number}.${end}`, {
        ...file(1000 + next(90_000)),
        packing: pick(levels, next),
      })
  files.set(LIBRARY, { content: builds().shared[0] ?? Buffer.alloc(0) })
  files.set('usr/lib/modules/6.1.0-1/pine.ko', { content: builds().relocatable[0] ?? Buffer.alloc(0) })
  files.set('usr/lib/modules/6.1.0-1/zipped.ko.xz', {
    content: builds().relocatable[0] ?? Buffer.alloc(0),
    packing: ['xz', '-6', '--check=crc32', '-T1'],
  })
  files.set('usr/lib/large', { content: systemBytes(700_000, 1 + next(1000)) })
  files.set('empty', { content: Buffer.alloc(0) })
  return { files, initrd: pick(INITRD, next), kernel: pick(KERNEL, next) }
}

function pick<Item>(list: readonly Item[], next: Next): Item {
  const item = list[next(list.length)]
  if (item === undefined) throw new Error('there is nothing to pick from')
  return item
}

/** Some of everything that happens between two releases. */
export function editTree(tree: Tree, seed: number): Tree {
  const next = numbers(seed)
  const files = new Map(tree.files)
  for (let count = 3 + next(10); count > 0; count--) pick(EDITS, next)(files, next)
  const repack = next(4) === 0
  return {
    files,
    initrd: repack ? pick(INITRD, next) : tree.initrd,
    kernel: repack ? pick(KERNEL, next) : tree.kernel,
  }
}

type Edit = (files: Map<string, TreeFile>, next: Next) => void

const EDITS: readonly Edit[] = [
  function changeBytes(files, next) {
    changeContent(files, next, (content) => {
      const changed = Buffer.from(content)
      for (let count = 1 + next(20); count > 0 && changed.length > 0; count--)
        changed[next(changed.length)] = next(256)
      return changed
    })
  },
  function insert(files, next) {
    changeContent(files, next, (content) => {
      const at = next(content.length + 1)
      return Buffer.concat([
        content.subarray(0, at),
        systemBytes(1 + next(9000), 1 + next(1000)),
        content.subarray(at),
      ])
    })
  },
  function cut(files, next) {
    changeContent(files, next, (content) => {
      const at = next(content.length + 1)
      return Buffer.concat([content.subarray(0, at), content.subarray(at + next(20_000))])
    })
  },
  function replace(files, next) {
    changeContent(files, next, (content) => systemBytes(content.length, 1 + next(1000)))
  },
  function rename(files, next) {
    const path = pickPath(files, next)
    const file = files.get(path)
    files.delete(path)
    if (file) files.set(`${path.split('.')[0]}-${next(99)}`, file)
  },
  function copy(files, next) {
    const file = files.get(pickPath(files, next))
    if (file) files.set(`usr/copies/${next(99)}`, file)
  },
  function add(files, next) {
    files.set(`added/${next(99)}`, { content: systemBytes(next(40_000), 1 + next(1000)) })
  },
  function remove(files, next) {
    files.delete(pickPath(files, next))
  },
  function packOtherwise(files, next) {
    const path = pickPath(files, next)
    const file = files.get(path)
    const levels = LEVELS[path.split('.').at(-1) ?? '']
    if (file && levels) files.set(path, { ...file, packing: pick(levels, next) })
  },
  function upgrade(files, next) {
    const build = 1 + next(builds().shared.length - 1)
    if (!files.has(LIBRARY)) return
    const upgraded = upgradeProgram({ files, initrd: ['gzip'], kernel: ['gzip'] }, build)
    for (const [path, file] of upgraded.files) files.set(path, file)
  },
]

function pickPath(files: ReadonlyMap<string, TreeFile>, next: Next): string {
  return pick([...files.keys()], next)
}

function changeContent(files: Map<string, TreeFile>, next: Next, change: (content: Buffer) => Buffer): void {
  const path = pickPath(files, next)
  const file = files.get(path)
  if (file) files.set(path, { ...file, content: change(file.content) })
}

/** A tree with one file changed. */
export function replaceFile(tree: Tree, path: string, change: (content: Buffer) => Buffer): Tree {
  const file = tree.files.get(path)
  if (file === undefined) throw new Error(`there is no ${path}`)
  return { ...tree, files: new Map(tree.files).set(path, { ...file, content: change(file.content) }) }
}

/** The next build of the program, as a library, as modules and in the kernel. */
export function upgradeProgram(tree: Tree, build = 1): Tree {
  const { shared, relocatable } = builds()
  const modules = [...tree.files.keys()].filter((path) => /\.ko/.test(path))
  const content = (list: readonly Buffer[]) => () => list[build] ?? Buffer.alloc(0)
  const upgraded = replaceFile(tree, LIBRARY, content(shared))
  return modules.reduce((all, path) => replaceFile(all, path, content(relocatable)), upgraded)
}

/** A tree as it is on disk: paths and their bytes. */
export function packTree(tree: Tree): Map<string, Buffer> {
  const packed = new Map<string, Buffer>()
  for (const [path, file] of tree.files) packed.set(path, packFile(file))
  const inInitrd = [...tree.files].filter(([path]) => /^usr\/(lib|bin)/.test(path)).map(([path]) => path)
  const members = new Map(inInitrd.map((path) => [path, packed.get(path) ?? Buffer.alloc(0)]))
  members.set('init', Buffer.from(`#!/bin/sh\n# of a system with ${tree.files.size} files\n`))
  const microcode = cpioOf(new Map([['kernel/x86/microcode', systemBytes(9000, 77)]]))
  packed.set(
    'boot/initrd.img-6.1',
    Buffer.concat([microcode, packFile({ content: cpioOf(members), packing: tree.initrd })]),
  )
  const kernel = tree.files.get(LIBRARY)?.content ?? systemBytes(50_000, 5)
  packed.set('boot/vmlinuz-6.1', bzImage(packFile({ content: kernel, packing: tree.kernel })))
  return packed
}

function packFile({ content, packing }: TreeFile): Buffer {
  if (packing === undefined) return content
  const [program, ...options] = packing
  return pipe(program, options, content)
}

/** An archive in the format of initramfs (cpio(5), "New ASCII Format"), the same for the same files. */
function cpioOf(files: ReadonlyMap<string, Buffer>): Buffer {
  const parts = [...files].flatMap(([path, content], index) => cpioMember(path, content, index + 1))
  return Buffer.concat([...parts, ...cpioMember('TRAILER!!!', Buffer.alloc(0), 0)])
}

function cpioMember(path: string, content: Buffer, inode: number): Buffer[] {
  const name = Buffer.from(`${path}\0`)
  const fields = [inode, 0o100644, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0]
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`)
  const padding = (bytes: number): Buffer => Buffer.alloc(-bytes & 3)
  return [head, name, padding(head.length + name.length), content, padding(content.length)]
}

export function writeTree(root: string, files: ReadonlyMap<string, Buffer>): void {
  for (const [path, content] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
    utimesSync(join(root, path), 1, 1)
  }
}

interface Builds {
  readonly shared: readonly Buffer[]
  readonly relocatable: readonly Buffer[]
}

let made: Builds | undefined

/** One program in several versions, as a library and as a relocatable file: addresses in them shift. */
export function builds(): Builds {
  made ??= makeBuilds()
  return made
}

const VERSIONS = 3

export function hasCompiler(): boolean {
  return spawnSync('gcc', ['--version']).error === undefined
}

function makeBuilds(): Builds {
  if (!hasCompiler()) {
    console.log('no builds of a program: there is no gcc')
    const shared = Array.from({ length: VERSIONS }, (_, version) => systemBytes(30_000, 50 + version))
    return { shared, relocatable: shared }
  }
  const dir = mkdtempSync(join(tmpdir(), 'pine-builds-'))
  try {
    return {
      shared: Array.from({ length: VERSIONS }, (_, version) => compile(dir, version, ['-shared', '-fPIC'])),
      relocatable: Array.from({ length: VERSIONS }, (_, version) => compile(dir, version, ['-c'])),
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function compile(dir: string, version: number, options: readonly string[]): Buffer {
  const out = join(dir, 'out')
  pipe('gcc', ['-O1', ...options, '-x', 'c', '-', '-o', out], Buffer.from(sourceOf(version)))
  return readFileSync(out)
}

const FUNCTIONS = 300

/** Functions that call each other and use tables; each version has some more at the start and in the middle. */
function sourceOf(version: number): string {
  const names = Array.from({ length: FUNCTIONS }, (_, index) => `f${index}`)
  for (let extra = 0; extra < version; extra++) names.splice((extra * 97) % names.length, 0, `extra${extra}`)
  const bodies = names.map((name, index) => {
    const callee = names[(index * 7 + 3) % names.length]
    return `int ${name}(int x) { if (x < ${index}) return ${callee}(x + ${index * 3}) ^ table[x & 63]; return x * ${index + 1}; }`
  })
  return `extern int table[64]; int table[64] = {1};
${names.map((name) => `int ${name}(int);`).join('\n')}
${bodies.join('\n')}
int (*const all[])(int) = {${names.join(', ')}};
const char *const texts[] = {${names.map((name) => `"text of ${name}"`).join(', ')}};
`
}
