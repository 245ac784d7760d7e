/** A row of numbers, 0 at first, that is asked for the largest one between two places. */
export interface RangeMax {
  set(index: number, value: number): void
  /** Of the numbers at `first` to `last`. */
  between(first: number, last: number): number
}

/** A tree over the row: a hostile program asks about long ranges a million times. */
export function rangeMax(count: number): RangeMax {
  /** The number at `node` is the larger one of those at `2 * node` and `2 * node + 1`; the row begins at `count`. */
  const tree = new Float64Array(2 * count)
  const at = (node: number): number => tree[node] ?? 0
  return {
    set(index, value) {
      tree[count + index] = value
      for (let node = (count + index) >> 1; node > 0; node >>= 1)
        tree[node] = Math.max(at(2 * node), at(2 * node + 1))
    },
    between(first, last) {
      let most = 0
      let [left, right] = [count + first, count + last + 1]
      for (; left < right; left >>= 1, right >>= 1) {
        if (left & 1) most = Math.max(most, at(left++))
        if (right & 1) most = Math.max(most, at(--right))
      }
      return most
    },
  }
}
