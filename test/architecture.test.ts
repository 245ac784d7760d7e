import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../src/core/error.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Folder → what it may import, from the table of ARCHITECTURE.md. */
function documented(): Map<string, string[]> {
  const rows = read('ARCHITECTURE.md').matchAll(/^\| `(\w+)` \| .* \| ([\w ]*) ?\|$/gm)
  return new Map(
    [...rows].map(([, folder = '', allowed = '']) => [folder, allowed.trim().split(' ').filter(Boolean)]),
  )
}

/** The same from the lint rule. */
function linted(): Map<string, string[]> {
  const { overrides } = JSON.parse(read('biome.json'))
  const rules = overrides.flatMap((override: any) => {
    const rule = override.linter?.rules?.style?.noRestrictedImports
    const folder = /^src\/(\w+)\//.exec(override.includes[0])?.[1]
    return rule === undefined || folder === undefined ? [] : [[folder, rule.options.patterns[0].group]]
  })
  const allowed = (group: string[]) => group.flatMap((pattern) => /^!\.\.\/(\w+)\//.exec(pattern)?.[1] ?? [])
  return new Map(rules.map(([folder, group]: [string, string[]]) => [folder, allowed(group)]))
}

/** Lints one file as if it stood in the tree. */
function lint(path: string, code: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'pine-lint-'))
  try {
    cpSync(join(ROOT, 'biome.json'), join(dir, 'biome.json'))
    mkdirSync(join(dir, path, '..'), { recursive: true })
    writeFileSync(join(dir, path), code)
    const biome = join(ROOT, 'node_modules/.bin/biome')
    const ran = spawnSync(biome, ['lint', '--vcs-enabled=false', path], { cwd: dir, encoding: 'utf8' })
    return ran.stdout + ran.stderr
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

describe('the direction of imports', () => {
  test('is the same in ARCHITECTURE.md and in the lint rule', () => {
    const table = documented()
    expect(table.get('cli')).toEqual(['everything'])
    table.delete('cli')
    expect(linted()).toEqual(table)
  })

  test('covers every folder of src', () => {
    const folders = readdirSync(join(ROOT, 'src')).filter((name) =>
      statSync(join(ROOT, 'src', name)).isDirectory(),
    )
    expect(folders.filter((name) => name !== 'system').sort()).toEqual([...documented().keys()].sort())
  })

  test.each([
    ['src/core/x.ts', "import { arm } from '../model/boot-state.ts'\nexport const x = arm\n"],
    ['src/plan/x.ts', "import { exec } from '../host/exec.ts'\nexport const x = exec\n"],
    ['src/build/x.ts', "import { main } from '../cli/program.ts'\nexport const x = main\n"],
    ['src/model/x.ts', "import { readFileSync } from 'node:fs'\nexport const x = readFileSync\n"],
    ['src/run/x.ts', "import { execa } from 'execa'\nexport const x = execa\n"],
  ])('a planted wrong import in %s is found', (path, code) => {
    expect(lint(path, code)).toContain('noRestrictedImports')
  })

  test('an allowed import is not', () => {
    const code = "import { arm } from '../model/boot-state.ts'\nexport const x = arm\n"
    expect(lint('src/plan/x.ts', code)).not.toContain('noRestrictedImports')
  })
})

test('docs/errors.md has a paragraph for each code, with its exit code, and no other', () => {
  const rows = read('docs/errors.md').matchAll(/^### (\w+)\nExit (\d)\./gm)
  expect(Object.fromEntries([...rows].map(([, code, exit]) => [code, Number(exit)]))).toEqual(ERROR_CODES)
})

test('every error code is used by the code', () => {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  const sources = files.filter((name) => name.endsWith('.ts') && !name.endsWith('core/error.ts'))
  const text = sources.map((name) => read(join('src', name))).join('\n')
  expect(Object.keys(ERROR_CODES).filter((code) => !new RegExp(`\\b${code}\\b`).test(text))).toEqual([])
})

test('every runtime dependency has its line in ARCHITECTURE.md', () => {
  const { dependencies, optionalDependencies } = JSON.parse(read('package.json'))
  const page = read('ARCHITECTURE.md')
  const names = Object.keys({ ...dependencies, ...optionalDependencies })
  expect(names.filter((name) => !page.includes(`| ${name} |`))).toEqual([])
})

test('links between the pages lead somewhere', () => {
  const pages = [
    'README.md',
    'SECURITY.md',
    'ARCHITECTURE.md',
    'layouts/README.md',
    ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`),
  ]
  for (const page of pages) {
    for (const [, link = ''] of read(page).matchAll(/\]\(([^)#]+)/g)) {
      if (link.includes('://')) continue
      expect(existsSync(join(ROOT, page, '..', link)), `${page}: ${link}`).toBe(true)
    }
  }
})
