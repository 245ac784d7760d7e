import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { main } from '../../src/cli/program.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { bootDisk } from './boot-disk.ts'

export interface Ran {
  exit: number
  stdout: string
  stderr: string
  /** Standard output as JSON. */
  json: () => any
}

/** A folder of its own, and the real command line in it. */
export interface Workshop {
  dir: string
  host: Host
  path(name: string): string
  /** Runs one command line; words are split at spaces. */
  pine(line: string, stdin?: Uint8Array): Promise<Ran>
  /** The same, expected to succeed. */
  ok(line: string, stdin?: Uint8Array): Promise<Ran>
  /** What the loader does with host.img; the slot it starts. */
  boot(): Promise<string | null>
  close(): void
}

export function openWorkshop(host: Host = realHost()): Workshop {
  const dir = mkdtempSync(join(tmpdir(), 'pine-test-'))
  const path = (name: string): string => join(dir, name)
  const pine = async (line: string, stdin?: Uint8Array): Promise<Ran> => {
    const ran = { exit: 0, stdout: '', stderr: '', json: () => JSON.parse(ran.stdout) }
    ran.exit = await main(words(line, path), {
      host,
      stdout: (text) => {
        ran.stdout += text
      },
      stderr: (text) => {
        ran.stderr += text
      },
      interactive: false,
      stdin: once(stdin ?? new Uint8Array()),
    })
    return ran
  }
  const ok = async (line: string, stdin?: Uint8Array): Promise<Ran> => {
    const ran = await pine(line, stdin)
    if (ran.exit !== 0) throw new Error(`"${line}" ended with ${ran.exit}: ${ran.stderr}`)
    return ran
  }
  const boot = () => bootDisk(host, path('host.img'))
  return { dir, host, path, pine, ok, boot, close: () => rmSync(dir, { recursive: true, force: true }) }
}

/** `@name` is a file of the workshop. */
function words(line: string, path: (name: string) => string): string[] {
  return line.split(' ').map((word) => (word.startsWith('@') ? path(word.slice(1)) : word))
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

const LAYOUT = `label: gpt
first-lba: 2048
name=bios-boot, size=1MiB, type=21686148-6449-6E6F-744E-656564454649
name=bootstate, size=1MiB
name=swap, size=1MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F
name=rootfs-a, size=4MiB
name=rootfs-b, size=4MiB
name=state
`

let template: Workshop | undefined

/** Three releases of one small system, a key, and a disk of 32 MiB that runs 1.0. Made once, then copied. */
export async function makeHost(shop: Workshop): Promise<void> {
  if (template === undefined) {
    template = openWorkshop()
    process.once('exit', template.close)
    await fillTemplate(template)
  }
  execFileSync('cp', ['-a', '--sparse=always', `${template.dir}/.`, shop.dir])
  const health = `directories = ["${shop.path('health.d')}"]\nsystemd = false\nsettle = 0`
  writeFileSync(shop.path('host.toml'), `keyring = "${shop.path('keys')}"\n[health]\n${health}\n`)
}

async function fillTemplate(shop: Workshop): Promise<void> {
  writeFileSync(shop.path('layout.sfdisk'), LAYOUT)
  mkdirSync(shop.path('keys'))
  await shop.ok('key generate --out @keys/ci')
  for (const version of ['1.0', '2.0', '3.0']) await makeImage(shop, version)
  await shop.ok(
    'disk build --layout @layout.sfdisk --size 32M --image @1.0.img --compatible test --release 1.0 --out @host.img',
  )
  await shop.boot()
}

/** 2 MiB that all releases share, 256 KiB that each has for itself. */
export async function makeImage(shop: Workshop, version: string): Promise<void> {
  const tree = shop.path(`tree-${version}`)
  mkdirSync(join(tree, 'etc'), { recursive: true })
  writeFileSync(join(tree, 'etc/release'), version)
  writeFileSync(join(tree, 'own'), noise(256 * 1024, Number.parseFloat(version)))
  writeFileSync(join(tree, 'shared'), noise(2 * 1024 * 1024, 0))
  await shop.ok(`image build --tree @tree-${version} --out @${version}.img`)
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(bytes: number, seed: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  let state = (seed * 2654435761 + 12345) >>> 0
  for (let index = 0; index < bytes; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    buffer[index] = state & 0xff
  }
  return buffer
}

export const ON_DISK = '--disk @host.img --config @host.toml'

/** Makes `NAME.bundle` of one release, a delta where `from` is given. */
export async function makeBundle(
  shop: Workshop,
  to: string,
  options: { from?: string; more?: string } = {},
): Promise<string> {
  const from = options.from === undefined ? '' : ` --from @${options.from}.img`
  const key = /--key |--unsigned/.test(options.more ?? '') ? '' : ' --key @keys/ci.key'
  const more = options.more === undefined ? '' : ` ${options.more}`
  const fixed = more.includes('--compatible') ? '' : ' --compatible test'
  await shop.ok(
    `bundle create${from} --to @${to}.img --release ${to} --out @${to}.bundle${key}${fixed}${more}`,
  )
  return `${to}.bundle`
}

/** Bytes of a slot, to see that nothing touched it. */
export function slotContent(shop: Workshop, slot: 'a' | 'b'): Buffer {
  const start = (slot === 'a' ? 4 : 8) * 1024 * 1024
  return readFileSync(shop.path('host.img')).subarray(start, start + 4 * 1024 * 1024)
}
