/** How an error ends the process: 1 failed, 2 used wrongly, 3 refused before anything was written, 4 unhealthy. */
export type ExitCode = 1 | 2 | 3 | 4

/** Every code a user can meet, with its exit code. Each has a paragraph in docs/errors.md. */
export const ERROR_CODES = {
  USAGE: 2,
  CONFIG_INVALID: 2,
  FILE_NOT_FOUND: 2,
  FILE_EXISTS: 2,
  IO_FAILED: 1,
  TOOL_MISSING: 1,
  TOOL_FAILED: 1,
  TOOL_TIMEOUT: 1,
  NOT_ROOT: 1,
  NATIVE_MISSING: 1,
  // layouts and disks
  LAYOUT_INVALID: 2,
  DISK_TOO_SMALL: 3,
  DISK_IN_USE: 3,
  DISK_AMBIGUOUS: 3,
  NOT_A_PINE_DISK: 3,
  IMAGE_TOO_BIG: 3,
  IMAGE_UNBOOTABLE: 3,
  TREE_INVALID: 2,
  // bundles
  BUNDLE_MALFORMED: 3,
  BUNDLE_UNSIGNED: 3,
  BUNDLE_UNTRUSTED: 3,
  BUNDLE_TRUNCATED: 1,
  BUNDLE_CORRUPT: 1,
  BUNDLE_EXPIRED: 3,
  BUNDLE_TOO_NEW: 3,
  CODEC_MISMATCH: 3,
  COMPATIBLE_MISMATCH: 3,
  BUNDLE_KIND_MISMATCH: 3,
  DOWNGRADE_REFUSED: 3,
  BASE_MISMATCH: 3,
  REJECTED_BEFORE: 3,
  MEMORY_TOO_SMALL: 3,
  STATE_FULL: 3,
  STATE_READ_ONLY: 3,
  KEY_INVALID: 2,
  KEYRING_EMPTY: 2,
  KEY_LIST_INVALID: 3,
  KEY_LIST_UNTRUSTED: 3,
  KEY_LIST_EXPIRED: 3,
  SIGNATURE_INVALID: 2,
  // downloads
  DOWNLOAD_FAILED: 1,
  DOWNLOAD_STALLED: 1,
  DOWNLOAD_CHANGED: 1,
  TLS_FAILED: 1,
  // boot state
  BOOT_STATE_INVALID: 1,
  BOOT_STATE_UNSEEN: 3,
  TRIAL_PENDING: 3,
  NOTHING_TO_CONFIRM: 3,
  NOTHING_TO_ROLL_BACK_TO: 3,
  IMAGE_MISMATCH: 1,
  BUSY: 3,
  // libostree
  OSTREE_MISSING: 1,
  OSTREE_NOT_FOUND: 2,
  OSTREE_FAILED: 1,
  OSTREE_CORRUPT: 1,
  OSTREE_UNTRUSTED: 3,
  OSTREE_CRASHED: 1,
  // takeover
  TAKEOVER_REFUSED: 3,
  TAKEOVER_DAMAGED: 1,
  TAKEOVER_ORDER: 3,
  CARVE_FAILED: 3,
  UNHEALTHY: 4,
} as const satisfies Record<string, ExitCode>

export type ErrorCode = keyof typeof ERROR_CODES

interface PineErrorOptions {
  /** What to do next, as an imperative sentence. */
  hint?: string
  /** What else is wrong, so that nobody mends one thing only to meet the next. */
  also?: readonly PineError[]
  cause?: unknown
}

/** The one error class for what a user can meet; bugs stay plain `Error`. */
export class PineError extends Error {
  override readonly name = 'PineError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly also: readonly PineError[]

  constructor(code: ErrorCode, message: string, options: PineErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.also = options.also ?? []
  }

  get exitCode(): ExitCode {
    return ERROR_CODES[this.code]
  }
}

/** True for an operating-system error with that code, such as `ENOENT`. */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
