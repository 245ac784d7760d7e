import { execFileSync } from 'node:child_process'
import { readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** On every Debian and Ubuntu: glibc, and what apt itself is linked to. */
const LIBRARIES = new Set([
  ...['libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', 'librt.so.1', 'ld-linux-x86-64.so.2'],
  ...['libstdc++.so.6', 'libgcc_s.so.1'],
])
/** The newest symbols that Debian 11 and Ubuntu 20.04 have. */
const NEWEST = { GLIBC: '2.31', GLIBCXX: '3.4.28', CXXABI: '1.3.12', GCC: '7.0.0' }
const OLDEST_NODE = '20.19.0'

const isNewer = (one, other) => one.localeCompare(other, 'en', { numeric: true }) > 0

/** The version of a Node that runs wherever the archive has to. Throws where it does not, and says why. */
export function requireRuntime(runtime) {
  try {
    return checkRuntime(runtime)
  } catch (cause) {
    const hint =
      'give the bin/node of an archive from https://nodejs.org/dist: npm run package -- --runtime FILE'
    throw new Error(`${cause.message}\n  ${hint}`, { cause })
  }
}

function checkRuntime(runtime) {
  const headers = run('objdump', ['--private-headers', runtime])
  const beyond = excess(headers)
  if (beyond.length > 0) throw new Error(`${runtime} asks for more than Debian 11 has: ${beyond.join(', ')}`)
  const [, version] = /^v(\d+\.\d+\.\d+)\n$/.exec(run(runtime, ['--version'])) ?? []
  if (version === undefined) throw new Error(`${runtime} is no Node`)
  if (isNewer(OLDEST_NODE, version))
    throw new Error(`${runtime} is Node ${version}, expected ${OLDEST_NODE} or newer`)
  return version
}

function excess(headers) {
  const needed = [...headers.matchAll(/^ *NEEDED +(\S+)$/gm)].map(([, library]) => library)
  const symbols = [...headers.matchAll(/ (GLIBC|GLIBCXX|CXXABI|GCC)_(\S+)$/gm)]
  return [
    ...needed.filter((library) => !LIBRARIES.has(library)),
    ...new Set(symbols.filter(([, of, at]) => isNewer(at, NEWEST[of])).map(([symbol]) => symbol.trim())),
  ]
}

/** The licence of Node and of what is in it: where nodejs.org, its Docker images and NodeSource put it. */
export function nodeLicence(runtime, version) {
  const prefix = join(dirname(realpathSync(runtime)), '..')
  for (const place of ['LICENSE', 'share/doc/nodejs/LICENSE', 'share/doc/node/LICENSE']) {
    const text = textOf(join(prefix, place))
    if (text.includes('Node.js is licensed for use as follows')) return text
  }
  return `lib/node is Node.js ${version}. Its licence, and those of what is in it:
https://github.com/nodejs/node/blob/v${version}/LICENSE\n`
}

function textOf(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function run(program, args) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    throw new Error(`${program} ${args.join(' ')} failed: ${String(error.stderr ?? error.message).trim()}`)
  }
}
