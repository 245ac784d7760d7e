import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Content by path; null is a folder. */
type Files = Record<string, string | null>

const SHARED: Files = {
  'sbin/init': '#!/bin/sh\n',
  home: null,
  'root/.profile': 'umask 022\n',
  'etc/hosts': '127.0.0.1 localhost\n',
  'etc/machine-id': '',
  'etc/shadow': 'root:*:1::::::\n',
  'etc/apt/sources': 'deb trixie\n',
  'etc/old/one.conf': '1\n',
  'etc/old/two.conf': '2\n',
  'var/lib/dpkg/status': 'Package: base\n',
  'var/lib/app/data': 'x'.repeat(5000),
  'var/cache/kept': 'kept\n',
  'var/log': null,
}

const PASSWD = 'root:x:0:0::/root:/bin/bash\nwww:x:33:33::/:/usr/sbin/nologin\n'

const OLD: Files = {
  ...SHARED,
  'etc/release': '1.0\n',
  'etc/passwd': PASSWD,
  'etc/group': 'root:x:0:\nwww:x:33:\n',
  'etc/web/site.conf': 'listen 80\n',
}

const NEW: Files = {
  ...SHARED,
  'etc/release': '2.0\n',
  'etc/passwd': `${PASSWD}db:x:105:105::/:/usr/sbin/nologin\n`,
  'etc/group': 'root:x:0:\nwww:x:33:\ndb:x:105:\n',
  'etc/web/site.conf': 'listen 80 443\n',
  'etc/db/db.conf': 'data = /var/lib/db\n',
  'var/lib/db/empty': '',
  'var/lib/db/schema': 'create table t\n'.repeat(600),
  'var/spool/db/queue': 'q\n',
  'var/cache/.hidden': 'h\n',
}

/** Images of two releases in `folder`: what the scripts read of them. */
export function makeReleases(folder: string): { old: string; new: string } {
  return { old: pack(folder, 'old', OLD), new: pack(folder, 'new', NEW) }
}

function pack(folder: string, name: string, files: Files): string {
  const tree = join(folder, name)
  for (const [path, content] of Object.entries(files)) {
    const to = join(tree, path)
    mkdirSync(content === null ? to : dirname(to), { recursive: true })
    if (content !== null) writeFileSync(to, content, { mode: path === 'sbin/init' ? 0o755 : 0o644 })
  }
  const image = join(folder, `${name}.squashfs`)
  execFileSync('mksquashfs', [tree, image, '-quiet', '-no-progress', '-all-root', '-noappend'])
  return image
}
