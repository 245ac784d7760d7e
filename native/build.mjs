// Builds dist/native/: linux-<cpu>.node, one file for every Node from 20 on, on glibc and on musl; container-init-<cpu>.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import nodeApi from 'node-api-headers'

const here = dirname(fileURLToPath(import.meta.url))
const output = join(here, '..', 'dist', 'native', `linux-${process.arch}.node`)
const libraries = {
  'libzstd.a': 'libzstd-dev',
  'libz.a': 'zlib1g-dev',
  'liblzma.a': 'liblzma-dev',
  'liblz4.a': 'liblz4-dev',
}

function sources() {
  return readdirSync(here).filter((name) => name.endsWith('.c'))
}

function isNewer(output, folder) {
  if (!existsSync(output)) return false
  const builtMs = statSync(output).mtimeMs
  return readdirSync(folder).every((name) => statSync(join(folder, name)).mtimeMs <= builtMs)
}

function cc(args) {
  return execFileSync(process.env.CC ?? 'cc', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

function findLibrary([name, debianPackage]) {
  const found = cc([`-print-file-name=${name}`]).trim()
  if (!existsSync(found)) throw new Error(`${name} is missing: install ${debianPackage}`)
  return found
}

/** What runs in a container before anything else: static, since the slot's libraries are those of another release. */
function buildContainerInit() {
  const folder = join(here, 'container-init')
  const output = join(here, '..', 'dist', 'native', `container-init-${process.arch}`)
  if (isNewer(output, folder)) return
  const partial = `${output}.${process.pid}`
  mkdirSync(dirname(output), { recursive: true })
  const files = readdirSync(folder).filter((name) => name.endsWith('.c'))
  const flags = [
    '-std=gnu11',
    '-D_GNU_SOURCE',
    '-Os',
    '-Wall',
    '-Wextra',
    '-static',
    '-Wl,-s',
    '-Wl,--build-id=none',
  ]
  const words = [...flags, ...files.map((name) => join(folder, name)), '-o', partial]
  // A twentieth of what glibc takes. CC is for other architectures.
  const hasMusl = process.env.CC === undefined && spawnSync('musl-gcc', ['--version']).status === 0
  execFileSync(hasMusl ? 'musl-gcc' : (process.env.CC ?? 'cc'), words, {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  renameSync(partial, output)
}

/** Compiles the addon and the container's init where their sources are newer than the output. */
export function buildNative() {
  buildContainerInit()
  if (isNewer(output, here)) return
  const partial = `${output}.${process.pid}`
  mkdirSync(dirname(output), { recursive: true })
  cc([
    ...['-std=c11', '-O2', '-g0', '-Wall', '-Wextra', '-D_GNU_SOURCE', '-DNAPI_VERSION=8'],
    // A library of either C library would be asked for at load; whatever Node itself runs on is already there.
    ...['-shared', '-fPIC', '-nostdlib', '-nostartfiles', '-fvisibility=hidden'],
    ...['-fno-stack-protector', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=0'],
    // Node exports a zlib, newer ones a zstd of their own; ours must bind to ours.
    ...['-Wl,-Bsymbolic', '-Wl,--exclude-libs,ALL', '-Wl,--gc-sections', '-Wl,-s', '-Wl,-z,relro,-z,now'],
    ...['-Wl,--build-id=none', '-ffunction-sections', `-I${nodeApi.include_dir}`],
    ...sources().map((name) => join(here, name)),
    ...Object.entries(libraries).map(findLibrary),
    ...['-lgcc', '-o', partial],
  ])
  renameSync(partial, output)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildNative()
