import { type ChangeList, limitChanges, type PackageDatabase } from '../bundle/changes.ts'
import type { Codecs } from '../core/codecs.ts'
import type { Region } from '../core/region.ts'
import { parseApkInstalled } from '../expand/apk-installed.ts'
import { parseDpkgStatus } from '../expand/dpkg-status.ts'
import { expandImage, type ImageFile } from '../expand/image.ts'
import type { InstalledPackage } from '../expand/paragraphs.ts'
import { listTree, type TreeEntry } from '../expand/tree.ts'
import { type Content, openContent } from './content.ts'
import { diffPackages } from './package-changes.ts'
import { haveSameContent, readSound } from './same-content.ts'
import { type Comparison, diffTrees } from './tree-changes.ts'

interface Image {
  readonly region: Region
  readonly content: Content
}

/** An image by its names. */
interface Tree {
  readonly content: Content
  readonly entries: readonly TreeEntry[]
  fileOf(entry: TreeEntry): ImageFile | undefined
}

/** The same of two images that nobody has looked into. */
export async function listChangesOf(
  old: Region,
  now: Region,
  codecs: Codecs,
): Promise<ChangeList | undefined> {
  const open = async (region: Region): Promise<Image> => {
    const content = openContent(region, await expandImage(region, codecs), codecs)
    return { region, content }
  }
  return await listChanges(await open(old), await open(now), codecs)
}

/** What changed between two images; nothing where one of them is not of a file system whose names can be read. */
export async function listChanges(old: Image, now: Image, codecs: Codecs): Promise<ChangeList | undefined> {
  const [before, after] = [await openTree(old, codecs), await openTree(now, codecs)]
  if (before === undefined || after === undefined) return undefined
  const { files, unread } = await diffTrees(before.entries, after.entries, async (was, is) =>
    compareFiles([before, was], [after, is]),
  )
  const packages = [
    ...diffPackages('apk', await readPackages(before, 'apk'), await readPackages(after, 'apk')),
    ...diffPackages('dpkg', await readPackages(before, 'dpkg'), await readPackages(after, 'dpkg')),
  ]
  return limitChanges({ packages, files, omitted: 0, unread })
}

async function openTree({ region, content }: Image, codecs: Codecs): Promise<Tree | undefined> {
  const entries = await listTree(region, codecs)
  if (entries === undefined) return undefined
  const files = new Map(content.image.files.map((file) => [file.path, file]))
  return { content, entries, fileOf: ({ contentPath }) => files.get(contentPath) }
}

type EntryIn = readonly [Tree, TreeEntry]

async function compareFiles([before, was]: EntryIn, [after, is]: EntryIn): Promise<Comparison> {
  const [old, now] = [before.fileOf(was), after.fileOf(is)]
  if (old === undefined || now === undefined) return 'unread'
  const areSame = await haveSameContent(
    { content: before.content, file: old },
    { content: after.content, file: now },
  )
  return areSame ? 'same' : 'different'
}

interface Database {
  readonly paths: RegExp
  readonly parse: (text: string) => InstalledPackage[]
}

/** `status.d` is of images that were made without dpkg in them; apk moved its database under `/usr` in its version 3. */
const DATABASES: Readonly<Record<PackageDatabase, Database>> = {
  dpkg: { paths: /^var\/lib\/dpkg\/status(\.d\/[^/]+)?$/, parse: parseDpkgStatus },
  apk: { paths: /^(usr\/)?lib\/apk\/db\/installed$/, parse: parseApkInstalled },
}

/** A larger file is passed over. */
const MAX_DATABASE_BYTES = 64 * 1024 * 1024

async function readPackages(tree: Tree, database: PackageDatabase): Promise<InstalledPackage[]> {
  const { paths, parse } = DATABASES[database]
  const packages: InstalledPackage[] = []
  for (const entry of tree.entries) {
    const file = paths.test(entry.path) ? tree.fileOf(entry) : undefined
    if (file === undefined || file.bytes > MAX_DATABASE_BYTES) continue
    const bytes = await readSound([tree.content, file.pieces])
    for (const found of parse(bytes?.toString() ?? '')) packages.push(found)
  }
  return packages
}
