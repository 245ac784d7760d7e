/** Of `count` ascending starts the index of the last that is not after `at`; 0 where all are. */
export function lastStart(count: number, at: number, startOf: (index: number) => number | undefined): number {
  let low = 0
  let high = count
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((startOf(middle) ?? 0) <= at) low = middle
    else high = middle
  }
  return low
}
