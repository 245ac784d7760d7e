import { decodeChanges, encodeChanges, packChanges, unpackChanges } from '../../../src/bundle/changes.ts'
import { viewChanges } from '../../../src/cli/changes-view.ts'
import { bytesOfName, nameOf, showName } from '../../../src/core/file-name.ts'
import { diffPackages } from '../../../src/diff/package-changes.ts'
import { parseApkInstalled } from '../../../src/expand/apk-installed.ts'
import { parseDpkgStatus } from '../../../src/expand/dpkg-status.ts'
import type { InstalledPackage } from '../../../src/expand/paragraphs.ts'
import { codecs } from '../../support/bundles.ts'
import { mutateBytes } from '../bytes.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'
import { mutateLines } from '../text.ts'
import { CHANGES } from './fixtures.ts'
import { mutateMsgpack } from './msgpack.ts'

const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u

const list: TargetEntry = {
  name: 'changes',
  weight: 200_000,
  slowness: 2,
  open: () =>
    defineTarget({
      name: 'changes',
      seeds: [encodeChanges(CHANGES), encodeChanges({ packages: [], files: [], omitted: 0, unread: 0 })],
      mutate: mutateMsgpack,
      decode: decodeChanges,
      codes: ['BUNDLE_MALFORMED'],
      verdict(found, input) {
        requireThat(encodeChanges(found).equals(input), 'the list that was read is another one')
        const view = viewChanges(found)
        const rows = Object.values(view.files).flat()
        requireThat(rows.length === found.files.length, 'a change is not shown')
        const shown = rows.flatMap(({ path, notes }) => [path, ...notes])
        requireThat(!shown.some((text) => UNPRINTABLE.test(text)), 'a name that does not print is shown')
        return accepted(`${found.files.length} ${found.packages.length}`)
      },
    }),
}

const packedList: TargetEntry = {
  name: 'changes-packed',
  weight: 60_000,
  slowness: 3,
  async open() {
    const { packed, entry } = await packChanges(CHANGES, codecs)
    return defineTarget({
      name: 'changes-packed',
      seeds: [packed],
      mutate: (input, random, donor) => mutateBytes(input, random, donor, 4096),
      decode: (input) => unpackChanges(input, entry, codecs),
      codes: ['BUNDLE_MALFORMED'],
      verdict: ({ files }) => accepted(`${files.length}`),
    })
  },
}

const names: TargetEntry = {
  name: 'file-names',
  weight: 200_000,
  open: () =>
    defineTarget({
      name: 'file-names',
      seeds: ['etc/\u00e4\u{1f4be}', 'a "b"\\', '\u001b[31m\u202e'].map((text) => Buffer.from(text)),
      mutate: (input, random, donor) => mutateBytes(input, random, donor, 512),
      decode: nameOf,
      codes: [],
      verdict(name, input) {
        requireThat(bytesOfName(name).equals(input), 'the bytes are lost')
        requireThat(!UNPRINTABLE.test(showName(name)), 'a name that does not print is shown')
        return accepted(showName(name) === name ? 'plain' : 'quoted')
      },
    }),
}

const DPKG = `Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12
Description: GNU C Library
 more
 .

Package: half
Status: install reinstreq half-installed
Architecture: all
Version: 1:2.0~rc1+b2-3
`
const APK = 'P:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:ld.so\n\nP:busybox\nV:1.36-r29\nA:noarch\n'
const WORDS = [
  '\n\n',
  'Package: ',
  'Version: ',
  'Architecture: all',
  'Status: a b not-installed',
  'P:',
  'V:',
  'A:',
  ':',
  ' ',
  '\r',
  '~',
  '<b>',
]

function database(name: string, parse: (text: string) => InstalledPackage[], seed: string): TargetEntry {
  return {
    ...{ name, weight: 200_000 },
    open: () =>
      defineTarget({
        name,
        seeds: [Buffer.from(seed)],
        mutate: mutateLines(WORDS),
        decode: (input) => parse(input.toString()),
        codes: [],
        verdict(packages, input) {
          const text = input.toString()
          for (const found of packages)
            for (const word of [found.name, found.version, found.architecture])
              requireThat(text.includes(word), `"${word}" is not there`)
          // Whatever is found must stand in a list.
          const changes = { packages: diffPackages('dpkg', [], packages), files: [], omitted: 0, unread: 0 }
          decodeChanges(encodeChanges(changes))
          return packages.length === 0 ? refused('no package') : accepted(`${packages.length}`)
        },
      }),
  }
}

export const changesTargets = [
  list,
  packedList,
  names,
  database('dpkg-status', parseDpkgStatus, DPKG),
  database('apk-installed', parseApkInstalled, APK),
]
