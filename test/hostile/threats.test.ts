import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const DOCS = join(import.meta.dirname, '../../docs')

test('every test that docs/security.md names is there', () => {
  const page = readFileSync(join(DOCS, 'security.md'), 'utf8')
  const named = [...page.matchAll(/\[([^\]]+)\]\((\.\.\/(?:vm-)?tests?\/[^)]+)\)/g)]
  expect(named.length).toBeGreaterThan(30)
  const missing = named.filter(
    ([, title = '', path = '']) => !readFileSync(join(DOCS, path), 'utf8').includes(title),
  )
  expect(missing.map(([link]) => link)).toEqual([])
})
