import { open, rm } from 'node:fs/promises'
import { isErrno, PineError } from '../core/error.ts'
import { setImmutable } from './extents.ts'
import { ioFailed } from './io-error.ts'

/**
 * Writes a file of efivarfs: four bytes of attributes and the value, in one write(2), which is one call of the firmware.
 * Throws `IO_FAILED`; the variable then is as it was. Linux, Documentation/filesystems/efivarfs.rst
 */
export async function writeVariable(path: string, content: Uint8Array): Promise<void> {
  await mutable(path, 'write', async () => {
    const file = await open(path, 'w', 0o644)
    try {
      const { bytesWritten } = await file.write(content, 0, content.length, null)
      if (bytesWritten !== content.length)
        throw new PineError('IO_FAILED', `${path} took ${bytesWritten} of ${content.length} bytes`)
    } finally {
      await file.close()
    }
  })
}

/** Does nothing where there is no such variable. */
export async function removeVariable(path: string): Promise<void> {
  await mutable(path, 'remove', () => rm(path, { force: true }))
}

/** What the kernel does not know to be harmless it makes immutable: firmware has been bricked by `rm -r`. */
async function mutable(path: string, verb: string, action: () => Promise<void>): Promise<void> {
  try {
    await action().catch(async (error: unknown) => {
      if (!isErrno(error, 'EPERM')) throw error
      await setImmutable(path, false)
      await action()
    })
  } catch (error) {
    if (error instanceof PineError) throw error
    throw ioFailed(`cannot ${verb} ${path}`, error)
  }
}
