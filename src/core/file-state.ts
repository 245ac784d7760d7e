/** What a name in a file system can be. */
export const FILE_TYPES = ['file', 'directory', 'symlink', 'block', 'character', 'fifo', 'socket'] as const
export type FileType = (typeof FILE_TYPES)[number]

/** What a name in an image stands for, but for the content of a file. */
export interface FileState {
  readonly type: FileType
  /** Permissions with set-user-id, set-group-id and the sticky bit: 12 bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of a file. */
  readonly bytes?: number
  /** Of a symlink, as `nameOf` gives it. */
  readonly target?: string
  /** Of a device, as Linux encodes it in 32 bits (include/linux/kdev_t.h, new_encode_dev). */
  readonly device?: number
}

export const MODE_MASK = 0o7777
/** Linux PATH_MAX: no kernel follows a longer one. */
export const MAX_TARGET_BYTES = 4096

// POSIX <sys/stat.h>, with the values of Linux include/uapi/linux/stat.h.
const TYPE_BITS: ReadonlyMap<number, FileType> = new Map([
  [0o01, 'fifo'],
  [0o02, 'character'],
  [0o04, 'directory'],
  [0o06, 'block'],
  [0o10, 'file'],
  [0o12, 'symlink'],
  [0o14, 'socket'],
])

/** The type in the upper four of the 16 bits of `st_mode`. */
export function typeOfMode(mode: number): FileType | undefined {
  return TYPE_BITS.get((mode >> 12) & 0o17)
}

export function deviceNumbers(device: number): { major: number; minor: number } {
  return { major: (device >>> 8) & 0xfff, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) }
}
