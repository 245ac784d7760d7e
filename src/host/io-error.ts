import { isErrno, PineError } from '../core/error.ts'

const DAMAGED = 'the file system is damaged: look at dmesg and smartctl, and check it with fsck'
/** What to do about an error of the operating system. errno(3) */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on that file system, or take another place',
  EDQUOT: 'make room within the quota, or take another place',
  EROFS:
    'take another place; where it should be writable, look at dmesg: ext4 becomes read-only at its first error',
  EIO: 'look at dmesg and smartctl: the device does not read or keep its data',
  // EBADMSG and EUCLEAN, for which Node has no name: a checksum of ext4 or xfs is wrong.
  'Unknown system error -74': DAMAGED,
  'Unknown system error -117': DAMAGED,
  EACCES: 'run the command as root, or take another place',
  EPERM: 'run the command as root, or take another place',
  ENOENT: 'make the folder first',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'give a file, not a folder',
  EMFILE: 'raise the limit of open files (ulimit -n)',
}

/** `what` went wrong, such as `cannot write /x`, and how the operating system put it. */
export function ioFailed(what: string, cause: unknown): PineError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const hint = Object.entries(ADVICE).find(([code]) => isErrno(cause, code))?.[1]
  return new PineError('IO_FAILED', `${what}: ${reason}`, { cause, ...(hint !== undefined && { hint }) })
}
