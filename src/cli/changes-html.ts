import { PACKAGE_DATABASES, type PackageChange } from '../bundle/changes.ts'
import {
  type ChangesView,
  countGroups,
  countText,
  type FileRow,
  GROUPS,
  type Group,
  groupOf,
} from './changes-view.ts'

export interface Page {
  readonly title: string
  /** Name and text of what is said of the bundle. */
  readonly facts: readonly (readonly [string, string])[]
  readonly view: ChangesView
}

/** A longer list is closed until it is asked for. */
const OPEN_ROWS = 100

/** One file that needs nothing else: no script, no network, light or dark as the reader has it. */
export function changesPage({ title, facts, view }: Page): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>
${STYLE}
</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
<dl>
${facts.map(([name, text]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(text)}</dd>`).join('\n')}
</dl>
${view.warnings.map((warning) => `<p role="note">${escapeHtml(warning)}</p>\n`).join('')}</header>
<main>
<h2>Packages</h2>
${packagesHtml(view.packages)}
<h2>Files</h2>
${GROUPS.map((group) => filesHtml(group, view.files[group])).join('\n')}
</main>
</body>
</html>
`
}

function packagesHtml(packages: readonly PackageChange[]): string {
  const tables = PACKAGE_DATABASES.flatMap((database) => {
    const changes = packages.filter((change) => change.database === database)
    if (changes.length === 0) return []
    const rows = changes.map(
      (change) =>
        `<tr class="${groupOf(change)}"><th scope="row">${escapeHtml(change.name)}</th><td>${groupOf(change)}</td><td>${escapeHtml(change.old ?? '')}</td><td>${escapeHtml(change.new ?? '')}</td></tr>`,
    )
    const head =
      '<th scope="col">package</th><th scope="col">change</th><th scope="col">from</th><th scope="col">to</th>'
    return [section(`${database}: ${countText(countGroups(changes))}`, head, rows)]
  })
  return tables.length === 0
    ? '<p>None changed, or the images have no package database.</p>'
    : tables.join('\n')
}

function filesHtml(group: Group, rows: readonly FileRow[]): string {
  if (rows.length === 0) return `<p>None ${group}.</p>`
  const growth = group === 'changed' ? '<th scope="col">growth</th>' : ''
  const head = `<th scope="col">path</th><th scope="col">size</th>${growth}<th scope="col">what</th>`
  return section(
    `${group}: ${rows.length}`,
    head,
    rows.map((row) => {
      const grown = group === 'changed' ? `<td class="number">${escapeHtml(row.growth)}</td>` : ''
      return `<tr><th scope="row"><code>${escapeHtml(row.path)}</code></th><td class="number">${escapeHtml(row.size)}</td>${grown}<td>${escapeHtml(row.notes.join('; '))}</td></tr>`
    }),
  )
}

function section(title: string, head: string, rows: readonly string[]): string {
  return `<details${rows.length > OPEN_ROWS ? '' : ' open'}>
<summary>${escapeHtml(title)}</summary>
<div class="wide"><table>
<thead><tr>${head}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table></div>
</details>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** For text and for attributes in quotes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char)
}

const STYLE = `:root { color-scheme: light dark; --line: #d0d7de; --soft: #57606a; --mark: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --line: #3d444d; --soft: #9198a1; --mark: #151b23; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; padding: .5rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .75rem; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); background: var(--mark); }
tbody th { font-weight: normal; overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; }
code { font: .9em ui-monospace, monospace; }
[role=note] { border-left: 4px solid var(--soft); padding-left: .75rem; }`
