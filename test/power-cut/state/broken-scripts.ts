import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { STATE_PHASES, type StatePhase } from './phases.ts'

/** The script of the initramfs, broken on purpose. */
export interface BrokenScript {
  readonly name: string
  readonly phase: StatePhase
  /** Text of src/system/initramfs-state, and what stands in its place. */
  readonly edits: readonly (readonly [string, string])[]
}

function phaseAt(index: number): StatePhase {
  const phase = STATE_PHASES[index]
  if (phase === undefined) throw new Error(`there is no phase ${index}`)
  return phase
}

const [FILLS, MAKES_ETC] = [phaseAt(0), phaseAt(1)]
const RENAMES_FOLDER = 'mv "$state/$1.new" "$state/$1" || pine_fail "cannot rename $state/$1.new"'
const RENAMES_UPPER = 'mv "$new" "$etc/$slot.$gen" || pine_fail "cannot rename $new"'

/** To add one, add a line. */
export const BROKEN_SCRIPTS: readonly BrokenScript[] = [
  {
    name: '/etc is made under its own name',
    phase: MAKES_ETC,
    edits: [
      ['local new=$etc/$slot.$gen.new', 'local new=$etc/$slot.$gen'],
      [RENAMES_UPPER, ':'],
    ],
  },
  {
    name: '/var is renamed before it is on the disk',
    phase: FILLS,
    edits: [[`sync\n\t${RENAMES_FOLDER}\n\tsync`, `${RENAMES_FOLDER}\n\tsleep 0.3`]],
  },
  {
    name: '/var is filled under its own name',
    phase: FILLS,
    edits: [
      [
        'cp -a "$rootmnt/$1" "$state/$1.new"',
        'mkdir "$state/$1" && sleep 0.2 && cp -a "$rootmnt/$1/." "$state/$1/"',
      ],
      [RENAMES_FOLDER, ':'],
      [
        'rm -rf "$state/var.new/lib/dpkg" "$state/var.new/lib/apk"',
        'rm -rf "$state/var/lib/dpkg" "$state/var/lib/apk"',
      ],
    ],
  },
]

/** Copies `system` to `to` with the script broken. Throws where it does not hold what is to be replaced. */
export function breakScripts(system: string, to: string, { name, edits }: BrokenScript): void {
  mkdirSync(to, { recursive: true })
  cpSync(system, to, { recursive: true })
  const path = join(to, 'initramfs-state')
  let text = readFileSync(path, 'utf8')
  for (const [found, instead] of edits) {
    if (!text.includes(found)) throw new Error(`${name}: initramfs-state has no ${JSON.stringify(found)}`)
    text = text.replace(found, () => instead)
  }
  writeFileSync(path, text)
}
