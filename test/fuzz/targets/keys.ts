import { blake3 } from '../../../src/core/digest.ts'
import {
  formatPublicKey,
  type PublicKey,
  parseKeyring,
  parsePrivateKey,
  parsePublicKey,
  publicKeyFromPem,
  publicKeyOf,
} from '../../../src/trust/keys.ts'
import { mutateBytes } from '../bytes.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'
import { mutateLines } from '../text.ts'
import { alice, bob } from './fixtures.ts'

function requireKey({ id, raw }: PublicKey): void {
  requireThat(raw.length === 32, `a key of ${raw.length} bytes`)
  requireThat(id === blake3(raw).toString('hex', 0, 8), 'an id that is not of this key')
}

const KEYRING = `# release keys\n\n${formatPublicKey(alice.publicKey)}${formatPublicKey(bob.publicKey)}`

const keyrings: TargetEntry = {
  name: 'keyring',
  weight: 120_000,
  slowness: 5,
  open: () =>
    defineTarget({
      name: 'keyring',
      seeds: [KEYRING, formatPublicKey(alice.publicKey), '\n#\n'].map((text) => Buffer.from(text)),
      mutate: mutateLines(['pine-key-1', '#', alice.publicKey.id, ' ', '\r', '=', '\0', '\u00a0']),
      decode: (input) => parseKeyring(input.toString()),
      codes: ['KEY_INVALID'],
      verdict(keys) {
        for (const key of keys) {
          requireKey(key)
          requireThat(
            parsePublicKey(formatPublicKey(key)).raw.equals(key.raw),
            'a key that is another one when written',
          )
        }
        return accepted(`${keys.length} ${keys.some(({ comment }) => comment === '')}`)
      },
    }),
}

const PKCS8 = alice.privatePem
const SPKI = '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n'
const EC =
  '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIIDFFPUwlGhtdPzRPDnnGcKHZwcoJXTUvjEPfGaZN2KoAoGCCqGSM49\n-----END EC PRIVATE KEY-----\n'
const WORDS = [
  'PRIVATE KEY',
  'PUBLIC KEY',
  'ENCRYPTED PRIVATE KEY',
  'RSA PRIVATE KEY',
  'CERTIFICATE',
  'Proc-Type: 4,ENCRYPTED',
]

const pems: TargetEntry = {
  name: 'key-pem',
  weight: 60_000,
  slowness: 2,
  open: () => {
    const mutateText = mutateLines([
      ...WORDS,
      '-----BEGIN ',
      '-----END ',
      '-----',
      'DEK-Info: AES-128-CBC,00',
    ])
    return defineTarget({
      name: 'key-pem',
      seeds: [Buffer.from(PKCS8), Buffer.from(bob.privatePem)],
      mutate: (input, random, donor) => {
        if (random.once(50)) return Buffer.from(random.pick([EC, SPKI]))
        return random.once(2)
          ? inBase64(input, (der) => mutateBytes(der, random, der))
          : mutateText(input, random, donor)
      },
      decode: (input) => {
        const publicKey = publicKeyFromPem(input.toString(), 'from pem')
        return { publicKey, ofPrivate: publicKeyOf(parsePrivateKey(input.toString())) }
      },
      codes: ['KEY_INVALID'],
      verdict({ publicKey, ofPrivate }) {
        requireKey(publicKey)
        requireThat(ofPrivate.raw.equals(publicKey.raw), 'one file, two keys')
        return accepted()
      },
    })
  },
}

/** What lies between the first and the last line. */
function inBase64(pem: Buffer, change: (der: Buffer) => Buffer): Buffer {
  const [first = '', ...lines] = pem.toString().trim().split('\n')
  const last = lines.pop() ?? ''
  const base64 = change(Buffer.from(lines.join(''), 'base64')).toString('base64')
  return Buffer.from([first, ...(base64.match(/.{1,64}/g) ?? []), last, ''].join('\n'))
}

export const keyTargets = [keyrings, pems]
