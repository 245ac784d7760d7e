import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { AREA } from '../../src/boot/bootstate-area.ts'
import { ON_DISK, type Workshop } from '../support/cli.ts'
import { changed, flipped, type Row } from './row.ts'

const MiB = 1024 * 1024
const BOOTSTATE = 2 * MiB
const STATUS = `status ${ON_DISK}`

function wiped(...names: (keyof typeof AREA)[]): Row['make'] {
  return (shop) => {
    const disk = readFileSync(shop.path('host.img'))
    for (const name of names)
      disk.fill(0, BOOTSTATE + AREA[name].offset, BOOTSTATE + AREA[name].offset + AREA[name].bytes)
    writeFileSync(shop.path('host.img'), disk)
    return changed((bytes) => bytes)(shop)
  }
}

function configured(text: string): Row['make'] {
  return (shop) => {
    writeFileSync(shop.path('host.toml'), text)
    return STATUS
  }
}

function keyed(content: string | ((line: string) => string)): Row['make'] {
  return (shop) => {
    const line = readFileSync(shop.path('keys/ci.pub'), 'utf8')
    writeFileSync(shop.path('keys/ci.pub'), typeof content === 'string' ? content : content(line))
    return changed((bytes) => bytes)(shop)
  }
}

async function keyList(shop: Workshop, name: string, more = ''): Promise<void> {
  await shop.ok(`keys create --root @keys/ci.pub --release @keys/ci.pub --out @${name}${more}`)
  await shop.ok(`keys sign @${name} --key @keys/ci.key`)
}

function laidOut(layout: (text: string) => string, size = '32M'): Row['make'] {
  return (shop) => {
    writeFileSync(shop.path('layout.sfdisk'), layout(readFileSync(shop.path('layout.sfdisk'), 'utf8')))
    return `disk build --layout @layout.sfdisk --size ${size} --image @1.0.img --compatible t --release 1 --out @y`
  }
}

