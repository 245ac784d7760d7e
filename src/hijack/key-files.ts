import type { Host } from '../host/host.ts'
import type { User } from './accounts.ts'
import { copyOf, type RegularFile } from './copy-of.ts'
import { keyFilesOf, type Sshd } from './sshd.ts'

/** Files with keys that let a user in. In a home they are the user's own, whoever had written them: sshd is strict about that. */
export async function readKeys(host: Host, sshd: Sshd, user: User): Promise<RegularFile[]> {
  const { uid, gid, newHome } = user
  const files: RegularFile[] = []
  for (const { from, to } of keyFilesOf(sshd, user)) {
    const file = await copyOf(host, (await host.realPath(from)) ?? from, to)
    if (file === undefined || file.content.length === 0 || !canRead(user, file)) continue
    files.push(to.startsWith(`${newHome}/`) ? { ...file, mode: 0o600, uid, gid } : file)
  }
  return files
}

/** sshd reads as the user. A link to /etc/shadow in the place of the keys must not give it that as a file of its own. */
function canRead({ uid }: User, file: RegularFile): boolean {
  return uid === 0 || file.uid === uid || (file.mode & 0o004) !== 0
}
