import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { freeBehind, readExt4, type Span } from '../../src/hijack/ext4.ts'
import { realHost } from '../../src/host/real-host.ts'
import { MiB, makeFile, type OldRoot, openOldRoot } from './old-root.ts'
import { withoutShrink } from './shrink-run.ts'

const reason = withoutShrink()
if (reason !== undefined) console.log(`skipped, ${reason}: what resize2fs leaves free`)

let old: OldRoot | undefined
afterEach(() => old?.close())

/** Files of 8 MiB, nothing in them; of those at the end most, so that there is much to move to where little is free. */
async function fillUp({ folder, freeBytes }: OldRoot, keepMiB: number): Promise<void> {
  const names: string[] = []
  for (; freeBytes() > 40 * MiB; names.push(`${folder}/f${names.length}`))
    await makeFile(`${folder}/f${names.length}`, 8 * MiB)
  for (let index = 0; freeBytes() < keepMiB * MiB; index += 2) rmSync(names[index] ?? '')
}

/** As dumpe2fs lists them, group by group. */
function freeOf(device: string): Span[] {
  const listed = execFileSync('dumpe2fs', [device], { encoding: 'utf8', maxBuffer: 2 ** 26 })
  const spans: Span[] = []
  for (const [, from, to] of listed.matchAll(/(?<=Free blocks: .*?)(\d+)(?:-(\d+))?(?=,|$)/gm)) {
    const span = { from: Number(from), to: Number(to ?? from) + 1 }
    const last = spans.at(-1)
    if (last?.to === span.from) last.to = span.to
    else spans.push(span)
  }
  return spans
}

const KINDS: [string, number, number, string[]][] = [
  ['within a flex group', 3000, 500, []],
  ['over the end of one', 5000, 1100, []],
  ['over backups of the superblock', 3600, 600, []],
  ['with small inodes', 3000, 500, ['-I', '128']],
  ['with few inodes', 5000, 1000, ['-N', '20000']],
  ['of 32 bits', 3000, 500, ['-O', '^64bit,^metadata_csum']],
  ['in small flex groups', 3000, 500, ['-G', '4']],
]

test.skipIf(reason !== undefined).each(KINDS)(
  'what is reckoned to be free after a shrink %s is free',
  async (_, mib, cutMiB, made) => {
    old = openOldRoot('ext4', { bytes: mib * MiB, made })
    const { device } = old
    await fillUp(old, cutMiB + 60)
    old.unmount()
    const ext4 = await readExt4(realHost(), device)
    const target = ext4.blocks - (cutMiB * MiB) / ext4.blockBytes
    execFileSync('e2fsck', ['-f', '-p', device])
    const resize = (blocks: number) =>
      execFileSync('resize2fs', ['-f', device, String(blocks)], { stdio: 'pipe' })
    resize(target)
    resize(ext4.blocks)
    expect(await readExt4(realHost(), device)).toEqual(ext4)
    const [free, reckoned] = [freeOf(device), freeBehind(ext4, target)]
    const missing = reckoned.filter(
      ({ from, to }) => !free.some((span) => span.from <= from && to <= span.to),
    )
    expect({ missing, free: free.slice(-5) }).toMatchObject({ missing: [] })
    // It is most of what was cut off.
    const blocks = reckoned.reduce((total, { from, to }) => total + to - from, 0)
    expect((blocks * ext4.blockBytes) / MiB).toBeGreaterThan(cutMiB * 0.75)
    expect(old.findDamage()).toBeUndefined()
  },
)

test.skipIf(reason !== undefined)('the superblock says what it is', async () => {
  old = openOldRoot('ext4', { bytes: 600 * MiB, made: ['-U', '6f1e0002-0000-4000-8000-00000000abcd'] })
  expect(await readExt4(realHost(), old.device)).toMatchObject({
    uuid: '6f1e0002-0000-4000-8000-00000000abcd',
    ...{ blockBytes: 4096, blocks: 153_600, blocksPerGroup: 32_768, flexGroups: 16, strange: [] },
  })
})

test.skipIf(reason !== undefined).each([
  ['^flex_bg', { flexGroups: 1 }],
  ['bigalloc', { strange: ['bigalloc'] }],
  ['meta_bg,^resize_inode', { strange: ['meta_bg'] }],
])('%s is seen', async (feature, expected) => {
  old = openOldRoot('ext4', { bytes: 600 * MiB, made: ['-O', feature] })
  expect(await readExt4(realHost(), old.device)).toMatchObject(expected)
})
