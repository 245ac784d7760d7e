import { describe, expect, test } from 'vitest'
import { cpioMembers } from '../../src/expand/cpio.ts'
import { cpioArchive, prose } from './programs.ts'

const files = { init: prose(1001), empty: Buffer.alloc(0), 'a.ko': prose(4096, 2), 'odd name': prose(3, 3) }
const archive = cpioArchive(files)

function contents(bytes: Buffer): Record<string, string> {
  return Object.fromEntries(
    cpioMembers(bytes).map(({ path, at, bytes: length }) => [
      path,
      bytes.toString('latin1', at, at + length),
    ]),
  )
}

describe('members of a cpio archive', () => {
  test('are its regular files that are not empty, in order', () => {
    expect(cpioMembers(archive).map(({ path }) => path)).toEqual(['init', 'a.ko', 'odd name'])
    expect(contents(archive)).toEqual({
      init: files.init.toString('latin1'),
      'a.ko': files['a.ko'].toString('latin1'),
      'odd name': files['odd name'].toString('latin1'),
    })
  })

  test('are found in several archives with zeros between them', () => {
    const second = cpioArchive({ later: prose(77, 4) })
    const both = Buffer.concat([archive, Buffer.alloc(1024), second])
    expect(Object.keys(contents(both))).toEqual(['init', 'a.ko', 'odd name', 'later'])
    expect(contents(both).later).toBe(prose(77, 4).toString('latin1'))
  })

  test('have no leading slash or dot', () => {
    const named = Buffer.from(archive)
    named.write('/ini', named.indexOf('init'))
    expect(cpioMembers(named)[0]?.path).toBe('ini')
  })

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(4096)],
    ['text', prose(4096)],
    ['only the magic number', Buffer.from('070701')],
    ['a header of garbage', Buffer.from(`070701${'z'.repeat(200)}`)],
    ['a name longer than the file', Buffer.from(`070701${'f'.repeat(104)}`)],
  ])('of %s are none', (_, bytes) => {
    expect(cpioMembers(bytes)).toEqual([])
  })

  test('end where the archive is cut', () => {
    for (let bytes = 0; bytes < archive.length; bytes += 13) {
      for (const member of cpioMembers(archive.subarray(0, bytes))) {
        expect(member.at + member.bytes).toBeLessThanOrEqual(bytes)
      }
    }
  })

  test('end at garbage between archives', () => {
    expect(cpioMembers(Buffer.concat([archive, Buffer.from('xx'), archive]))).toHaveLength(3)
  })
})
