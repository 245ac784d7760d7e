import { Command } from 'commander'
import { PineError } from '../core/error.ts'
import { formatPublicKey, generateKey, publicKeyFromPem } from '../trust/keys.ts'
import { readNamed } from './files.ts'
import { type Io, printResult } from './io.ts'
import { dryRunOption, examples, jsonOption } from './options.ts'

export function keyCommand(io: Io): Command {
  return new Command('key')
    .description('Make the keys that sign bundles.')
    .addCommand(generateCommand(io))
    .addCommand(publicCommand(io))
}

interface GenerateOptions {
  out: string
  comment: string
  dryRun?: boolean
  json?: boolean
}

function generateCommand(io: Io): Command {
  const command = new Command('generate')
    .description('Make an Ed25519 key: NAME.key stays secret and signs, NAME.pub goes to the hosts.')
    .requiredOption('--out <name>', 'path without the endings .key and .pub')
    .option('--comment <text>', 'who uses it', '')
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((options: GenerateOptions) => runGenerate(io, options))
  return examples(command, ['key generate --out ~/keys/ci --comment "CI of example.org"'])
}

async function runGenerate(io: Io, { out, comment, ...options }: GenerateOptions): Promise<void> {
  const [secret, open] = [`${out}.key`, `${out}.pub`]
  for (const path of [secret, open]) {
    if ((await io.host.kindOf(path)) !== undefined) {
      throw new PineError('FILE_EXISTS', `${path} is there already`, { hint: 'a key is never overwritten' })
    }
  }
  if (options.dryRun === true) {
    const text = `would write ${secret} and ${open}`
    return printResult(io, { json: { dryRun: true, secret, public: open }, text }, options)
  }
  const { publicKey, privatePem } = generateKey(comment)
  await io.host.replaceFile(secret, privatePem, 0o600)
  await io.host.replaceFile(open, formatPublicKey(publicKey)).catch(async (error: unknown) => {
    // Nobody has the public half, so nobody will miss it; and it would be in the way of the next try.
    await io.host.removeFile(secret)
    throw error
  })
  const text = `key ${publicKey.id}: ${secret} signs, ${open} goes into the keyring of the hosts`
  printResult(io, { json: { id: publicKey.id, secret, public: open }, text }, options)
}

interface PublicOptions {
  out: string
  comment: string
  json?: boolean
}

function publicCommand(io: Io): Command {
  const command = new Command('public')
    .description('Make the .pub file of an Ed25519 key that openssl or a token made, from its PEM.')
    .argument('<pem>', 'public or secret key in PEM form')
    .requiredOption('--out <file>', 'the .pub file to write')
    .option('--comment <text>', 'who uses it', '')
    .addOption(jsonOption())
    .action(async (pem: string, { out, comment, ...options }: PublicOptions) => {
      const key = publicKeyFromPem((await readNamed(io, pem)).toString(), comment)
      await io.host.replaceFile(out, formatPublicKey(key))
      printResult(io, { json: { id: key.id, public: out }, text: `key ${key.id}: ${out}` }, options)
    })
  return examples(command, ['key public token.pem --out ci.pub --comment "token of CI"'])
}
