/** One mount of /proc/self/mountinfo, proc(5). */
export interface Mount {
  /** Where it is mounted. */
  at: string
  /** The folder of its file system that is seen there; `/` but for bind mounts and btrfs subvolumes. */
  root: string
  fs: string
  /** Such as `/dev/vda1`; whatever the kernel says for what is on no device. */
  source: string
  /** Here, or wherever its file system is mounted. */
  isReadOnly: boolean
}

const LINE = /^\d+ \d+ \S+ (\S+) (\S+) (\S+) .*?- (\S+) (\S+) (\S*)/

export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [, root, at, here, fs, source, all] = LINE.exec(line) ?? []
    if (root === undefined || at === undefined || fs === undefined || source === undefined) return []
    const isReadOnly = [here, all].some((options) => options?.split(',').includes('ro'))
    return [{ at: unescaped(at), root: unescaped(root), fs, source: unescaped(source), isReadOnly }]
  })
}

/** The mount that a path is on; of two at one place the later one is seen. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  const holds = ({ at }: Mount) => at === '/' || path === at || path.startsWith(`${at}/`)
  return mounts
    .filter(holds)
    .reduce<Mount | undefined>(
      (best, mount) => (best === undefined || mount.at.length >= best.at.length ? mount : best),
      undefined,
    )
}

/** Spaces and the like are octal. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
