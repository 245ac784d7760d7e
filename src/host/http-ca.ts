import { X509Certificate } from 'node:crypto'
import { PineError } from '../core/error.ts'
import { readFile } from './files.ts'

/** Reads the certificates of CAs. Throws `FILE_NOT_FOUND`, or `USAGE`: Node would take any file, and then trust nobody. */
export async function readCertificates(path: string): Promise<Buffer> {
  const pem = await readFile(path)
  if (pem === undefined) throw new PineError('FILE_NOT_FOUND', `there is no file of certificates ${path}`)
  try {
    new X509Certificate(pem)
  } catch (cause) {
    throw new PineError('USAGE', `${path} does not start with a certificate`, {
      hint: 'a file of certificates is PEM: -----BEGIN CERTIFICATE-----',
      cause,
    })
  }
  return pem
}
