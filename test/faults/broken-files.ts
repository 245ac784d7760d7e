import { readlinkSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { getSystemErrorMap } from 'node:util'

/** What is asked of an open file. */
export interface Call {
  readonly kind: 'read' | 'write' | 'flush'
  readonly path: string
  /** Of a read or write: within the file. */
  readonly position: number
  readonly bytes: number
}

/** Throws to make a call fail; returns what the device does not do of it. */
export type Fault = (call: Call) => 'lost' | undefined | { readonly shortBy: number }

type Transfer = [buffer: Buffer, at: number, bytes: number, position: number | null]

/** The error that Node makes of an errno. */
export function errnoError(code: string, syscall: string): Error {
  const [errno, [, text]] = [...getSystemErrorMap()].find(([, [name]]) => name === code) ?? [0, ['', '']]
  return Object.assign(new Error(`${code}: ${text}, ${syscall}`), { errno, code, syscall })
}

/**
 * Breaks the files of this process below src/host: every `FileHandle` asks `fault` first. Returns what puts them right.
 */
export async function breakFiles(fault: Fault): Promise<() => void> {
  const probe = await open('/dev/null')
  const whole = Object.getPrototypeOf(probe) as FileHandle
  await probe.close()
  const { read, write, datasync } = whole
  const pathOf = (file: FileHandle) => readlinkSync(`/proc/self/fd/${file.fd}`)
  const broken = {
    async read(this: FileHandle, ...[into, at, bytes, position]: Transfer) {
      const verdict = fault({ kind: 'read', path: pathOf(this), position: position ?? 0, bytes })
      const shortBy = typeof verdict === 'object' ? verdict.shortBy : 0
      return await Reflect.apply(read, this, [into, at, bytes - shortBy, position])
    },
    async write(this: FileHandle, ...[from, at, bytes, position]: Transfer) {
      const verdict = fault({ kind: 'write', path: pathOf(this), position: position ?? 0, bytes })
      if (verdict === 'lost') return { bytesWritten: bytes, buffer: from }
      return await Reflect.apply(write, this, [from, at, bytes, position])
    },
    async datasync(this: FileHandle) {
      fault({ kind: 'flush', path: pathOf(this), position: 0, bytes: 0 })
      await datasync.call(this)
    },
  }
  Object.assign(whole, broken)
  return () => void Object.assign(whole, { read, write, datasync })
}

/**
 * Sectors that cannot be read until they are written. As the kernel does it, a read ends before them, and the next one,
 * which begins there, fails.
 */
export function badSectors(path: string, start: number, end: number): Fault & { isMended: () => boolean } {
  let isMended = false
  const fault: Fault = (call) => {
    const [from, to] = [call.position, call.position + call.bytes]
    if (call.path !== path || isMended || to <= start || from >= end) return undefined
    if (call.kind === 'write') isMended = from <= start && to >= end
    if (call.kind !== 'read') return undefined
    if (from < start) return { shortBy: to - start }
    throw errnoError('EIO', 'read')
  }
  return Object.assign(fault, { isMended: () => isMended })
}
