/** What files take of a file system, or what one has left. */
export interface Room {
  readonly bytes: number
  readonly inodes: number
}

export function sumOf(rooms: readonly Room[]): Room {
  return rooms.reduce(
    (sum, { bytes, inodes }) => ({ bytes: sum.bytes + bytes, inodes: sum.inodes + inodes }),
    {
      bytes: 0,
      inodes: 0,
    },
  )
}

/** Nothing is lacking of either. */
export function fits(needed: Room, free: Room): boolean {
  return needed.bytes <= free.bytes && needed.inodes <= free.inodes
}

/** `123 bytes and 4 inodes`; no inodes where a file system makes them as it goes. */
export function describeRoom({ bytes, inodes }: Room): string {
  return inodes === Number.POSITIVE_INFINITY ? `${bytes} bytes` : `${bytes} bytes and ${inodes} inodes`
}
