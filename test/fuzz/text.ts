import { mutateBytes } from './bytes.ts'
import { few, type Random } from './random.ts'
import { mutateString } from './tree.ts'

type LineStep = (lines: string[], random: Random, donor: readonly string[]) => void

const STEPS: readonly LineStep[] = [
  (lines, random) => void lines.splice(random.below(lines.length), 1),
  (lines, random) => void lines.splice(random.below(lines.length + 1), 0, random.pick(lines)),
  (lines, random, donor) => void lines.splice(random.below(lines.length + 1), 0, random.pick(donor)),
  (lines) => void lines.reverse(),
  swap,
  change,
  change,
]

function swap(lines: string[], random: Random): void {
  const [one, other] = [random.below(lines.length), random.below(lines.length)]
  const kept = lines[one] ?? ''
  lines[one] = lines[other] ?? ''
  lines[other] = kept
}

function change(lines: string[], random: Random): void {
  const at = random.below(lines.length)
  lines[at] = mutateString(lines[at] ?? '', random)
}

/** Lines change places and come twice; words of the format turn up where they do not belong; some bytes change. */
export function mutateLines(words: readonly string[]) {
  return (input: Buffer, random: Random, donor: Buffer): Buffer => {
    if (random.once(5)) return mutateBytes(input, random, donor, 16_384)
    const lines = input.toString().split('\n')
    for (let left = few(random, 4); left > 0; left--) {
      if (random.once(3)) insertWord(lines, random, words)
      else random.pick(STEPS)(lines, random, donor.toString().split('\n'))
      if (lines.length === 0) lines.push('')
    }
    return Buffer.from(lines.join('\n')).subarray(0, 16_384)
  }
}

function insertWord(lines: string[], random: Random, words: readonly string[]): void {
  const line = random.below(lines.length)
  const text = lines[line] ?? ''
  const at = random.below(text.length + 1)
  const to = random.once(2) ? at : at + random.below(text.length - at + 1)
  lines[line] = text.slice(0, at) + random.pick(words) + text.slice(to)
}
