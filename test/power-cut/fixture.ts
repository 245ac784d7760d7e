import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from '../../src/core/digest.ts'
import type { SlotName } from '../../src/model/boot-state.ts'
import { type Layout, parseLayout, type Role } from '../../src/model/layout.ts'
import { makeHost, type Workshop } from '../support/cli.ts'
import { contentOf, type Disk, makeDisk, markOf } from './disk.ts'

/** What a server and its releases are made from; read-only. */
export interface Fixture {
  /** `sfdisk --json` of the disk. */
  readonly table: string
  readonly layout: Layout
  /** As it left the factory and booted once: 1.0 in slot a. */
  readonly disk: Disk
  /** Images by version. */
  readonly images: ReadonlyMap<string, Buffer>
  /** What is in a slot, by its mark: found out once. */
  readonly seen: Map<string, string>
  /** Versions by digest. */
  readonly versions: ReadonlyMap<string, string>
  /** Everything a command may read, by path. */
  readonly files: ReadonlyMap<string, Buffer>
}

const VERSIONS = ['1.0', '2.0', '3.0']
/** What an update writes to. The state partition is written by the initramfs: see `state/`. */
const ROLES: readonly Role[] = ['bootstate', 'rootfs-a', 'rootfs-b']

/** Makes disk, releases, bundles and keys, with the real commands. */
export async function fillFixture(shop: Workshop): Promise<void> {
  await makeHost(shop)
  for (const name of ['root', 'signer']) await shop.ok(`key generate --out @${name}`)
  await shop.ok('keys create --root @root.pub --release @signer.pub --out @fleet.keys')
  await shop.ok('keys sign @fleet.keys --key @keys/ci.key --key @root.key')
  const ci = '--key @keys/ci.key'
  await make('2.0', `--out @2.0.bundle ${ci}`)
  await make('2.0', `--from @1.0.img --out @2.0-delta.bundle ${ci}`)
  await make('3.0', `--out @3.0.bundle ${ci}`)
  await make('2.0', '--out @2.0-rotated.bundle --key @signer.key --keys @fleet.keys')
  const full = readFileSync(shop.path('2.0.bundle'))
  writeFileSync(shop.path('2.0-cut.bundle'), full.subarray(0, Math.floor(full.length * 0.7)))

  async function make(version: string, rest: string): Promise<void> {
    await shop.ok(`bundle create --to @${version}.img --release ${version} --compatible test ${rest}`)
  }
}

const CONFIG = '[health]\nsettle = 0\n'

/** Reads what `fillFixture` made in `folder`. */
export function loadFixture(folder: string): Fixture {
  const path = join(folder, 'host.img')
  const table = execFileSync('sfdisk', ['--json', path], { encoding: 'utf8' })
  const layout = parseLayout(table, path)
  const raw = readFileSync(path)
  const partition = (role: Role) => {
    const { offset, bytes } = layout.partitions[role]
    return raw.subarray(offset, offset + bytes)
  }
  const images = new Map(VERSIONS.map((version) => [version, readFileSync(join(folder, `${version}.img`))]))
  const loose = readdirSync(folder).filter((name) => /\.(bundle|keys)$/.test(name))
  return {
    table,
    layout,
    disk: makeDisk(new Map(ROLES.map((role) => [role, partition(role)]))),
    images,
    seen: new Map(),
    versions: new Map([...images].map(([version, image]) => [digestOf(image), version])),
    files: new Map([
      ...loose.map((name): [string, Buffer] => [`/${name}`, readFileSync(join(folder, name))]),
      ['/etc/pine-update/keys/ci.pub', readFileSync(join(folder, 'keys/ci.pub'))],
      ['/etc/pine-update/config.toml', Buffer.from(CONFIG)],
    ]),
  }
}

/** The release that a slot holds, from its first byte to its last; `torn` where it is none. */
export function versionIn({ images, seen }: Fixture, disk: Disk, slot: SlotName): string {
  const mark = markOf(disk, `rootfs-${slot}`)
  const known = seen.get(mark)
  if (known !== undefined) return known
  const content = contentOf(disk, `rootfs-${slot}`)
  const whole = [...images].find(([, image]) => image.equals(content.subarray(0, image.length)))
  const version = whole?.[0] ?? 'torn'
  seen.set(mark, version)
  return version
}
