import { connect, type Socket } from 'node:net'
import { readerOf, type Take } from './socket-reader.ts'

/** As much of a client as a test needs: it waits for each answer. Errors are numbers of errno(3), 0 is none. */
export interface NbdClient {
  /** Bytes of the disk. */
  readonly bytes: number
  readonly hasFlush: boolean
  read(offset: number, bytes: number): Promise<Buffer>
  write(offset: number, content: Buffer, options?: { durable?: boolean }): Promise<number>
  flush(): Promise<number>
  close(): void
}

const GREETING_BYTES = 18
const GO = 7
const FUA = 1
const SEND_FLUSH = 4

export async function connectNbd(path: string): Promise<NbdClient> {
  const socket = connect(path)
  socket.on('error', () => socket.destroy())
  const take = readerOf(socket)
  const { bytes, flags } = await goTo(socket, take)

  async function ask(
    command: number,
    offset: number,
    rest: { bytes?: number; content?: Buffer; flags?: number },
  ) {
    const request = Buffer.alloc(28)
    request.writeUInt32BE(0x25609513, 0)
    request.writeUInt16BE(rest.flags ?? 0, 4)
    request.writeUInt16BE(command, 6)
    request.writeBigUInt64BE(BigInt(offset), 16)
    request.writeUInt32BE(rest.content?.length ?? rest.bytes ?? 0, 24)
    socket.write(Buffer.concat([request, rest.content ?? Buffer.alloc(0)]))
    return (await take(16)).readUInt32BE(4)
  }

  return {
    bytes,
    hasFlush: (flags & SEND_FLUSH) !== 0,
    async read(offset, length) {
      const error = await ask(0, offset, { bytes: length })
      if (error !== 0) throw new Error(`read at ${offset}: error ${error}`)
      return take(length)
    },
    write: (offset, content, options) => ask(1, offset, { content, flags: options?.durable ? FUA : 0 }),
    flush: () => ask(3, 0, {}),
    close: () => socket.destroy(),
  }
}

async function goTo(socket: Socket, take: Take): Promise<{ bytes: number; flags: number }> {
  await take(GREETING_BYTES)
  const go = Buffer.alloc(4 + 16 + 6)
  go.writeUInt32BE(1, 0)
  go.write('IHAVEOPT', 4, 'latin1')
  go.writeUInt32BE(GO, 12)
  go.writeUInt32BE(6, 16)
  socket.write(go)
  const info = await reply(take)
  await reply(take)
  return { bytes: Number(info.readBigUInt64BE(2)), flags: info.readUInt16BE(10) }
}

async function reply(take: Take): Promise<Buffer> {
  const head = await take(20)
  return take(head.readUInt32BE(16))
}
