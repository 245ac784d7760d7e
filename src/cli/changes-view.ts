import type { ChangeList, FileChange, PackageChange } from '../bundle/changes.ts'
import { bytesOfName, isText, showName } from '../core/file-name.ts'
import { deviceNumbers, type FileState } from '../core/file-state.ts'
import { formatBytes } from '../core/format.ts'

export const GROUPS = ['added', 'removed', 'changed'] as const
export type Group = (typeof GROUPS)[number]
export type Counts = Readonly<Record<Group, number>>

/** A line of the list; nothing in it needs to be escaped for a terminal. */
export interface FileRow {
  readonly path: string
  /** What it has now or, where it was removed, had; empty for what is no file. */
  readonly size: string
  /** By how much a file that changed grew; empty where its content is as it was. */
  readonly growth: string
  readonly notes: readonly string[]
}

export interface ChangesView {
  readonly packages: readonly PackageChange[]
  readonly files: Readonly<Record<Group, readonly FileRow[]>>
  /** What is to be said of the list as a whole. */
  readonly summary: string
  readonly warnings: readonly string[]
}

export function viewChanges({ packages, files, omitted, unread }: ChangeList): ChangesView {
  const rowsOf = (group: Group): FileRow[] => files.filter((change) => groupOf(change) === group).map(rowOf)
  const grown = files.reduce((sum, change) => sum + (change.new?.bytes ?? 0) - (change.old?.bytes ?? 0), 0)
  return {
    packages,
    files: { added: rowsOf('added'), removed: rowsOf('removed'), changed: rowsOf('changed') },
    summary: `packages: ${countText(countGroups(packages))}; files: ${countText(countGroups(files))}, ${growthText(grown)} in all`,
    warnings: [
      ...(omitted > 0 ? [`${omitted} more changed that are not listed: there were too many`] : []),
      ...(unread > 0
        ? [`${unread} files of equal size were not compared: their content could not be read`]
        : []),
    ],
  }
}

export function groupOf({ old, new: now }: { old?: unknown; new?: unknown }): Group {
  if (old === undefined) return 'added'
  return now === undefined ? 'removed' : 'changed'
}

export function countGroups(changes: readonly { old?: unknown; new?: unknown }[]): Counts {
  const counts = { added: 0, removed: 0, changed: 0 }
  for (const change of changes) counts[groupOf(change)] += 1
  return counts
}

export function countText(counts: Counts): string {
  const found = GROUPS.filter((group) => counts[group] > 0)
  return found.length === 0 ? 'none' : found.map((group) => `${counts[group]} ${group}`).join(', ')
}

function rowOf({ path, old, new: now, content }: FileChange): FileRow {
  const state = now ?? old
  const isFile = state?.type === 'file'
  const isListed = isFile && (old === undefined || now === undefined || content || old.type !== 'file')
  return {
    path: showName(`/${path}${state?.type === 'directory' ? '/' : ''}`),
    size: isListed ? formatBytes(state.bytes ?? 0) : '',
    growth: content ? growthText((now?.bytes ?? 0) - (old?.bytes ?? 0)) : '',
    notes: old !== undefined && now !== undefined ? differences(old, now) : state ? kindNotes(state) : [],
  }
}

function growthText(bytes: number): string {
  if (bytes === 0) return 'same size'
  return bytes > 0 ? `+${formatBytes(bytes)}` : `-${formatBytes(-bytes)}`
}

const SPECIAL_BITS = 0o6000

/** What a path alone does not say. A program that runs as its owner is never to be passed over. */
function kindNotes(state: FileState): string[] {
  const kind = state.type === 'file' || state.type === 'directory' ? [] : [kindText(state)]
  return (state.mode & SPECIAL_BITS) === 0 || state.type === 'directory'
    ? kind
    : [...kind, `mode ${modeText(state)}, owner ${ownerText(state)}`]
}

function differences(old: FileState, now: FileState): string[] {
  const pairs: (readonly [string, string, string])[] = [
    ['', kindText(old), kindText(now)],
    // Permissions of a symlink mean nothing.
    ...(now.type === 'symlink' ? [] : [['mode ', modeText(old), modeText(now)] as const]),
    ['owner ', ownerText(old), ownerText(now)],
  ]
  return pairs.filter(([, was, is]) => was !== is).map(([what, was, is]) => `${what}${was} -> ${is}`)
}

function kindText({ type, target, device = 0 }: FileState): string {
  if (type === 'symlink') return `symlink to ${showName(target ?? '')}`
  if (type !== 'block' && type !== 'character') return type
  const { major, minor } = deviceNumbers(device)
  return `${type} device ${major}:${minor}`
}

function modeText({ mode }: Pick<FileState, 'mode'>): string {
  return mode.toString(8).padStart(4, '0')
}

function ownerText({ uid, gid }: Pick<FileState, 'uid' | 'gid'>): string {
  return `${uid}:${gid}`
}

/** The list for programs. A path that is no text has its bytes beside it. */
export function changesDocument({ packages, files, omitted, unread }: ChangeList, base: string) {
  return {
    base,
    counts: { packages: countGroups(packages), files: countGroups(files) },
    omitted,
    unread,
    packages: packages.map(({ database, name, old = null, new: now = null }) => ({
      ...{ database, name, change: groupOf({ old: old ?? undefined, new: now ?? undefined }) },
      ...{ old, new: now },
    })),
    files: files.map((change) => ({
      ...nameFields('path', change.path),
      change: groupOf(change),
      content: change.content,
      old: change.old ? stateDocument(change.old) : null,
      new: change.new ? stateDocument(change.new) : null,
    })),
  }
}

function stateDocument({ target, ...state }: FileState) {
  return {
    ...state,
    mode: modeText(state),
    ...(target !== undefined && nameFields('target', target)),
  }
}

function nameFields(field: string, name: string): Record<string, string> {
  if (isText(name)) return { [field]: name }
  const bytes = bytesOfName(name)
  return { [field]: bytes.toString(), [`${field}Base64`]: bytes.toString('base64') }
}
