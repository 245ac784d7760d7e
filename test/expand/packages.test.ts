import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseApkInstalled } from '../../src/expand/apk-installed.ts'
import { parseDpkgStatus } from '../../src/expand/dpkg-status.ts'

const STATUS = `Package: libc6
Status: install ok installed
Priority: optional
Architecture: amd64
Multi-Arch: same
Version: 2.41-12
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)
Conffiles:
 /etc/ld.so.conf.d/x86_64-linux-gnu.conf d4e7a7b88a71b5ffd9e2644e71a0cfab
Description: GNU C Library: Shared libraries
 Version: 9.9 of this line is text
 .
 More.

Package: old-kernel
Status: deinstall ok config-files
Architecture: amd64
Version: 6.1.1

Package: half
Status: install reinstreq half-installed
Architecture: all
Version: 1:2.0~rc1+b2-3
`

const INSTALLED = `C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
P:musl
V:1.2.5-r0
A:x86_64
S:411227
T:the musl c library (libc) implementation
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1HLoFxCSA7MZ5XHPSKYLzTJGAGdk=

C:Q1
P:busybox
V:1.36.1_git20240101-r29
A:x86_64
`

describe('the database of dpkg', () => {
  test('says what is installed', () => {
    expect(parseDpkgStatus(STATUS)).toEqual([
      { name: 'libc6', version: '2.41-12', architecture: 'amd64' },
      { name: 'half', version: '1:2.0~rc1+b2-3', architecture: 'all' },
    ])
  })

  test('has no status in images without dpkg', () => {
    const text = 'Package: tzdata\nVersion: 2025a-0+deb12u1\nArchitecture: all\nMaintainer: x'
    expect(parseDpkgStatus(text)).toEqual([
      { name: 'tzdata', version: '2025a-0+deb12u1', architecture: 'all' },
    ])
  })

  test.each([
    ['no version', 'Package: a\nArchitecture: all\n'],
    ['no name', 'Version: 1\nArchitecture: all\n'],
    ['a name with an escape code', 'Package: a\u001b[31m\nVersion: 1\nArchitecture: all\n'],
    ['a name with a tag', 'Package: <b>\nVersion: 1\nArchitecture: all\n'],
    ['a version in words', 'Package: a\nVersion: one of them\nArchitecture: all\n'],
    ['a name of 200 letters', `Package: ${'a'.repeat(200)}\nVersion: 1\nArchitecture: all\n`],
    ['a status that is cut', 'Package: a\nStatus: install\nVersion: 1\nArchitecture: all\n'],
  ])('passes over a package with %s, and takes the next', (_, text) => {
    expect(parseDpkgStatus(`${text}\nPackage: next\nVersion: 2\nArchitecture: all\n`)).toEqual([
      { name: 'next', version: '2', architecture: 'all' },
    ])
  })

  test('takes the first of two fields, and lines that end as on another system', () => {
    expect(parseDpkgStatus('Package: a\r\nVersion: 1\r\nVersion: 2\r\nArchitecture: all\r\n\r\n')).toEqual([
      { name: 'a', version: '1', architecture: 'all' },
    ])
  })

  test('is not read without end', () => {
    const one = 'Package: a\nVersion: 1\nArchitecture: all\n\n'
    expect(parseDpkgStatus(one.repeat(100_500))).toHaveLength(100_000)
  })
})

describe('the database of apk', () => {
  test('says what is installed', () => {
    expect(parseApkInstalled(INSTALLED)).toEqual([
      { name: 'musl', version: '1.2.5-r0', architecture: 'x86_64' },
      { name: 'busybox', version: '1.36.1_git20240101-r29', architecture: 'x86_64' },
    ])
  })

  test('tells letters by their case', () => {
    expect(parseApkInstalled('p:so:libc=1\nP:a\nv:9\nV:1\na:0:0:755\nA:noarch\n')).toEqual([
      { name: 'a', version: '1', architecture: 'noarch' },
    ])
  })
})

test('neither fails, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      expect(parseDpkgStatus(text)).toEqual([])
      expect(parseApkInstalled(text)).toEqual([])
    }),
  )
})
