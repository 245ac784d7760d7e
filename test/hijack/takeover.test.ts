import { spawnSync } from 'node:child_process'
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { partOf } from '../../src/hijack/content.ts'
import { aroundRoot, type Box, makeBox, withoutBox } from './box.ts'
import { filesOf, run } from './box-files.ts'
import { readAt, writePieces } from './gpt-disk.ts'
import { abortOn, journalIn, makeImage, stageIn, stageOn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: staging on a real disk`)

let box: Box
afterEach(() => box?.close())

async function open(script?: string): Promise<{ image: string; files: ReturnType<typeof filesOf> }> {
  box = await makeBox(script)
  return { image: makeImage(box), files: filesOf(box.folder) }
}

describe.skipIf(reason !== undefined)('staging', () => {
  test('writes the new system, and changes nothing but files of its own', async () => {
    const { image, files } = await open()
    const before = aroundRoot(box.disk)
    expect(await stageIn(box)).toBeUndefined()
    const journal = await stageOn(box, image)

    expect(aroundRoot(box.disk).equals(before)).toBe(true)
    const after = Object.entries(filesOf(box.folder))
    const [ours, others] = [true, false].map((wanted) =>
      after.filter(([name]) => name.startsWith('pine-update') === wanted),
    )
    expect(Object.fromEntries(others ?? [])).toEqual(files)
    // Nobody else may read them: there will be keys and password hashes in the partitions.
    expect(ours?.map(([name, kind]) => `${name} ${kind.split(' ')[0]}`)).toEqual([
      'pine-update 40755',
      'pine-update/carved 100600',
      'pine-update/takeover.json 100600',
    ])
    const content = readFileSync(image)
    expect(readAt(box.disk, partOf(journal, 'rootfs-a').offset, content.length).equals(content)).toBe(true)
    expect(await stageIn(box)).toBe('staged')
    expect(await journalIn(box)).toEqual(journal)
  })

  test('each part is what the new system expects, where it will look for it', async () => {
    const { image } = await open()
    const journal = await stageOn(box, image)
    const [state, swap] = [partOf(journal, 'state'), partOf(journal, 'swap')]
    const fsck = spawnSync('e2fsck', ['-fn', `${box.disk}?offset=${state.offset}`], { encoding: 'utf8' })
    expect(fsck.status, fsck.stdout + fsck.stderr).toBe(0)
    const probed = (offset: number, bytes: number) =>
      run('blkid', ['-p', '-O', String(offset), '-S', String(bytes), '-o', 'value', '-s', 'TYPE', box.disk])
    expect(probed(swap.offset, swap.bytes).trim()).toBe('swap')
    expect(journal.parts.map(({ number }) => number)).toEqual([3, 4, 5, 6, 7])
    expect(() => appendFileSync(join(box.folder, 'pine-update/carved'), 'x')).toThrow('EPERM')
  })

  test('is done once', async () => {
    const { image } = await open()
    await stageOn(box, image)
    const before = readFileSync(join(box.folder, 'pine-update/takeover.json'), 'utf8')
    await expect(stageOn(box, image)).rejects.toMatchObject({ code: 'TAKEOVER_ORDER' })
    expect(readFileSync(join(box.folder, 'pine-update/takeover.json'), 'utf8')).toBe(before)
  })

  test('an image that is not the one that was looked at is refused', async () => {
    const { image } = await open()
    const host: Box['host'] = {
      ...box.host,
      replaceFile: async (path, content, mode) => {
        // Between the look and the copy.
        if (path.endsWith('takeover.json')) appendFileSync(image, Buffer.alloc(4096, 'x'))
        await box.host.replaceFile(path, content, mode)
      },
    }
    await expect(stageOn({ ...box, host }, image)).rejects.toMatchObject({ code: 'IMAGE_MISMATCH' })
    expect(await stageIn(box)).toBe('begun')
  })

  test('a disk that does not keep what is written is found', async () => {
    const { image } = await open()
    const carving: Box['carving'] = {
      ...box.carving,
      settleFileSystem: async (path) => {
        await box.carving.settleFileSystem(path)
        const { offset } = partOf(await journalIn(box), 'rootfs-a')
        writePieces(box.disk, [{ offset: offset + 70_000, bytes: Buffer.from('lost') }])
      },
    }
    await expect(stageOn({ ...box, carving }, image)).rejects.toThrow('slot a reads back as')
    expect(await stageIn(box)).toBe('begun')
  })

  test('a table without numbers that our loader looks at is refused, and nothing stays behind', async () => {
    const small = Array.from({ length: 10 }, (_, index) => `start=${400 + index}MiB, size=1MiB`)
    const script = ['label: gpt', 'start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649']
    const { image, files } = await open([...script, 'start=2MiB, size=398MiB', ...small].join('\n'))
    await expect(stageOn(box, image)).rejects.toMatchObject({
      code: 'TAKEOVER_REFUSED',
      message: expect.stringContaining('5 more are needed'),
    })
    expect(filesOf(box.folder)).toEqual(files)
  })
})

test.skipIf(reason !== undefined)('a journal that cannot be read is not taken for none', async () => {
  const { image } = await open()
  await stageOn(box, image)
  const path = join(box.folder, 'pine-update/takeover.json')
  renameSync(path, `${path}.kept`)
  writeFileSync(path, '{ "format": 2 }')
  for (const action of [() => stageIn(box), () => abortOn(box), () => stageOn(box, image)])
    await expect(action()).rejects.toMatchObject({ code: 'TAKEOVER_DAMAGED' })
})
