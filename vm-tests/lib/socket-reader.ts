import type { Socket } from 'node:net'

/** Resolves with exactly that many bytes, the next ones. Rejects where the connection ends before. One call at a time. */
export type Take = (bytes: number) => Promise<Buffer>

export function readerOf(socket: Socket): Take {
  let arrived: Buffer[] = []
  let available = 0
  let isOver = false
  let wake: () => void = () => {}
  socket.on('data', (chunk: Buffer) => {
    arrived.push(chunk)
    available += chunk.length
    wake()
  })
  socket.on('close', () => {
    isOver = true
    wake()
  })
  return async (bytes) => {
    while (available < bytes || isOver) {
      if (isOver) throw new Error('the connection ended')
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    const all = arrived.length === 1 && arrived[0] ? arrived[0] : Buffer.concat(arrived)
    available = all.length - bytes
    arrived = available > 0 ? [all.subarray(bytes)] : []
    return all.subarray(0, bytes)
  }
}
