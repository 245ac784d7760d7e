// Builds dist/: the command line as one file, the demo, the native core, and the data they read.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { buildNative } from './native/build.mjs'

const PROGRAMS = {
  'pine-update': 'src/cli/main.ts',
  demo: 'test/demo.ts',
  bench: 'test/bench/main.ts',
  'apply-probe': 'test/support/apply-probe.ts',
  'fault-probe': 'test/faults/probe.ts',
  applies: 'test/applies.ts',
  'power-cut': 'test/power-cut/main.ts',
  fuzz: 'test/fuzz/main.ts',
  soak: 'vm-tests/soak.ts',
  'takeover-cuts': 'vm-tests/takeover-cuts.ts',
  'tree-cuts': 'vm-tests/tree-cuts.ts',
  'loader-files': 'package/loader-files.ts',
  'ostree-child': 'src/ostree/child.ts',
}
/** Found where they are installed, by who needs them. */
const OPTIONAL = ['koffi', 'ffi-napi', 'ref-napi']
const DATA = { 'src/system': 'dist/system', layouts: 'dist/layouts' }

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))

/** One CommonJS file: it starts faster than modules, and resolves what lies beside it by its own path. */
async function bundlePrograms() {
  const entryPoints = Object.fromEntries(Object.entries(PROGRAMS).filter(([, entry]) => existsSync(entry)))
  await build({
    entryPoints,
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    bundle: true,
    external: OPTIONAL,
    minify: true,
    // Error names and stack traces stay readable.
    keepNames: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    legalComments: 'none',
    banner: { js: "const __pineUrl=require('node:url').pathToFileURL(__filename).href;" },
    define: { 'import.meta.url': '__pineUrl', __PINE_VERSION__: JSON.stringify(version) },
    logLevel: 'warning',
  })
}

/** blake3 reads its WebAssembly from the folder of the file that it is bundled into. */
function copyWasm() {
  const blake3 = dirname(createRequire(import.meta.url).resolve('blake3/package.json'))
  cpSync(join(blake3, 'dist/wasm/nodejs/blake3_js_bg.wasm'), 'dist/blake3_js_bg.wasm')
}

/**
 * What calls libostree, for a folder that dist/ is copied to, such as a server's. Where npm left the optional package out,
 * there is none, and the program says so when it is asked for libostree.
 */
function copyKoffi() {
  const to = 'dist/node_modules'
  rmSync(to, { recursive: true, force: true })
  if (!existsSync('node_modules/koffi')) return
  const isRun = (path) => !statSync(path).isFile() || /(\.(cjs|js|json|node)|LICENSE\.txt)$/.test(path)
  for (const name of ['koffi/package.json', 'koffi/LICENSE.txt', 'koffi/index.js', 'koffi/src', '@koromix'])
    cpSync(join('node_modules', name), join(to, name), { recursive: true, filter: isRun })
}

function copyData() {
  for (const [from, to] of Object.entries(DATA)) {
    rmSync(to, { recursive: true, force: true })
    if (existsSync(from)) cpSync(from, to, { recursive: true })
  }
}

process.chdir(import.meta.dirname)
mkdirSync('dist', { recursive: true })
buildNative()
copyWasm()
copyKoffi()
copyData()
await bundlePrograms()
