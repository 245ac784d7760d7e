/** What the new system is given of the old one. */
export interface Captured {
  files: CapturedFile[]
  accounts: Accounts
}

/** A file or symbolic link below /etc, /home, /root or /var: all else belongs to the image. */
export type CapturedFile =
  | { path: string; mode: number; uid: number; gid: number; content: Buffer }
  | { path: string; link: string }

/** Lines of the account files, to be added; of root only the password, to be replaced. */
export interface Accounts {
  passwd: string[]
  shadow: string[]
  group: string[]
  gshadow: string[]
}

/** A text that root owns and everybody may read. */
export function textFile(path: string, text: string, mode = 0o644): CapturedFile {
  return { path, mode, uid: 0, gid: 0, content: Buffer.from(text) }
}
