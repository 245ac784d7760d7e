import { PACKAGE_DATABASES, type PackageChange } from '../bundle/changes.ts'
import { type ChangesView, countGroups, countText, type FileRow, GROUPS, groupOf } from './changes-view.ts'

const MOST_NAME_WIDTH = 40

/** For a terminal or a pipe: what changed in packages, then in files. */
export function changesText(view: ChangesView): string {
  const packages = PACKAGE_DATABASES.flatMap((database) => {
    const changes = view.packages.filter((change) => change.database === database)
    return changes.length === 0
      ? []
      : ['', `${database} packages: ${countText(countGroups(changes))}`, ...packageLines(changes)]
  })
  const files = GROUPS.flatMap((group) => {
    const rows = view.files[group]
    return rows.length === 0
      ? []
      : ['', `${group}: ${rows.length}`, ...rows.map((row) => fileLine(row, group === 'changed'))]
  })
  return [...packages, ...files, ...view.warnings.flatMap((warning) => ['', warning])].join('\n')
}

function packageLines(changes: readonly PackageChange[]): string[] {
  const width = Math.min(MOST_NAME_WIDTH, Math.max(...changes.map(({ name }) => name.length)))
  return changes.map((change) => `  ${change.name.padEnd(width)}  ${versionsText(change)}`)
}

export function versionsText({ old, new: now }: PackageChange): string {
  const group = groupOf({ old, new: now })
  return group === 'changed' ? `${old} -> ${now}` : `${group} ${now ?? old}`
}

function fileLine({ path, size, growth, notes }: FileRow, isChange: boolean): string {
  const columns = isChange ? `${size.padStart(10)}  ${growth.padStart(11)}` : size.padStart(10)
  return `  ${columns}  ${path}${notes.length === 0 ? '' : `  (${notes.join('; ')})`}`
}
