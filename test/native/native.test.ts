import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, describe, expect, test } from 'vitest'
import { native } from '../../src/host/native.ts'

const addon = join(import.meta.dirname, '../../dist/native', `linux-${process.arch}.node`)
const folder = mkdtempSync(join(tmpdir(), 'pine-native-'))
afterAll(() => rmSync(folder, { recursive: true }))

function has(tool: string): boolean {
  return spawnSync(tool, ['--version']).error === undefined
}

interface Symbol {
  name: string
  defined: boolean
}

function dynamicSymbols(): Symbol[] {
  const rows = execFileSync('readelf', ['--dyn-syms', '-W', addon], { encoding: 'utf8' }).split('\n').slice(4)
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns.length > 7)
    .map((columns) => ({ name: columns[7] ?? '', defined: columns[6] !== 'UND' }))
}

describe('one file for glibc and musl', () => {
  test('asks for no library and no version of a symbol', (context) => {
    if (!has('readelf')) context.skip('readelf is not installed')
    expect(execFileSync('readelf', ['-d', addon], { encoding: 'utf8' })).not.toContain('NEEDED')
    expect(dynamicSymbols().filter(({ name }) => name.includes('@'))).toEqual([])
    // The check above can fail: Node itself has both.
    expect(execFileSync('readelf', ['-d', process.execPath], { encoding: 'utf8' })).toContain('NEEDED')
  })

  test('shows the loader nothing of its libraries, so that those inside Node cannot be mixed in', (context) => {
    if (!has('readelf')) context.skip('readelf is not installed')
    const symbols = dynamicSymbols()
    expect(
      symbols
        .filter(({ defined }) => defined)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1'])
    expect(symbols.filter(({ name }) => /zstd|xxh|flate|lzma|lz4|chk/i.test(name))).toEqual([])
  })

  test('loads and registers with the musl loader', (context) => {
    if (!has('musl-gcc')) context.skip('musl-gcc is not installed')
    const stubs = dynamicSymbols()
      .filter(({ name, defined }) => !defined && name.startsWith('napi_'))
      .map(({ name }) => `int ${name}(void) { return 0; }`)
    const program = `#include <dlfcn.h>
#include <stdio.h>
${stubs.join('\n')}
int main(int count, char **args) {
  void *library = dlopen(args[count - 1], RTLD_NOW);
  if (!library) { puts(dlerror()); return 1; }
  void *(*start)(void *, void *) = dlsym(library, "napi_register_module_v1");
  int exports;
  return start && start(0, &exports) == &exports ? 0 : 2;
}`
    const source = join(folder, 'load.c')
    const output = join(folder, 'load')
    writeFileSync(source, program)
    execFileSync('musl-gcc', ['-w', '-rdynamic', source, '-o', output])
    const run = spawnSync(output, [addon], { encoding: 'utf8' })
    expect(`${run.status} ${run.stdout}`).toBe('0 ')
    expect(spawnSync(output, [process.execPath]).status).toBe(1)
  })
})

describe('files', () => {
  test('a lock is held once, until the file is closed', () => {
    const path = join(folder, 'lock')
    writeFileSync(path, '')
    const [first, second] = [openSync(path, 'r'), openSync(path, 'r')]
    expect(native().tryLock(first)).toBe(true)
    expect(native().tryLock(second)).toBe(false)
    closeSync(first)
    expect(native().tryLock(second)).toBe(true)
    closeSync(second)
  })

  test('the size of a file is where it ends', () => {
    const path = join(folder, 'sized')
    writeFileSync(path, Buffer.alloc(12_345))
    const fd = openSync(path, 'r')
    expect(native().deviceBytes(fd)).toBe(12_345)
    native().fadvise(fd)
    closeSync(fd)
  })

  test('errors carry the name of the errno', () => {
    expect(() => native().deviceBytes(9999)).toThrow(expect.objectContaining({ code: 'EBADF' }))
    expect(() => native().tryLock(9999)).toThrow(expect.objectContaining({ code: 'EBADF' }))
    expect(() => native().fadvise(9999)).toThrow(expect.objectContaining({ code: 'EBADF' }))
  })
})

test('without the file beside the program, the error says what to do', async () => {
  const entry = join(import.meta.dirname, '../../src/host/native.ts')
  await build({
    stdin: {
      contents: `import { native } from ${JSON.stringify(entry)}
try { native() } catch (error) { console.log(error.code, '|', error.hint) }`,
      resolveDir: folder,
    },
    outfile: join(folder, 'probe.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  })
  const output = execFileSync(process.execPath, [join(folder, 'probe.mjs')], { encoding: 'utf8' })
  expect(output).toMatch(/^NATIVE_MISSING \| install/)
})
