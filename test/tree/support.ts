import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeManifest, encodeManifest } from '../../src/bundle/manifest.ts'
import { openBundle } from '../../src/bundle/reader.ts'
import type { TreeManifest } from '../../src/bundle/tree-manifest.ts'
import { payloadBytes, writeBundle } from '../../src/bundle/writer.ts'
import { digestOf } from '../../src/core/digest.ts'
import { parsePrivateKey } from '../../src/trust/keys.ts'
import { signManifest } from '../../src/trust/verify.ts'
import { LOADERS, ostree } from '../ostree/support.ts'
import { bootDisk } from '../support/boot-disk.ts'
import { noise, openWorkshop, type Workshop } from '../support/cli.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.log('skipped: trees with their owners need root')
export const ready = isRoot && LOADERS.some(({ reason }) => reason === undefined)

export const VERSIONS = ['1.0', '2.0', '3.0'] as const
export const ON_FOLDER = '--disk @host --config @host.toml'

let template: Workshop | undefined

/** A repository with three releases, a key, and a machine in the folder `host` that runs 1.0. Made once, then copied. */
export async function makeFolderHost(shop: Workshop): Promise<void> {
  if (template === undefined) {
    template = openWorkshop()
    process.once('exit', template.close)
    await fillTemplate(template)
  }
  execFileSync('cp', ['-a', `${template.dir}/.`, shop.dir])
  writeFileSync(shop.path('host.toml'), `keyring = "${shop.path('keys')}"\n`)
}

async function fillTemplate(shop: Workshop): Promise<void> {
  mkdirSync(shop.path('keys'))
  await shop.ok('key generate --out @keys/ci')
  const repo = `--repo=${shop.path('repo')}`
  ostree('init', repo, '--mode=archive')
  ostree('config', repo, 'set', 'core.fsync', 'false')
  for (const version of VERSIONS) {
    makeTree(shop.path(`tree-${version}`), version)
    const branch = [`--branch=web/${version}`, `--tree=dir=${shop.path(`tree-${version}`)}`]
    ostree('commit', repo, ...branch, `--subject=release ${version}`, '--timestamp=@1750000000')
  }
  await shop.ok('folder build @host --ostree @repo --ref web/1.0 --compatible test --release 1.0')
  await bootDisk(shop.host, shop.path('host'))
}

/** With all that a commit keeps: owners, modes, attributes, links, and files that are one or equal. */
function makeTree(tree: string, version: string): void {
  mkdirSync(join(tree, 'etc'), { recursive: true })
  mkdirSync(join(tree, 'usr/bin'), { recursive: true })
  writeFileSync(join(tree, 'etc/release'), version)
  for (const file of ['etc/one', 'etc/same', 'usr/bin/su', 'usr/bin/ping'])
    writeFileSync(join(tree, file), 'equal\n'.repeat(1000))
  writeFileSync(join(tree, 'usr/own'), noise(256 * 1024, Number.parseFloat(version)))
  writeFileSync(join(tree, 'usr/shared'), noise(2 * 1024 * 1024, 0))
  linkSync(join(tree, 'etc/release'), join(tree, 'etc/release.again'))
  symlinkSync(version, join(tree, 'etc/link'))
  chownSync(join(tree, 'usr'), 5, 7)
  chownSync(tree, 3, 4)
  chmodSync(tree, 0o711)
  chmodSync(join(tree, 'usr/bin/su'), 0o4750)
  chmodSync(join(tree, 'etc'), 0o1777)
  execFileSync('setfattr', ['-n', 'user.note', '-v', `of ${version}`, join(tree, 'etc/one')])
  execFileSync('setfattr', ['-n', 'user.root', '-v', version, tree])
  execFileSync('setcap', ['cap_net_raw+ep', join(tree, 'usr/bin/ping')])
}

/** Makes `NAME.bundle` of one release, a delta where `from` is given. */
export async function makeTreeBundle(
  shop: Workshop,
  to: string,
  { from, more = '', out = to }: { from?: string; more?: string; out?: string } = {},
): Promise<void> {
  const base = from === undefined ? '' : ` --from web/${from}`
  const names = `--release ${to} --compatible test --key @keys/ci.key --out @${out}.bundle`
  // A list of changes takes an image of each commit.
  await shop.ok(
    `bundle create --tree --no-changes --ostree @repo${base} --to web/${to} ${names} ${more}`.trim(),
  )
}

export function commitOf(shop: Workshop, version: string): string {
  return ostree('rev-parse', `--repo=${shop.path('repo')}`, `web/${version}`).trim()
}

/** Every file of a folder but ours: mode, owner, length, target and content; and every extended attribute. */
export function listing(folder: string): string {
  const script = `find . -path ./.pine -prune -o -printf '%p %y %m %U:%G %l\\n' | sort
find . -path ./.pine -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
find . -path ./.pine -prune -o -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex`
  return execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' })
}

/** Whether a slot is what the `ostree` command makes of the release. */
export function isExactly(shop: Workshop, slot: 'a' | 'b', version: string): boolean {
  const to = shop.path(`checkout-${version}`)
  execFileSync('rm', ['-rf', to])
  ostree('checkout', `--repo=${shop.path('repo')}`, '--force-copy', `web/${version}`, to)
  return listing(shop.path(`host/slots/${slot}`)) === listing(to)
}

/** All of a slot and its repository, times of content included; not how many links lead to a file. */
export function snapshot(folder: string): string {
  const script = `find . -printf '%p %y %m %U:%G %l %s %T@ %i\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum`
  return execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' })
}

/** The boot state without what looking at it changes: nothing. */
export function bootstate(shop: Workshop): Buffer {
  return readFileSync(shop.path('host/bootstate'))
}

/** What the loader, or the init of a container, does with the machine; the slot it starts. */
export function boot(shop: Workshop): Promise<string | null> {
  return bootDisk(shop.host, shop.path('host'))
}

interface Lie {
  change?: (manifest: TreeManifest) => TreeManifest
  /** Other bytes in the one segment, of which the manifest knows. */
  spoil?: (payload: Buffer) => Buffer
}

/** The same bundle with a manifest that says something else, signed by the same key. */
export async function relabel(
  shop: Workshop,
  name: string,
  { change = (manifest) => manifest, spoil = (payload) => payload }: Lie,
): Promise<void> {
  const bytes = readFileSync(shop.path(name))
  const opened = await openBundle(shop.host.readSource(shop.path(name)))
  await opened.close()
  const before = decodeManifest(opened.manifestBytes)
  if (!('tree' in before)) throw new Error('the bundle is of an image')
  const payload = spoil(Buffer.from(bytes.subarray(bytes.length - payloadBytes(before))))
  let at = 0
  const segments = before.variants.map((variant) =>
    variant.segments.map((segment) => {
      at += segment.bytes
      return { ...segment, digest: digestOf(payload.subarray(at - segment.bytes, at)) }
    }),
  )
  const variants = before.variants.map((variant, index) => ({ ...variant, segments: segments[index] ?? [] }))
  const manifest = change({ ...before, variants })
  const key = parsePrivateKey(readFileSync(shop.path('keys/ci.key'), 'utf8'))
  const signatures = [signManifest(encodeManifest(manifest), key)]
  const out: Buffer[] = []
  const parts = { manifest, signatures, payload: [payload] }
  await writeBundle(parts, async (piece) => void out.push(Buffer.from(piece)))
  writeFileSync(shop.path(name), Buffer.concat(out))
}
