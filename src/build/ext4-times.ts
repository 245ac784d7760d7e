import type { Host } from '../host/host.ts'

const HOUR_MS = 3_600_000
/** What debugfs prints of so many inodes is about 16 MB. */
const BATCH = 30_000

/**
 * mke2fs copies the times of the tree: reading it changes access times, and change times nobody can set. Both become
 * `epochSeconds`, and so do times of modification that are newer.
 */
export async function fixTimes(host: Host, image: string, epochSeconds: number | undefined): Promise<void> {
  const numbers = await usedInodes(host, image)
  for (let from = 0; from < numbers.length; from += BATCH) {
    const batch = numbers.slice(from, from + BATCH)
    const newer = epochSeconds === undefined ? [] : await findNewer(host, image, { batch, epochSeconds })
    const lines = [
      ...batch.flatMap((inode) => [
        setTime(inode, 'atime', epochSeconds),
        setTime(inode, 'ctime', epochSeconds),
      ]),
      ...newer.map((inode) => setTime(inode, 'mtime', epochSeconds)),
    ]
    await debugfs(host, ['-w', '-f', '-', image], lines)
  }
}

function setTime(inode: number, field: string, epochSeconds = 0): string {
  return `sif <${inode}> ${field} @${epochSeconds}`
}

async function usedInodes(host: Host, image: string): Promise<number[]> {
  const summary = await host.exec('dumpe2fs', ['-h', image])
  const count = (label: string) => Number(new RegExp(`^${label}: +(\\d+)$`, 'm').exec(summary)?.[1])
  const used = count('Inode count') - count('Free inodes')
  // Inode 2 is the root, 11 the first that is not reserved; mke2fs hands them out without gaps.
  return Array.from({ length: used }, (_, index) => index + 1).filter((n) => n === 2 || n > 10)
}

async function findNewer(
  host: Host,
  image: string,
  { batch, epochSeconds }: { batch: readonly number[]; epochSeconds: number },
): Promise<number[]> {
  const printed = await debugfs(
    host,
    ['-f', '-', image],
    batch.map((inode) => `stat <${inode}>`),
  )
  const times = printed.matchAll(/^Inode: (\d+) [\s\S]*?^ mtime: 0x([0-9a-f]+)/gm)
  return [...times].flatMap(([, inode, seconds]) =>
    Number.parseInt(seconds ?? '0', 16) > epochSeconds ? [Number(inode)] : [],
  )
}

function debugfs(host: Host, args: readonly string[], lines: readonly string[]): Promise<string> {
  return host.exec('debugfs', args, { input: `${lines.join('\n')}\n`, timeoutMs: HOUR_MS })
}
