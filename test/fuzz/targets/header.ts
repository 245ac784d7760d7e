import { decodeHeader, encodeHeader, HEADER_BYTES } from '../../../src/bundle/header.ts'
import { decodeSignatures, encodeSignatures, signaturesBytes } from '../../../src/bundle/signatures.ts'
import { mutateBytes } from '../bytes.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'
import { alice, bob, sampleBundles } from './fixtures.ts'

/** The 24 bytes that are interpreted before any signature: other lengths never get here. */
const headers: TargetEntry = {
  name: 'bundle-header',
  weight: 700_000,
  open: () =>
    defineTarget({
      name: 'bundle-header',
      seeds: [
        encodeHeader({ format: 1, manifestBytes: 900, signatureCount: 2, keyListBytes: 0 }),
        encodeHeader({
          format: 1,
          manifestBytes: 8 * 1024 * 1024,
          signatureCount: 16,
          keyListBytes: 256 * 1024,
        }),
      ],
      mutate: (input, random, donor) => {
        const mutated = Buffer.alloc(HEADER_BYTES)
        mutateBytes(input, random, donor).copy(mutated)
        return mutated
      },
      decode: decodeHeader,
      codes: ['BUNDLE_MALFORMED', 'BUNDLE_TOO_NEW'],
      verdict(header, input) {
        requireThat(encodeHeader(header).equals(input), 'the header that was read is another one')
        const { manifestBytes, signatureCount, keyListBytes } = header
        const isWithin =
          manifestBytes > 0 && manifestBytes <= 2 ** 23 && signatureCount <= 16 && keyListBytes <= 2 ** 18
        requireThat(isWithin, `a limit does not hold: ${JSON.stringify(header)}`)
        return accepted()
      },
    }),
}

/** Records of fixed length: any bytes are some. */
const records: TargetEntry = {
  name: 'signature-records',
  weight: 200_000,
  async open() {
    const [sample] = await sampleBundles()
    const seeds = [encodeSignatures(sample?.signatures ?? []), encodeSignatures([])]
    return defineTarget({
      name: 'signature-records',
      seeds,
      mutate: (input, random, donor) => {
        const mutated = mutateBytes(input, random, donor)
        return mutated.subarray(
          0,
          signaturesBytes(Math.min(16, Math.floor(mutated.length / signaturesBytes(1)))),
        )
      },
      decode: decodeSignatures,
      codes: [],
      verdict(signatures, input) {
        const back = signatures.map(({ keyId, signature }) =>
          Buffer.concat([Buffer.from(keyId, 'hex'), signature]),
        )
        requireThat(Buffer.concat(back).equals(input), 'the signatures that were read are others')
        const known = signatures.filter(({ keyId }) => [alice, bob].some((key) => key.publicKey.id === keyId))
        return accepted(`${signatures.length} ${known.length}`)
      },
    })
  },
}

export const headerTargets = [headers, records]
