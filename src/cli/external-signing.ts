import { Command } from 'commander'
import { attachSignature, readStart } from '../build/attach.ts'
import { encodeKeyLists } from '../bundle/key-list.ts'
import { attachToLast, lastOf } from '../trust/key-chain.ts'
import { type SignedKind, signedMessage } from '../trust/signing.ts'
import { readKeyChain, readPublicKey, readSignature } from './files.ts'
import { type Io, printResult } from './io.ts'
import { examples, jsonOption } from './options.ts'

/** Something that carries signatures, as a file. */
interface Signable {
  kind: SignedKind
  /** The bytes that a signature is over. */
  read: (io: Io, path: string) => Promise<Buffer>
  /** Puts a checked signature in; returns how many there are now. */
  attach: (io: Io, path: string, added: Parameters<typeof attachToLast>[1]) => Promise<number>
}

export const SIGNABLE_BUNDLE: Signable = {
  kind: 'bundle manifest',
  read: async ({ host }, path) => (await readStart(host, path)).manifestBytes,
  attach: ({ host }, path, added) => attachSignature(host, path, added),
}

export const SIGNABLE_KEYS: Signable = {
  kind: 'key list',
  read: async (io, path) => lastOf(await readKeyChain(io, path)).bytes,
  attach: async (io, path, added) => {
    const chain = attachToLast(await readKeyChain(io, path), added)
    await io.host.replaceFile(path, encodeKeyLists(chain))
    return lastOf(chain).signatures.length
  },
}

interface DigestOptions {
  out?: string
  json?: boolean
}

/** `digest`: what to sign, for a key that this program cannot read. */
export function digestCommand(io: Io, { kind, read }: Signable, group: string): Command {
  const command = new Command('digest')
    .description(`Print what has to be signed: what for, and the BLAKE3 digest of the ${kind}.`)
    .argument('<file>')
    .option('--out <file>', 'write the exact bytes to sign there')
    .addOption(jsonOption())
    .action(async (path: string, options: DigestOptions) => {
      const message = signedMessage(kind, await read(io, path))
      if (options.out !== undefined) await io.host.replaceFile(options.out, message)
      const text =
        options.out === undefined
          ? message.toString('hex')
          : `${message.length} bytes to sign: ${options.out}`
      printResult(io, { json: { message: message.toString('hex'), out: options.out ?? null }, text }, options)
    })
  return examples(command, [
    `${group} digest FILE --out to-sign`,
    `${group} digest FILE --out to-sign && openssl pkeyutl -sign -rawin -inkey key.pem -in to-sign -out sig`,
  ])
}

interface AttachOptions {
  signature: string
  key: string
  json?: boolean
}

/** `attach`: puts in a signature that was made elsewhere. */
export function attachCommand(io: Io, { attach }: Signable, group: string): Command {
  const command = new Command('attach')
    .description(
      'Put a signature in that was made elsewhere. It is checked first; one by the same key is replaced.',
    )
    .argument('<file>')
    .requiredOption('--signature <file>', 'the 64 bytes of an Ed25519 signature')
    .requiredOption('--key <file>', 'public key of the signer, a .pub file')
    .addOption(jsonOption())
    .action(async (path: string, options: AttachOptions) => {
      const added = {
        key: await readPublicKey(io, options.key),
        signature: await readSignature(io, options.signature),
      }
      const signatures = await attach(io, path, added)
      const text = `signed by ${added.key.id}; ${signatures} ${signatures === 1 ? 'signature' : 'signatures'} in ${path}`
      printResult(io, { json: { signer: added.key.id, signatures }, text }, options)
    })
  return examples(command, [`${group} attach FILE --signature sig --key signer.pub`])
}
