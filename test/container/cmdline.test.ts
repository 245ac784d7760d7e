import { expect, test } from 'vitest'
import { readContainerCmdline } from '../../src/boot/container.ts'
import type { Host } from '../../src/host/host.ts'

const STAT = '1 (in (it) 1) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 417111 22 33'

function hostWith(files: Record<string, string>): Host {
  const readFile = async (path: string) => {
    const text = files[path]
    return text === undefined ? undefined : Buffer.from(text)
  }
  return { readFile } as Partial<Host> as Host
}

test('what the init of a container told counts for the start it told it of, and no other', async () => {
  const told = 'pine.slot=b pine.left=2 pine.seq=00000012 pine.gen=00000003 pine.st=0 pine.init='
  const read = (init: string) =>
    readContainerCmdline(hostWith({ '/.pine/cmdline': `${told}${init}\n`, '/proc/1/stat': STAT }))
  expect((await read('417111'))?.get('pine.slot')).toBe('b')
  expect(await read('417112')).toBeUndefined()
  expect(await readContainerCmdline(hostWith({ '/proc/1/stat': STAT }))).toBeUndefined()
  expect(await readContainerCmdline(hostWith({ '/.pine/cmdline': `${told}417111` }))).toBeUndefined()
})
