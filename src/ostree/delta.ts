import { open } from 'node:fs/promises'
import { PineError } from '../core/error.ts'
import { resolveRev } from './refs.ts'
import type { Request, SecretKey } from './requests.ts'
import { signer, verifier, withoutSignatures } from './signing.ts'
import { inTransaction } from './transaction.ts'
import { dictOf, stringsOf } from './variant.ts'
import type { Repo, Verb } from './verb.ts'

/** OstreeStaticDeltaGenerateOpt: the one for deltas that are made once and downloaded often. */
const MAJOR = 1

/** Writes one file that takes a repository from one commit to another without a network. */
export async function makeDelta(verb: Verb, repo: Repo, request: Request<'makeDelta'>): Promise<void> {
  const { fn } = verb
  const from = request.from === null ? null : await resolveRev(verb, repo, request.from)
  const to = await resolveRev(verb, repo, request.to)
  const params = dictOf(fn, {
    filename: fn.g_variant_new_bytestring(request.file),
    'inline-parts': fn.g_variant_new_boolean(true),
    // Larger files would be left for the network.
    'min-fallback-size': fn.g_variant_new_uint32(0),
    ...(request.sign === undefined ? {} : signingParams(verb, request.sign)),
  })
  await fn.ostree_repo_static_delta_generate(repo, MAJOR, from, to, params)
  if (request.timestamp !== undefined) await setTimestamp(request.file, request.timestamp)
}

/** OSTREE_STATIC_DELTA_SUPERBLOCK_FORMAT, ostree-repo-static-delta-private.h: it begins with an `a{sv}` and a `t`, big-endian. */
const ALIGNMENT = 8

/** The one thing in the file that differs between two runs. */
async function setTimestamp(path: string, seconds: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    // The GVariant specification, "Framing offsets": that of the first member is the last thing there is.
    const offsetBytes = size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8
    const { buffer } = await file.read(Buffer.alloc(8), 0, offsetBytes, size - offsetBytes)
    const end = Number(buffer.readBigUInt64LE())
    const time = Buffer.alloc(8)
    time.writeBigUInt64BE(BigInt(seconds))
    await file.write(time, 0, time.length, Math.ceil(end / ALIGNMENT) * ALIGNMENT)
  } finally {
    await file.close()
  }
}

function signingParams(verb: Verb, key: SecretKey) {
  const { fn } = verb
  // libostree would leave out a signature that it cannot make.
  signer(verb, key)
  return {
    'sign-name': fn.g_variant_new_bytestring(key.type),
    'sign-key-ids': stringsOf(fn, [key.secretKey]),
  }
}

/**
 * The commit of the delta is in the repository afterwards, without a ref. Throws `OSTREE_NOT_FOUND` where the base is not
 * there, `OSTREE_CORRUPT`, and `OSTREE_UNTRUSTED` where none of the keys signed it.
 */
export async function applyDelta(
  verb: Verb,
  repo: Repo,
  { file, trust }: Request<'applyDelta'>,
): Promise<void> {
  const { fn } = verb
  const sign = trust === undefined ? undefined : verifier(verb, trust)
  if (sign !== undefined) await requireSigned(file)
  const path = fn.g_file_new_for_path(file)
  const execute = (): Promise<undefined> =>
    sign === undefined
      ? fn.ostree_repo_static_delta_execute_offline(repo, path, false)
      : fn.ostree_repo_static_delta_execute_offline_with_signature(repo, path, sign, false)
  try {
    await inTransaction(verb, repo, execute)
  } catch (error) {
    throw meaning(trust === undefined ? error : withoutSignatures(error, trust.type), file)
  }
}

/** OSTREE_STATIC_DELTA_SIGNED_MAGIC, ostree-repo-static-delta-private.h; what is not signed begins with other things. */
const SIGNED_MAGIC = 'OSTSGNDT'

/** libostree (2022.7) checks a signature where there is one, and takes a delta without any, keys or not. */
async function requireSigned(path: string): Promise<void> {
  const file = await open(path).catch((cause: unknown) => {
    throw new PineError('OSTREE_NOT_FOUND', `${path} cannot be opened: ${String(cause)}`, { cause })
  })
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SIGNED_MAGIC.length), { position: 0 })
    if (buffer.toString('latin1', 0, bytesRead) !== SIGNED_MAGIC) throw unsigned(path)
  } finally {
    await file.close()
  }
}

function unsigned(path: string): PineError {
  return new PineError('OSTREE_UNTRUSTED', `${path}: found a delta without a signature, expected one`, {
    hint: 'have it signed with one of the keys',
  })
}

/** What libostree says only in words. What is left can only be the file: nobody else had a part in it. */
const SAID = [
  [
    /delta source, is not in repository/,
    'OSTREE_NOT_FOUND',
    'apply it where its base is, or a delta from nothing',
  ],
  [/signature|Key is mandatory/i, 'OSTREE_UNTRUSTED', 'get it from whoever has the key, or trust their key'],
  [/./, 'OSTREE_CORRUPT', 'get the file anew'],
] as const

function meaning(error: unknown, file: string): unknown {
  if (!(error instanceof PineError) || error.code !== 'OSTREE_FAILED') return error
  const [, code, hint] = SAID.find(([pattern]) => pattern.test(error.message)) ?? SAID[2]
  return new PineError(code, `${file}: ${error.message}`, { hint, cause: error })
}
