import type { Command } from 'commander'
import { type OpenedBundle, openBundle } from '../bundle/reader.ts'
import type { ByteSource } from '../core/region.ts'
import { limitRate } from '../host/rate-limit.ts'
import type { Settings } from '../model/settings.ts'
import { type Io, noticeOn } from './io.ts'
import { byteSize } from './options.ts'

export interface SourceOptions {
  limitRate?: number
  ca?: string
}

/** What a command says where it takes a bundle from. */
export const BUNDLE_ARGUMENT = 'a file, an address with http:// or https://, or - for standard input'

/** Options of every command that reads a bundle once, in order. */
export function sourceOptions(command: Command): Command {
  return command
    .option('--limit-rate <size>', 'read at most that many bytes a second, such as 2M', byteSize)
    .option('--ca <file>', 'for https://: the certificates to trust, in place of the usual ones')
}

interface Opening extends SourceOptions {
  /** What the configuration says; of its rate only a download takes notice. */
  download?: Settings['download']
  signal?: AbortSignal
}

/** A bundle from a file, an address or standard input, as it arrives. http:// will do: bundles are signed. */
export function openSource(io: Io, path: string, options: Opening): ByteSource {
  const { signal, download } = options
  const fetched = /^https?:\/\//i.test(path)
  const rate = options.limitRate ?? (fetched ? download?.rate : undefined)
  const source = fetched
    ? io.host.openUrl(path, { ca: options.ca ?? download?.ca, signal, notice: noticeOn(io) })
    : fileOrStdin(io, path)
  return rate === undefined ? source : limitRate(source, rate, io.host, signal)
}

function fileOrStdin(io: Io, path: string): ByteSource {
  return path === '-' ? io.stdin : io.host.readSource(path)
}

/** Opens a bundle, and lets it go again. */
export async function withBundle(
  io: Io,
  { path, options }: { path: string; options: SourceOptions },
  use: (opened: OpenedBundle) => Promise<void>,
): Promise<void> {
  const opened = await openBundle(openSource(io, path, options))
  try {
    await use(opened)
  } finally {
    await opened.close()
  }
}
