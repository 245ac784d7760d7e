/** A member of an archive. Paths have no leading slash. */
export type CpioEntry = { path: string; mode: number; uid: number; gid: number } & CpioContent
type CpioContent = { kind: 'folder' } | { kind: 'file'; content: Buffer } | { kind: 'link'; target: string }

// Linux Documentation/driver-api/early-userspace/buffer-format.rst: "newc", which the kernel unpacks as an initramfs. Numbers
// are eight hexadecimal digits; names and contents are padded to four bytes.
const MAGIC = '070701'
const HEAD_BYTES = 110
const TRAILER = 'TRAILER!!!'
const TYPES: Record<CpioEntry['kind'], number> = { folder: 0o040000, file: 0o100000, link: 0o120000 }
/** What cpio(1) pads an archive to. */
const BLOCK = 512

/** The same entries give the same bytes, in whatever order they come: without times, sorted, folders before what is in them. */
export function encodeCpio(entries: readonly CpioEntry[]): Buffer {
  const sorted = entries.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
  const members = sorted.map((entry, index) => {
    const { path, mode, uid, gid, kind } = entry
    const head = { ino: index + 1, mode: TYPES[kind] | mode, uid, gid, links: kind === 'folder' ? 2 : 1 }
    return member(path, head, contentOf(entry))
  })
  const end = member(TRAILER, { ino: 0, mode: 0, uid: 0, gid: 0, links: 1 }, Buffer.alloc(0))
  return padded(Buffer.concat([...members, end]), BLOCK)
}

function contentOf(entry: CpioEntry): Buffer {
  if (entry.kind === 'file') return entry.content
  return Buffer.from(entry.kind === 'link' ? entry.target : '')
}

interface Head {
  ino: number
  mode: number
  uid: number
  gid: number
  links: number
}

function member(path: string, { ino, mode, uid, gid, links }: Head, content: Buffer): Buffer {
  const name = Buffer.from(`${path}\0`)
  // Between them: time, then four numbers of devices.
  const numbers = [ino, mode, uid, gid, links, 0, content.length, 0, 0, 0, 0, name.length, 0]
  const head = MAGIC + numbers.map((number) => number.toString(16).padStart(8, '0')).join('')
  if (head.length !== HEAD_BYTES) throw new Error(`${path} does not fit into a cpio archive`)
  return Buffer.concat([padded(Buffer.concat([Buffer.from(head), name]), 4), padded(content, 4)])
}

function padded(bytes: Buffer, step: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((step - (bytes.length % step)) % step)])
}
