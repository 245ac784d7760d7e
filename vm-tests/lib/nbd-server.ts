import { createServer, type Socket } from 'node:net'
import type { LossyDisk } from './lossy-disk.ts'
import { readerOf, type Take } from './socket-reader.ts'

/** https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, fixed newstyle: as much of it as qemu uses. */
const GREETING = Buffer.from('NBDMAGICIHAVEOPT')
const FIXED_NEWSTYLE = 1
const OPTION_REPLY = 0x3e889045565a9n
const OPTION_GO = 7
const REPLY = { ack: 1, info: 3, unsupported: 2 ** 31 + 1 } as const
const REQUEST = 0x25609513
const REQUEST_BYTES = 28
const SIMPLE_REPLY = 0x67446698
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const
const FUA = 1
const EINVAL = 22
/** HAS_FLAGS, SEND_FLUSH, SEND_FUA. */
const TRANSMISSION_FLAGS = 1 | 4 | 8

export interface NbdServer {
  /** As qemu names it in `file=`. */
  readonly url: string
  /** Cuts every client off at once: what it sent and was not read yet never arrives. */
  disconnect(): void
  close(): Promise<void>
}

/** Serves the disk on a Unix socket. */
export async function serveNbd(disk: LossyDisk, socketPath: string): Promise<NbdServer> {
  const clients = new Set<Socket>()
  const server = createServer((socket) => {
    clients.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => clients.delete(socket))
    // Whoever sends nonsense is cut off, and notices.
    serve(disk, socket).catch(() => socket.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  const disconnect = (): void => {
    for (const socket of clients) socket.destroy()
  }
  return {
    url: `nbd+unix:///?socket=${socketPath}`,
    disconnect,
    async close() {
      disconnect()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function serve(disk: LossyDisk, socket: Socket): Promise<void> {
  const take = readerOf(socket)
  await negotiate(disk, socket, take)
  for (;;) {
    const request = await take(REQUEST_BYTES)
    if (request.readUInt32BE(0) !== REQUEST) throw new Error('not a request')
    if (request.readUInt16BE(6) === COMMAND.disconnect) return void socket.end()
    socket.write(await answer(disk, request, take))
  }
}

/** Until the client knows the disk and goes on to use it; qemu can do without all else that it asks for. */
async function negotiate(disk: LossyDisk, socket: Socket, take: Take): Promise<void> {
  socket.write(Buffer.concat([GREETING, uint16(FIXED_NEWSTYLE)]))
  await take(4)
  for (;;) {
    const head = await take(16)
    const option = head.readUInt32BE(8)
    await take(head.readUInt32BE(12))
    if (option === OPTION_GO) break
    sendReply(socket, option, REPLY.unsupported)
  }
  const size = Buffer.concat([uint64(BigInt(disk.bytes)), uint16(TRANSMISSION_FLAGS)])
  sendReply(socket, OPTION_GO, REPLY.info, Buffer.concat([uint16(0), size]))
  sendReply(socket, OPTION_GO, REPLY.ack)
}

function sendReply(socket: Socket, option: number, type: number, data: Buffer = Buffer.alloc(0)): void {
  socket.write(Buffer.concat([uint64(OPTION_REPLY), uint32(option), uint32(type), uint32(data.length), data]))
}

async function answer(disk: LossyDisk, request: Buffer, take: Take): Promise<Buffer> {
  const [flags, command] = [request.readUInt16BE(4), request.readUInt16BE(6)]
  const [offset, bytes] = [Number(request.readBigUInt64BE(16)), request.readUInt32BE(24)]
  const reply = (error: number, data: Buffer = Buffer.alloc(0)): Buffer =>
    Buffer.concat([uint32(SIMPLE_REPLY), uint32(error), request.subarray(8, 16), data])
  const content = command === COMMAND.write ? await take(bytes) : undefined
  if (offset + bytes > disk.bytes) return reply(EINVAL)
  switch (command) {
    case COMMAND.read:
      return reply(0, disk.read(offset, bytes))
    case COMMAND.write:
      if (content) disk.write(offset, content, (flags & FUA) !== 0)
      return reply(0)
    case COMMAND.flush:
      disk.flush()
      return reply(0)
    default:
      return reply(EINVAL)
  }
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
