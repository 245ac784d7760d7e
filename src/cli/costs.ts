import type { VariantReport } from '../build/bundle.ts'
import { showName } from '../core/file-name.ts'
import { formatBytes } from '../core/format.ts'
import { countGroups, countText } from './changes-view.ts'

interface Part {
  part: string
  files: number
  bytes: number
}

/** What stands under its own name, by path; everything else by the two or three folders that say what it is. */
const PARTS: readonly (readonly [string, RegExp])[] = [
  ['kernel', /^(boot|usr\/lib\/modules\/[^/]+)\/(vmlinu|bzImage|Image)/],
  ['initramfs', /(^|\/)(initrd|initramfs)[^/]*$/],
  ['kernel modules', /^(usr\/)?lib\/modules\//],
  ['firmware', /^(usr\/)?lib\/firmware\//],
  ['programs', /^(usr\/)?s?bin\//],
  ['libraries', /\.so(\.[^/]*)?$/],
  ['documentation', /^usr\/share\/(doc|man|info)\//],
  ['translations', /^usr\/share\/(locale|i18n|zoneinfo)\//],
  ['package database', /^(var\/lib\/(dpkg|apt)|lib\/apk)\//],
  ['configuration', /^etc\//],
  ['file system tables', /^#/],
]
const OTHER = 'other files'
const LARGEST = 10

/** The cost of each part, largest first, scaled to the real size: files are measured alone, bundles pack them together. */
export function costDocument({ from, bytes, opaque, costs, changes }: VariantReport) {
  const measured = costs.reduce((sum, file) => sum + file.bytes, 0)
  const scale = measured === 0 ? 0 : bytes / measured
  const parts = new Map<string, Part>()
  for (const file of costs) {
    const part = PARTS.find(([, pattern]) => pattern.test(file.path))?.[0] ?? OTHER
    const sum = parts.get(part) ?? { part, files: 0, bytes: 0 }
    parts.set(part, { part, files: sum.files + 1, bytes: sum.bytes + file.bytes })
  }
  const scaled = <Row extends { bytes: number }>(rows: Iterable<Row>): Row[] =>
    [...rows]
      .sort((a, b) => b.bytes - a.bytes)
      .map((row) => ({ ...row, bytes: Math.round(row.bytes * scale) }))
  return {
    from: from ?? null,
    bytes,
    notReencoded: opaque,
    parts: scaled(parts.values()),
    largest: scaled(costs).slice(0, LARGEST),
    changes: changes ? { packages: countGroups(changes.packages), files: countGroups(changes.files) } : null,
  }
}

export function costTable(report: VariantReport): string {
  const { from, parts, largest, notReencoded, changes } = costDocument(report)
  const title = from === null ? 'full' : `delta from ${from}`
  const rows = parts.filter(({ bytes }) => bytes > 0)
  const lines = rows.map(({ part, bytes, files }) => `  ${size(bytes)}  ${part} (${files})`)
  const top = largest
    .filter(({ bytes }) => bytes > 0)
    .map(({ path, bytes }) => `  ${size(bytes)}  ${showName(path)}`)
  const warning =
    notReencoded.units === 0
      ? []
      : [
          `  ${notReencoded.units} of ${notReencoded.of} compressed blocks were made by another compressor and are sent as they are: ${formatBytes(notReencoded.bytes)}`,
        ]
  const changed =
    changes === null
      ? []
      : [`changes: packages ${countText(changes.packages)}; files ${countText(changes.files)}`]
  return [`${title}, about:`, ...lines, 'largest files:', ...top, ...warning, ...changed].join('\n')
}

function size(bytes: number): string {
  return formatBytes(bytes).padStart(10)
}
