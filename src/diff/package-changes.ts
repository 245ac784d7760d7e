import { comparePackages, type PackageChange, type PackageDatabase } from '../bundle/changes.ts'
import type { InstalledPackage } from '../expand/paragraphs.ts'

/** Packages that were added, removed, or have another version. */
export function diffPackages(
  database: PackageDatabase,
  old: readonly InstalledPackage[],
  now: readonly InstalledPackage[],
): PackageChange[] {
  const several = withSeveral(old, now)
  const [before, after] = [versionsOf(old, several), versionsOf(now, several)]
  return [...new Set([...before.keys(), ...after.keys()])]
    .flatMap((name): PackageChange[] => {
      const [was, is] = [before.get(name), after.get(name)]
      if (was === is) return []
      return [
        { database, name, ...(was !== undefined && { old: was }), ...(is !== undefined && { new: is }) },
      ]
    })
    .sort(comparePackages)
}

/** Names that one of the two has for several machines: these go by `name:architecture`, as dpkg writes it. */
function withSeveral(...lists: readonly (readonly InstalledPackage[])[]): ReadonlySet<string> {
  const several = new Set<string>()
  for (const list of lists) {
    const seen = new Map<string, string>()
    for (const { name, architecture } of list) {
      const before = seen.get(name)
      if (before !== undefined && before !== architecture) several.add(name)
      seen.set(name, architecture)
    }
  }
  return several
}

function versionsOf(
  packages: readonly InstalledPackage[],
  several: ReadonlySet<string>,
): ReadonlyMap<string, string> {
  return new Map(
    packages.map(({ name, architecture, version }) => [
      several.has(name) ? `${name}:${architecture}` : name,
      version,
    ]),
  )
}
