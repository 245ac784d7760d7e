/** What a machine does, by the last of these texts on its serial port. In no order: a restart begins anew. */
const PHASES = [
  ['loader', /pine-update: trying [ab]/g],
  ['initramfs', /pine-update: watchdog/g],
  ['state partition', /^state: /gm],
  ['merge of /etc', /carrying \/etc over/g],
  ['init', /<up>/g],
  ['health and verdict', /<health>/g],
  ['after the verdict', / is permanent\./g],
  ['apply: check', /<apply>/g],
  ['apply: disarm', /^make slot . unbootable/gm],
  ['apply: write', /^(write image|make the tree)/gm],
  ['apply: flush', /^flush slot/gm],
  ['apply: verify', /^read slot . back/gm],
  ['apply: record', /^note that slot/gm],
  ['apply: arm', /^boot slot . next/gm],
  ['armed', / boots next\./g],
  ['rollback', /<rollback>/g],
  ['rejected', / is given up;/g],
] as const

/** Before the first text: firmware, and the loader's start. */
export function phaseOf(output: string): string {
  const found = PHASES.map(([name, pattern]) => ({ name, at: lastIndexOf(output, pattern) }))
  const last = found.reduce((one, other) => (other.at > one.at ? other : one))
  return last.at < 0 ? 'firmware' : last.name
}

function lastIndexOf(output: string, pattern: RegExp): number {
  return [...output.matchAll(pattern)].at(-1)?.index ?? -1
}

/** A text after which the power may be cut, and how long after it at most, in boots. */
export interface CutPoint {
  pattern: RegExp
  windowBoots: number
}

/** Short moments that a cut at any time would hardly ever meet. */
export const CUT_POINTS: readonly CutPoint[] = [
  { pattern: /pine-update: trying/, windowBoots: 0.02 },
  { pattern: /^state: /m, windowBoots: 0.15 },
  { pattern: /carrying \/etc over/, windowBoots: 0.15 },
  { pattern: /<health>/, windowBoots: 0.4 },
  { pattern: / is permanent\./, windowBoots: 0.02 },
  { pattern: /^make slot . unbootable/m, windowBoots: 0.05 },
  { pattern: /^write image/m, windowBoots: 0.3 },
  { pattern: /^flush slot/m, windowBoots: 0.1 },
  { pattern: /^note that slot/m, windowBoots: 0.05 },
  { pattern: /^boot slot . next/m, windowBoots: 0.05 },
  { pattern: / boots next\./, windowBoots: 0.05 },
  { pattern: /<rollback>/, windowBoots: 0.5 },
  { pattern: / is given up;/, windowBoots: 0.05 },
]
