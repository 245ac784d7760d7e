import { HEADER_BYTES } from '../bundle/header.ts'
import { type OpenedBundle, openBundle } from '../bundle/reader.ts'
import { signaturesBytes } from '../bundle/signatures.ts'
import { encodeStart } from '../bundle/writer.ts'
import { readParts } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import type { PublicKey } from '../trust/keys.ts'
import { withSignature } from '../trust/signing.ts'
import { writeWhole } from './whole-file.ts'

/** The start of a bundle file; nothing of it is checked but its header. */
export async function readStart(host: Host, path: string): Promise<OpenedBundle> {
  const opened = await openBundle(host.readSource(path))
  await opened.close()
  return opened
}

/**
 * Puts a signature that was made elsewhere into a bundle. It is checked first; one by the same key is replaced. Returns
 * how many there are now. Throws `SIGNATURE_INVALID`.
 */
export async function attachSignature(
  host: Host,
  path: string,
  { key, signature }: { key: PublicKey; signature: Buffer },
): Promise<number> {
  const { manifestBytes, signatures, keyListBytes } = await readStart(host, path)
  const signed = { bytes: manifestBytes, signatures }
  const all = withSignature('bundle manifest', signed, { key, signature })
  const start = encodeStart(manifestBytes, all, keyListBytes)
  const segmentsAt =
    HEADER_BYTES + manifestBytes.length + signaturesBytes(signatures.length) + keyListBytes.length
  const segments = await host.openRegion(path, { offset: segmentsAt })
  try {
    await writeWhole(host, path, async (append) => {
      await append(start)
      for await (const { part } of readParts(segments, segments.bytes)) await append(part)
    })
  } finally {
    await segments.close()
  }
  return all.length
}