/** Keys, configuration, partition tables and disks. */
export const BAD_MACHINES: readonly Row[] = [
  { input: 'a keyring without a key', code: 'KEYRING_EMPTY', make: keyed('# none yet\n') },
  {
    input: 'a key with a digit missing',
    code: 'KEY_INVALID',
    make: keyed((line) => line.replace(/.=/, '=')),
  },
  {
    input: 'a key under the name of another',
    code: 'KEY_INVALID',
    make: keyed((line) => line.replace(/ [0-9a-f]{16} /, ' 0123456789abcdef ')),
  },
  { input: 'a secret key in the keyring', code: 'KEY_INVALID', make: keyed('-----BEGIN PRIVATE KEY-----\n') },
  {
    input: 'a key list cut short',
    code: 'KEY_LIST_INVALID',
    make: async (shop) => {
      await keyList(shop, 'x.keys')
      truncateSync(shop.path('x.keys'), 100)
      return `keys trust @x.keys ${ON_DISK}`
    },
  },
  {
    input: 'a key list that nobody signed',
    code: 'KEY_LIST_UNTRUSTED',
    make: async (shop) => {
      await shop.ok('keys create --root @keys/ci.pub --release @keys/ci.pub --out @x.keys')
      return `keys trust @x.keys ${ON_DISK}`
    },
  },
  {
    input: 'a key list with a bit changed',
    code: 'KEY_LIST_UNTRUSTED',
    make: async (shop) => {
      await keyList(shop, 'x.keys')
      const bytes = readFileSync(shop.path('x.keys'))
      writeFileSync(shop.path('x.keys'), flipped(bytes, bytes.indexOf('created') + 10))
      return `keys trust @x.keys ${ON_DISK}`
    },
  },
  {
    input: 'a key list signed by its own keys only',
    code: 'KEY_LIST_UNTRUSTED',
    make: async (shop) => {
      await shop.ok('key generate --out @eve')
      await shop.ok('keys create --root @eve.pub --release @eve.pub --out @x.keys')
      await shop.ok('keys sign @x.keys --key @eve.key')
      return `keys trust @x.keys ${ON_DISK}`
    },
  },
  {
    input: 'a key list that skips one',
    code: 'KEY_LIST_UNTRUSTED',
    make: async (shop) => {
      await keyList(shop, 'x.keys')
      await keyList(shop, 'x.keys', ' --after @x.keys')
      const bytes = readFileSync(shop.path('x.keys'))
      const firstBytes = 8 + bytes.readUInt32LE(16) + 72
      bytes.writeUInt32LE(1, 12)
      writeFileSync(
        shop.path('x.keys'),
        Buffer.concat([bytes.subarray(0, 16), bytes.subarray(16 + firstBytes)]),
      )
      return `keys trust @x.keys ${ON_DISK}`
    },
  },
  {
    input: 'a key list that wants more signatures than it has keys',
    code: 'KEY_LIST_INVALID',
    make: () => 'keys create --root @keys/ci.pub --root-threshold 2 --release @keys/ci.pub --out @x.keys',
  },
  {
    input: 'an unknown key in the configuration',
    code: 'CONFIG_INVALID',
    make: configured('keyrings = "x"\n'),
  },
  { input: 'a configuration that is not TOML', code: 'CONFIG_INVALID', make: configured('[health\n') },
  { input: 'a threshold of 0', code: 'CONFIG_INVALID', make: configured('threshold = 0\n') },
  { input: 'eight tries', code: 'CONFIG_INVALID', make: configured('tries = 8\n') },
  { input: 'a switch in words', code: 'CONFIG_INVALID', make: configured('[health]\nsystemd = "yes"\n') },
  {
    input: 'a health address without a port',
    code: 'CONFIG_INVALID',
    make: configured('[health]\ntcp = ["127.0.0.1"]\n'),
  },
  {
    input: 'a configuration that is not there',
    code: 'FILE_NOT_FOUND',
    make: () => 'status --disk @host.img --config @none.toml',
  },
  { input: 'a layout that is not one', code: 'LAYOUT_INVALID', make: laidOut(() => 'label: gpt\nrubbish\n') },
  {
    input: 'a layout without a slot',
    code: 'LAYOUT_INVALID',
    make: laidOut((text) => text.replace(/name=rootfs-b.*\n/, '')),
  },
  {
    input: 'a layout with a role twice',
    code: 'LAYOUT_INVALID',
    make: laidOut((text) => text.replace('rootfs-b', 'rootfs-a')),
  },
  { input: 'a layout larger than the disk', code: 'LAYOUT_INVALID', make: laidOut((text) => text, '8M') },
  {
    input: 'a slot too small for its image',
    code: 'IMAGE_TOO_BIG',
    make: laidOut((text) => text.replaceAll('size=4MiB', 'size=2MiB')),
  },
  { input: 'a disk that is not there', code: 'FILE_NOT_FOUND', make: () => 'status --disk @none.img' },
  {
    input: 'an empty disk',
    code: 'NOT_A_PINE_DISK',
    make: (shop) => {
      writeFileSync(shop.path('blank.img'), Buffer.alloc(MiB))
      return 'status --disk @blank.img'
    },
  },
  {
    input: 'a disk with other partitions',
    code: 'LAYOUT_INVALID',
    make: async (shop) => {
      writeFileSync(shop.path('other.img'), Buffer.alloc(16 * MiB))
      await shop.host.exec('sfdisk', ['--quiet', shop.path('other.img')], {
        input: 'label: gpt\nname=root\n',
      })
      return 'status --disk @other.img'
    },
  },
  {
    input: 'a disk cut in the middle',
    code: 'LAYOUT_INVALID',
    make: async (shop) => {
      const line = await changed((bytes) => bytes)(shop)
      truncateSync(shop.path('host.img'), 6 * MiB)
      return line
    },
  },
  {
    input: 'a bootstate partition without its headers',
    code: 'NOT_A_PINE_DISK',
    make: async (shop) => {
      const line = await changed((bytes) => bytes)(shop)
      writeFileSync(
        shop.path('host.img'),
        readFileSync(shop.path('host.img')).fill(0, BOOTSTATE, BOOTSTATE + 4096),
      )
      return line
    },
  },
  { input: 'both copies of the boot state gone', code: 'BOOT_STATE_INVALID', make: wiped('env0', 'env1') },
  { input: 'both copies of the records gone', code: 'NOT_A_PINE_DISK', make: wiped('meta0', 'meta1') },
  { input: 'nothing to go back to', code: 'NOTHING_TO_ROLL_BACK_TO', make: () => `rollback ${ON_DISK}` },
  { input: 'nothing to reject', code: 'NOTHING_TO_CONFIRM', make: () => `reject ${ON_DISK}` },
  {
    input: 'a signing key that is not one',
    code: 'KEY_INVALID',
    make: () => 'bundle create --to @2.0.img --out @x --key @1.0.img --compatible x --release 1',
  },
  {
    input: 'an empty image to be sent',
    code: 'USAGE',
    make: (shop) => {
      writeFileSync(shop.path('2.0.img'), '')
      return 'bundle create --to @2.0.img --out @x --key @keys/ci.key --compatible x --release 1'
    },
  },
  {
    input: 'kernel arguments with a shell in them',
    code: 'USAGE',
    make: (shop) => {
      copyFileSync(shop.path('1.0.img'), shop.path('z.img'))
      return 'disk build --layout @layout.sfdisk --size 32M --image @z.img --compatible t --release 1 --out @y --append $(x)'
    },
  },
  {
    input: 'a disk image that would be overwritten',
    code: 'FILE_EXISTS',
    make: () =>
      'disk build --layout @layout.sfdisk --size 32M --image @1.0.img --compatible t --release 1 --out @host.img',
  },
  {
    input: 'a key that would be overwritten',
    code: 'FILE_EXISTS',
    make: () => 'key generate --out @keys/ci',
  },
  { input: 'a tree that is no system', code: 'TREE_INVALID', make: () => 'image prepare @keys' },
  {
    input: 'passwords that everybody can read in a tree',
    code: 'TREE_INVALID',
    make: (shop) => {
      writeFileSync(shop.path('tree-2.0/etc/shadow'), 'root:*:\n', { mode: 0o644 })
      return 'image build --tree @tree-2.0 --out @x.img'
    },
  },
  {
    input: 'a signature of another key',
    code: 'SIGNATURE_INVALID',
    make: async (shop) => {
      await changed((bytes) => bytes)(shop)
      writeFileSync(shop.path('sig'), Buffer.alloc(64))
      return 'bundle attach @2.0.bundle --signature @sig --key @keys/ci.pub'
    },
  },
]
