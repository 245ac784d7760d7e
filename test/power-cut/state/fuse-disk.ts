import { closeSync, openSync, read, writeSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'

// One file, `disk`, whose every write and flush is seen here: under a loop device it is a disk for a real file system.
// Numbers and structures are those of Linux' include/uapi/linux/fuse.h, protocol 7.31.

/** What the file does with requests of the kernel. */
export interface DiskFile {
  readonly bytes: number
  read(offset: number, bytes: number): Uint8Array
  write(offset: number, bytes: Uint8Array): void
  flush(): void
}

const OP = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
} as const

const IN_HEADER_BYTES = 40
const OUT_HEADER_BYTES = 16
const MAX_WRITE_BYTES = 128 * 1024
const FOPEN_DIRECT_IO = 1
const ENOENT = 2
const ENOSYS = 38
const ROOT = 1
const DISK = 2
/** The kernel may remember names and attributes for that many seconds. */
const VALID = 3600n

/** A FUSE file system that waits to be mounted. */
export interface FuseDevice {
  /** For `mount -t fuse -o fd=…`; whoever mounts it inherits it. */
  readonly fd: number
  /** Answers requests from the mount on; resolves once it is unmounted. */
  serve(): Promise<void>
  close(): void
}

export function openFuse(file: DiskFile): FuseDevice {
  const fd = openSync('/dev/fuse', 'r+')
  let isClosed = false
  return {
    fd,
    serve: () => serve(fd, file, () => isClosed),
    close() {
      isClosed = true
      closeSync(fd)
    },
  }
}

const readDevice = promisify(read)

async function serve(device: number, file: DiskFile, isClosed: () => boolean): Promise<void> {
  const request = Buffer.alloc(MAX_WRITE_BYTES + 4096)
  for (;;) {
    const bytes = await nextRequest(device, request, isClosed)
    if (bytes === undefined) return
    const opcode = request.readUInt32LE(4)
    if (opcode === OP.forget) continue
    const node = Number(request.readBigUInt64LE(16))
    const answer = answerTo(file, { opcode, node, body: request.subarray(IN_HEADER_BYTES, bytes) })
    const payload = typeof answer === 'number' ? Buffer.alloc(0) : answer
    const header = Buffer.alloc(OUT_HEADER_BYTES)
    header.writeUInt32LE(OUT_HEADER_BYTES + payload.length, 0)
    header.writeInt32LE(typeof answer === 'number' ? -answer : 0, 4)
    request.copy(header, 8, 8, 16)
    answerWith(device, Buffer.concat([header, payload]))
  }
}

function answerWith(device: number, answer: Buffer): void {
  try {
    writeSync(device, answer)
  } catch (error) {
    // Whoever asked was killed meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

const NOT_MOUNTED_MS = 2

/** Undefined once it is unmounted, or closed without ever having been mounted. */
async function nextRequest(
  device: number,
  into: Buffer,
  isClosed: () => boolean,
): Promise<number | undefined> {
  while (!isClosed()) {
    try {
      return (await readDevice(device, into, 0, into.length, null)).bytesRead
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENODEV' || isClosed()) return undefined
      if (code === 'EPERM') await setTimeout(NOT_MOUNTED_MS)
      // The others are interrupted requests.
      else if (code !== 'ENOENT' && code !== 'EINTR' && code !== 'EAGAIN') throw error
    }
  }
  return undefined
}

interface Request {
  opcode: number
  node: number
  body: Buffer
}

/** The answer, or the number of an error. */
function answerTo(file: DiskFile, { opcode, node, body }: Request): Uint8Array | number {
  switch (opcode) {
    case OP.init:
      return initAnswer(body)
    case OP.lookup:
      return body.toString('latin1').split('\0')[0] === 'disk' ? entryOf(file) : ENOENT
    case OP.getattr:
    case OP.setattr:
      return attributesAnswer(node, file)
    case OP.open:
      return openAnswer()
    case OP.read:
      return file.read(Number(body.readBigUInt64LE(8)), body.readUInt32LE(16))
    case OP.write:
      return writeAnswer(file, body)
    case OP.fsync:
      file.flush()
      return Buffer.alloc(0)
    case OP.statfs:
      return Buffer.alloc(80)
    case OP.release:
    case OP.flush:
      return Buffer.alloc(0)
    default:
      return ENOSYS
  }
}

function initAnswer(body: Buffer): Buffer {
  const answer = Buffer.alloc(64)
  answer.writeUInt32LE(7, 0)
  answer.writeUInt32LE(31, 4)
  body.copy(answer, 8, 8, 12) // how far to read ahead: as the kernel likes
  answer.writeUInt16LE(12, 16)
  answer.writeUInt16LE(9, 18)
  answer.writeUInt32LE(MAX_WRITE_BYTES, 20)
  answer.writeUInt32LE(1, 24) // times are in nanoseconds
  return answer
}

function attributes(node: number, { bytes }: DiskFile): Buffer {
  const found = Buffer.alloc(88)
  found.writeBigUInt64LE(BigInt(node), 0)
  found.writeBigUInt64LE(BigInt(node === DISK ? bytes : 0), 8)
  found.writeUInt32LE(node === ROOT ? 0o040755 : 0o100600, 60)
  found.writeUInt32LE(1, 64)
  found.writeUInt32LE(4096, 80)
  return found
}

function attributesAnswer(node: number, file: DiskFile): Buffer {
  const head = Buffer.alloc(16)
  head.writeBigUInt64LE(VALID, 0)
  return Buffer.concat([head, attributes(node, file)])
}

function entryOf(file: DiskFile): Buffer {
  const head = Buffer.alloc(40)
  head.writeBigUInt64LE(BigInt(DISK), 0)
  head.writeBigUInt64LE(VALID, 16)
  head.writeBigUInt64LE(VALID, 24)
  return Buffer.concat([head, attributes(DISK, file)])
}

/** Without a page cache of its own: each write comes here at once. */
function openAnswer(): Buffer {
  const answer = Buffer.alloc(16)
  answer.writeUInt32LE(FOPEN_DIRECT_IO, 8)
  return answer
}

const WRITE_IN_BYTES = 40

function writeAnswer(file: DiskFile, body: Buffer): Buffer {
  const bytes = body.readUInt32LE(16)
  file.write(Number(body.readBigUInt64LE(8)), body.subarray(WRITE_IN_BYTES, WRITE_IN_BYTES + bytes))
  const answer = Buffer.alloc(8)
  answer.writeUInt32LE(bytes, 0)
  return answer
}
