import { encodeHeader, FORMAT_VERSION, HEADER_BYTES } from '../../../src/bundle/header.ts'
import { decodeSignatures, signaturesBytes } from '../../../src/bundle/signatures.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { type SignedKind, signBytes } from '../../../src/trust/signing.ts'
import { mutateBytes } from '../bytes.ts'
import { few, type Random } from '../random.ts'
import { alice, bob, carol, eve, type FixedKey, type SampleBundle, THRESHOLD } from './fixtures.ts'
import { mutateMsgpack } from './msgpack.ts'

/** A bundle taken apart, whatever it says. */
export interface BundleParts {
  manifest: Buffer
  /** 72 bytes each. */
  records: Buffer[]
  keyLists: Buffer
  payload: Buffer
}

const RECORD_BYTES = signaturesBytes(1)
const ID_BYTES = 8

export function split(bytes: Buffer): BundleParts {
  const [manifestBytes, count, keyListBytes] = [12, 16, 20].map((at) =>
    bytes.length < 24 ? 0 : bytes.readUInt32LE(at),
  )
  let at = HEADER_BYTES
  const take = (length = 0): Buffer => {
    at += length
    return bytes.subarray(at - length, at)
  }
  const manifest = take(manifestBytes)
  const records = Array.from({ length: Math.min(count ?? 0, 20) }, () => take(RECORD_BYTES))
  return { manifest, records, keyLists: take(keyListBytes), payload: bytes.subarray(at) }
}

export function join({ manifest, records, keyLists, payload }: BundleParts): Buffer {
  const header = encodeHeader({
    ...{ format: FORMAT_VERSION, manifestBytes: manifest.length },
    ...{ signatureCount: records.length, keyListBytes: keyLists.length },
  })
  return Buffer.concat([header, manifest, ...records, keyLists, payload])
}

export function recordOf(
  key: FixedKey,
  manifest: Buffer,
  kind: SignedKind = 'bundle manifest',
  id = key,
): Buffer {
  const { signature } = signBytes(kind, manifest, key.privateKey)
  return Buffer.concat([Buffer.from(id.publicKey.id, 'hex'), signature])
}

type PartStep = (parts: BundleParts, random: Random, donor: BundleParts) => void

/**
 * Whatever a forger can do. Nothing but alice signs what is not a sample, so that never two right signatures come together:
 * then the host would be right to take it.
 */
const STEPS: readonly PartStep[] = [
  duplicateRecord,
  dropRecord,
  shuffleRecords,
  changeRecord,
  (parts, random, donor) => void parts.records.push(...donor.records.slice(0, 1 + random.below(3))),
  (parts, random) =>
    void Object.assign(parts, { manifest: mutateMsgpack(parts.manifest, random, parts.manifest) }),
  (parts, random) =>
    void Object.assign(parts, { manifest: mutateBytes(parts.manifest, random, parts.manifest) }),
  (parts, _, donor) => void Object.assign(parts, { manifest: donor.manifest }),
  (parts, random) =>
    void Object.assign(parts, { keyLists: mutateBytes(parts.keyLists, random, parts.manifest, 4096) }),
  (parts, random) =>
    void Object.assign(parts, { payload: mutateBytes(parts.payload, random, parts.manifest) }),
  (parts, _, donor) => void Object.assign(parts, { payload: donor.payload }),
  forge,
  forge,
]

export function mutateBundle(input: Buffer, random: Random, donor: Buffer): Buffer {
  if (random.once(5)) return mutateBytes(input, random, donor)
  const parts = split(input)
  for (let left = few(random, 4); left > 0; left--) random.pick(STEPS)(parts, random, split(donor))
  const joined = join(parts)
  return random.once(8) ? mutateHeader(joined, random) : joined
}

function mutateHeader(bytes: Buffer, random: Random): Buffer {
  const header = mutateBytes(bytes.subarray(0, HEADER_BYTES), random, bytes, HEADER_BYTES)
  return Buffer.concat([header, bytes.subarray(HEADER_BYTES)])
}

function duplicateRecord({ records }: BundleParts, random: Random): void {
  const record = records[random.below(records.length)]
  if (record !== undefined) for (let copies = few(random, 17); copies > 0; copies--) records.push(record)
}

function dropRecord({ records }: BundleParts, random: Random): void {
  records.splice(random.below(records.length), 1)
}

function shuffleRecords({ records }: BundleParts, random: Random): void {
  for (let left = records.length; left > 1; left--) records.push(...records.splice(random.below(left), 1))
}

/** A bit of it, or the id of another key. */
function changeRecord({ records }: BundleParts, random: Random): void {
  const record = Buffer.from(records[random.below(records.length)] ?? Buffer.alloc(RECORD_BYTES))
  if (random.once(2)) record.write(random.pick([alice, bob, carol, eve]).publicKey.id, 0, 'hex')
  else record[random.below(RECORD_BYTES)] = random.below(256)
  if (random.once(2)) records.push(record)
  else records[random.below(records.length)] = record
}

function forge(parts: BundleParts, random: Random): void {
  const { manifest } = parts
  const makers: (() => Buffer)[] = [
    () => recordOf(alice, manifest),
    () => recordOf(eve, manifest),
    () => recordOf(eve, manifest, 'bundle manifest', bob),
    () => recordOf(alice, manifest, 'bundle manifest', bob),
    () => recordOf(bob, manifest, 'key list'),
    () => recordOf(carol, manifest, 'key list'),
    () => recordOf(bob, manifest.subarray(1)),
    () => Buffer.concat([Buffer.from(bob.publicKey.id, 'hex'), Buffer.alloc(RECORD_BYTES - ID_BYTES)]),
  ]
  if (random.once(2)) parts.records = []
  for (let left = few(random, 4); left > 0; left--) parts.records.push(random.pick(makers)())
}

/** What a host may accept: a manifest that was signed, and beside it enough of the records that were made for it. */
export interface Genuine {
  has(bytes: Buffer): boolean
}

export function genuineAmong(samples: readonly SampleBundle[]): Genuine {
  const known = new Map(
    samples.map(({ manifestBytes }) => [
      digestOf(manifestBytes),
      [alice, bob, carol].map((key) => recordOf(key, manifestBytes)),
    ]),
  )
  return {
    has(bytes) {
      const { manifest, records } = split(bytes)
      const right = known
        .get(digestOf(manifest))
        ?.filter((record) => records.some((found) => found.equals(record)))
      return (right?.length ?? 0) >= THRESHOLD
    },
  }
}

export function signersIn(bytes: Buffer): number {
  return new Set(decodeSignatures(Buffer.concat(split(bytes).records)).map(({ keyId }) => keyId)).size
}
