import type { Binding } from './bind.ts'

const FIRST_YEAR = 2016
const LAST_YEAR = 2099
// A release every month, and now and then one more.
const LAST_RELEASE = 99

/** Such as `2022.7`. libostree does not tell, it can only be asked whether it is at least some version. */
export function versionOf(binding: Binding): string {
  const { ostree_check_version: isAtLeast } = binding.functions({
    cancellable: undefined,
    keep: () => undefined,
  })
  const year = highest(FIRST_YEAR, LAST_YEAR, (candidate) => isAtLeast(candidate, 1))
  const release = highest(1, LAST_RELEASE, (candidate) => isAtLeast(year, candidate))
  return `${year}.${release}`
}

function highest(first: number, last: number, holds: (candidate: number) => boolean): number {
  let found = first
  while (found < last && holds(found + 1)) found++
  return found
}
