import { afterEach, describe, expect, test } from 'vitest'
import { readBoxFacts } from '../../src/hijack/box-facts.ts'
import { type Box, makeBox, withoutBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { MIB } from './gpt-disk.ts'
import { abortOn, makeImage, stageIn, stageOn, WANTED } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: staging that is cut off`)

let box: Box
afterEach(() => box?.close())

async function open() {
  box = await makeBox()
  return { image: makeImage(box), files: filesOf(box.folder) }
}

describe.skipIf(reason !== undefined)('staging that is cut off', () => {
  const died = new Error('killed')
  const dying = (): Promise<never> => Promise.reject(died)

  /** Each step that may be the last one; a process that is killed tidies nothing up. */
  const CUTS: [string, (whole: Box) => Partial<Pick<Box, 'host' | 'carving'>>][] = [
    [
      'while it looks for room',
      ({ host, carving }) => ({
        carving: { ...carving, punchHole: dying },
        host: { ...host, removeFile: (path) => (path.endsWith('/carved') ? dying() : host.removeFile(path)) },
      }),
    ],
    [
      'while it copies',
      ({ host }) => ({
        host: {
          ...host,
          openRegion: async (path, options) => {
            const region = await host.openRegion(path, options)
            return path.endsWith('/carved') ? { ...region, flush: dying } : region
          },
        },
      }),
    ],
    [
      'while it makes the state partition',
      ({ host }) => ({
        host: {
          ...host,
          exec: (command, args, options) =>
            command === 'mke2fs' ? dying() : host.exec(command, args, options),
          removeFile: (path) => (path.endsWith('/state') ? Promise.resolve() : host.removeFile(path)),
        },
      }),
    ],
    ['before it says that it is done', ({ carving }) => ({ carving: { ...carving, setImmutable: dying } })],
  ]

  test.each(CUTS)('%s: it can be undone, and begun again', async (_, cutOff) => {
    const { image, files } = await open()
    const free = await box.host.freeBytes('/')
    await expect(stageOn({ ...box, ...cutOff(box) }, image)).rejects.toBe(died)
    expect(await stageIn(box)).toBe('begun')
    await abortOn(box)
    expect(filesOf(box.folder)).toEqual(files)
    await box.carving.settleFileSystem('/')
    expect(free - (await box.host.freeBytes('/'))).toBeLessThan(MIB)

    await expect(stageOn({ ...box, ...cutOff(box) }, image)).rejects.toBe(died)
    // Else the next try is refused for want of the room that it is about to give back.
    await box.carving.settleFileSystem('/')
    expect(free - (await readBoxFacts(box.host)).freeBytes).toBeLessThan(MIB)
    await stageOn(box, image)
    expect(await stageIn(box)).toBe('staged')
    const used = WANTED.reduce((total, { bytes }) => total + bytes, 0)
    await box.carving.settleFileSystem('/')
    expect(free - (await box.host.freeBytes('/'))).toBeLessThan(used + 2 * MIB)
  })
})
