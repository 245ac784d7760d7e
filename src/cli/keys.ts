import { Command } from 'commander'
import { encodeKeyLists, type SignedKeyList } from '../bundle/key-list.ts'
import { describePlan } from '../plan/describe.ts'
import { planTrust } from '../plan/trust.ts'
import { executePlan } from '../run/execute.ts'
import { observe, withMachine } from '../run/machine.ts'
import { readSettings } from '../run/settings.ts'
import { readTrustedKeys, storedForm } from '../run/trusted-keys.ts'
import { appendList, signLast } from '../trust/key-chain.ts'
import { followKeyLists, trustList } from '../trust/key-list.ts'
import { attachCommand, digestCommand, SIGNABLE_KEYS } from './external-signing.ts'
import { readKeyChain, readPublicKeys, readSecretKeys } from './files.ts'
import { type Io, noticeOn, printResult } from './io.ts'
import {
  appendText,
  dryRunOption,
  examples,
  jsonOption,
  machineOptions,
  secondsOf,
  wholeNumber,
} from './options.ts'

export function keysCommand(io: Io): Command {
  return new Command('keys')
    .description(
      'Signed key lists: which keys sign releases, which sign the next list; hosts follow a chain of them.',
    )
    .addCommand(createCommand(io))
    .addCommand(signCommand(io))
    .addCommand(digestCommand(io, SIGNABLE_KEYS, 'keys'))
    .addCommand(attachCommand(io, SIGNABLE_KEYS, 'keys'))
    .addCommand(showCommand(io))
    .addCommand(trustCommand(io))
}

interface CreateOptions {
  after?: string
  root: string[]
  rootThreshold: number
  release: string[]
  releaseThreshold: number
  expires?: number
  out: string
  json?: boolean
}

function createCommand(io: Io): Command {
  const threshold = (name: string) => wholeNumber(name, 1, 16)
  const command = new Command('create')
    .description('Write the next key list of a chain, not signed yet.')
    .option('--after <file>', 'the chain it goes on; without, a chain begins')
    .requiredOption('--root <pub>', 'a key that signs the next list; several times', appendText)
    .option('--root-threshold <n>', 'how many of them must', threshold('--root-threshold'), 1)
    .requiredOption('--release <pub>', 'a key that signs bundles; several times', appendText)
    .option('--release-threshold <n>', 'how many of them must', threshold('--release-threshold'), 1)
    .option('--expires <date>', 'no bundle is taken after it, until the next list comes', secondsOf)
    .requiredOption('--out <file>', 'the chain with the new list, NAME.keys')
    .addOption(jsonOption())
    .action((options: CreateOptions) => runCreate(io, options))
  return examples(command, [
    'keys create --root a.pub --root b.pub --root-threshold 2 --release ci.pub --out fleet.keys',
    'keys create --after fleet.keys --root a.pub --root c.pub --release ci2.pub --out fleet.keys',
  ])
}

async function runCreate(io: Io, options: CreateOptions): Promise<void> {
  const before = options.after === undefined ? [] : await readKeyChain(io, options.after)
  const chain = appendList(before, {
    created: Number(process.env.SOURCE_DATE_EPOCH ?? Math.floor(io.host.now().getTime() / 1000)),
    expires: options.expires,
    root: { keys: await readPublicKeys(io, options.root), threshold: options.rootThreshold },
    release: { keys: await readPublicKeys(io, options.release), threshold: options.releaseThreshold },
  })
  await io.host.replaceFile(options.out, encodeKeyLists(chain))
  printChain(io, chain, options)
}

function signCommand(io: Io): Command {
  const command = new Command('sign')
    .description('Sign the newest list of a chain, as a root key of it or of the list before.')
    .argument('<file>')
    .requiredOption('--key <file>', 'secret key; several times', appendText)
    .addOption(jsonOption())
    .action(async (path: string, options: { key: string[]; json?: boolean }) => {
      const chain = signLast(await readKeyChain(io, path), await readSecretKeys(io, options.key))
      await io.host.replaceFile(path, encodeKeyLists(chain))
      printChain(io, chain, options)
    })
  return examples(command, ['keys sign fleet.keys --key a.key --key b.key'])
}

function showCommand(io: Io): Command {
  const command = new Command('show')
    .description('Show the lists of a chain. Checks no signature: for that there is "keys trust --dry-run".')
    .argument('<file>')
    .addOption(jsonOption())
    .action(async (path: string, options: { json?: boolean }) =>
      printChain(io, await readKeyChain(io, path), options),
    )
  return examples(command, ['keys show fleet.keys'])
}

function printChain(io: Io, chain: readonly SignedKeyList[], options: { json?: boolean | undefined }): void {
  const lists = chain.map(documentOf)
  const text = lists.map(describeList).join('\n')
  printResult(io, { json: { lists }, text }, options)
}

function documentOf(signed: SignedKeyList) {
  const { root, release, version, expires } = trustList(signed)
  const roleOf = ({ threshold, keys }: typeof root) => ({
    threshold,
    keys: keys.map(({ id, comment }) => ({ id, comment })),
  })
  return {
    version,
    expires: expires === undefined ? null : new Date(expires * 1000).toISOString(),
    root: roleOf(root),
    release: roleOf(release),
    signedBy: signed.signatures.map(({ keyId }) => keyId),
  }
}

function describeList({ version, expires, root, release, signedBy }: ReturnType<typeof documentOf>): string {
  const roleLine = (name: string, { threshold, keys }: typeof root) =>
    `  ${name.padEnd(9)} ${threshold} of ${keys.map(({ id, comment }) => `${id} ${comment}`.trim()).join(', ')}`
  return [
    `list ${version}, ${expires === null ? 'does not expire' : `until ${expires}`}`,
    roleLine('root', root),
    roleLine('release', release),
    `  signed by ${signedBy.join(', ') || 'nobody'} (not checked)`,
  ].join('\n')
}

interface TrustOptions {
  disk?: string
  config?: string
  dryRun?: boolean
  json?: boolean
}

function trustCommand(io: Io): Command {
  const command = machineOptions(new Command('trust'))
    .description(
      'Follow a chain of key lists on this machine: the keys it trusts now must have signed the next.',
    )
    .argument('<file>')
    .addOption(dryRunOption())
    .action((path: string, options: TrustOptions) => runTrust(io, path, options))
  return examples(command, ['keys trust fleet.keys', 'keys trust fleet.keys --dry-run'])
}

async function runTrust(io: Io, path: string, options: TrustOptions): Promise<void> {
  const settings = await readSettings(io.host, options.config)
  const lists = await readKeyChain(io, path)
  const dryRun = options.dryRun === true
  const how = { disk: options.disk, writable: !dryRun, notice: noticeOn(io) }
  await withMachine(io.host, how, async (machine) => {
    const { records } = await observe(machine)
    const { keyring, threshold } = settings
    const now = await readTrustedKeys(io.host, { path: keyring, threshold, stored: records.keys })
    const next = followKeyLists(now, lists)
    const stored = storedForm(next, records)
    if (stored === null) {
      const text = `nothing to do: this machine trusts list ${next.version} already`
      return printResult(io, { json: { changed: false, version: next.version }, text }, options)
    }
    const plan = planTrust(stored, next.created)
    if (!dryRun) await executePlan(plan, { machine, onStep: () => undefined })
    const text = dryRun ? describePlan(plan) : plan.outcome
    printResult(io, { json: { changed: !dryRun, dryRun, version: next.version }, text }, options)
  })
}
