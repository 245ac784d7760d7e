// Packs dist/ and a Node into one archive, for machines that have none. The same inputs give the same bytes.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { thirdPartyLicences } from './licences.mjs'
import { nodeLicence, requireRuntime } from './runtime.mjs'

const REPO = join(import.meta.dirname, '..')
/** What an image gets too (`AGENT` and `OSTREE_AGENT` in src/build/prepare.ts); test/package compares the two. */
const AGENT = ['pine-update.cjs', 'native', 'blake3_js_bg.wasm', 'system', 'layouts']
const OSTREE_AGENT = ['ostree-child.cjs', 'node_modules']
/** 2020-01-01; tar warns of files from 1970. */
const EPOCH = '1577836800'

const GRUB_LICENCE = `lib/loader is GNU GRUB, GPL-3.0-or-later, made by grub-mkimage from Debian's packages grub-pc-bin and grub-efi-amd64-bin.
Its source is Debian's source package grub2, https://sources.debian.org/src/grub2/, and https://ftp.gnu.org/gnu/grub/.
`

function readOptions() {
  const { values } = parseArgs({
    options: {
      /** Folder for the archive and its .sha256. */
      out: { type: 'string', default: join(REPO, 'dist') },
      /** The Node to pack. */
      runtime: { type: 'string', default: process.execPath },
      /** Of gzip. 9 takes three times as long as 6 and saves 0.6 %. */
      level: { type: 'string', default: '6' },
    },
  })
  return values
}

function stage(folder, { runtime, nodeVersion }) {
  const lib = join(folder, 'lib')
  mkdirSync(lib, { recursive: true })
  // Without the symbols that only a debugger reads: an eighth of it.
  execFileSync('strip', ['-o', join(lib, 'node'), runtime])
  for (const name of [...AGENT, ...OSTREE_AGENT])
    cpSync(join(REPO, 'dist', name), join(lib, name), { recursive: true })
  execFileSync(process.execPath, [join(REPO, 'dist/loader-files.cjs'), join(lib, 'loader')])
  // Where --help and docs look for them.
  symlinkSync('lib/layouts', join(folder, 'layouts'))
  cpSync(join(REPO, 'docs/errors.md'), join(folder, 'docs/errors.md'))
  cpSync(join(REPO, 'package/launcher'), join(folder, 'pine-update'))
  cpSync(join(REPO, 'LICENSE'), join(folder, 'LICENSE'))
  writeFileSync(join(folder, 'LICENSE.node'), nodeLicence(runtime, nodeVersion))
  writeFileSync(join(folder, 'LICENSE.third-party'), thirdPartyLicences(REPO))
  writeFileSync(join(folder, 'LICENSE.grub'), GRUB_LICENCE)
}

function pack(folder, { archive, level }) {
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX']
  const mtime = `--mtime=@${process.env.SOURCE_DATE_EPOCH ?? EPOCH}`
  const gzip = `--use-compress-program=gzip -n -${level}`
  const same = ['--sort=name', '--format=ustar', mtime, ...owner]
  execFileSync('tar', ['-cf', archive, gzip, ...same, '-C', dirname(folder), basename(folder)])
  const sum = createHash('sha256').update(readFileSync(archive)).digest('hex')
  writeFileSync(`${archive}.sha256`, `${sum}  ${basename(archive)}\n`)
}

const mb = (path) => `${(statSync(path).size / 1e6).toFixed(1)} MB`

function main() {
  const { out, runtime, level } = readOptions()
  const nodeVersion = requireRuntime(runtime)
  const { version } = JSON.parse(readFileSync(join(REPO, 'package.json'), 'utf8'))
  const name = `pine-update-${version}-linux-${process.arch}`
  const work = mkdtempSync(join(tmpdir(), 'pine-package-'))
  try {
    const folder = join(work, name)
    const archive = resolve(out, `${name}.tar.gz`)
    stage(folder, { runtime, nodeVersion })
    // What was packed starts here at least.
    execFileSync(join(folder, 'pine-update'), ['--version'])
    mkdirSync(out, { recursive: true })
    pack(folder, { archive, level })
    console.log(`${archive}: ${mb(archive)}, with Node ${nodeVersion} of ${mb(join(folder, 'lib/node'))}`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

try {
  main()
} catch (error) {
  console.error(`package: ${error.message}`)
  process.exitCode = 1
}
