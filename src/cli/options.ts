import { type Command, Option } from 'commander'
import { APPEND } from '../boot/grub-script.ts'
import { LABEL } from '../bundle/manifest-parts.ts'
import { PineError } from '../core/error.ts'
import { isVersion } from '../core/version.ts'

/** Result as one JSON document on standard output. */
export function jsonOption(): Option {
  return new Option('--json', 'print the result as one JSON document')
}

export function dryRunOption(): Option {
  return new Option('--dry-run', 'print what would be done, and do nothing')
}

/** Options of every command that looks at a machine. */
export function machineOptions(command: Command): Command {
  return command
    .option('--disk <file>', 'work on a disk image or idle disk instead of the running machine')
    .option('--config <file>', 'configuration (default: /etc/pine-update/config.toml)')
    .addOption(jsonOption())
}

/** A whole number from `min` to `max`, for commander. */
export function wholeNumber(name: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value
    throw new PineError('USAGE', `${name} must be a whole number from ${min} to ${max}, not ${text}`)
  }
}

/** A version that can be ordered, for commander. */
export function versionText(text: string): string {
  if (isVersion(text)) return text
  throw new PineError('USAGE', `a version looks like 1.2 or 1.2-rc1, not ${text}`)
}

/** A kind of host, for commander. */
export function labelText(text: string): string {
  if (LABEL.test(text)) return text
  throw new PineError('USAGE', `--compatible takes 1 to 64 letters, digits or ._+~-, not ${text}`)
}

/** Kernel arguments that GRUB takes literally, for commander. */
export function kernelArguments(text: string): string {
  if (APPEND.test(text)) return text
  throw new PineError('USAGE', `--append takes letters, digits, spaces and ._,:=/@+-, not ${text}`)
}

/** Of the release that becomes slot a. */
export interface ReleaseOptions {
  compatible: string
  release: string
  epoch: number
}

export interface BootedReleaseOptions extends ReleaseOptions {
  append: string
}

export interface FirstImageOptions extends BootedReleaseOptions {
  image: string
}

export interface FirstCommitOptions extends ReleaseOptions {
  ostree: string
  ref: string
}

export function firstImageOptions(command: Command): Command {
  return bootedReleaseOptions(
    command.requiredOption('--image <file>', 'image for slot a, from "image build"'),
  )
}

export function firstCommitOptions(command: Command): Command {
  return releaseOptions(
    command
      .requiredOption('--ostree <repo>', 'the repository that has the commit')
      .requiredOption('--ref <rev>', 'a ref, a commit, or the start of one'),
  )
}

export function bootedReleaseOptions(command: Command): Command {
  return releaseOptions(command).option('--append <args>', 'further kernel arguments', kernelArguments, '')
}

function releaseOptions(command: Command): Command {
  return command
    .requiredOption('--compatible <id>', 'kind of host; only bundles made for it are accepted', labelText)
    .requiredOption('--release <version>', 'version of the release in slot a', versionText)
    .option('--epoch <n>', 'its anti-rollback epoch', wholeNumber('--epoch', 0, 2 ** 31), 0)
}

/** An option that may be given several times, for commander. */
export function appendText(text: string, before: string[] = []): string[] {
  return [...before, text]
}

/** A date, as seconds since 1970, for commander. */
export function secondsOf(text: string): number {
  const seconds = Math.floor(Date.parse(text) / 1000)
  if (Number.isSafeInteger(seconds) && seconds >= 0) return seconds
  throw new PineError('USAGE', `a date looks like 2027-01-31T00:00:00Z, not ${text}`)
}

const UNITS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** `512M` → bytes, for commander. */
export function byteSize(text: string): number {
  const match = /^(\d+)([KMGT]?)(?:i?B)?$/.exec(text)
  const unit = UNITS[match?.[2] ?? '-']
  const bytes = Number(match?.[1]) * (unit ?? Number.NaN)
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw new PineError('USAGE', `a size is a number with K, M, G or T, such as 512M, not ${text}`)
}

/** `Examples:` at the end of a command's help. */
export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText(
    'after',
    `\nExamples:\n${lines.map((line) => `  $ pine-update ${line}`).join('\n')}`,
  )
}
