import type { ByteSource, OpenRegion } from '../core/region.ts'

export interface ExecOptions {
  /** Fed to standard input. */
  input?: string | Uint8Array
  /** Default 60,000. */
  timeoutMs?: number
  /** The timeout also ends what the program started: a script's own children would keep its output open. */
  ownGroup?: boolean
  cwd?: string
  env?: Record<string, string>
}

export interface OpenRegionOptions {
  /** Default 0. */
  offset?: number
  /** Default: to the end of the file or device. */
  bytes?: number
  writable?: boolean
}

export type FileKind = 'file' | 'folder' | 'device' | 'other'

/** A file that is written once, in order. */
export interface OutputFile {
  append(bytes: Uint8Array): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

export interface UrlOptions {
  /** A PEM file of CAs to trust, in place of those that Node comes with. */
  ca?: string | undefined
  /** Ends the download at once, also while it waits. */
  signal?: AbortSignal | undefined
  /** Told, for a person to read, when a connection was lost and another one is tried. */
  notice?: ((text: string) => void) | undefined
}

/** The machine, as far as the product touches it. Passed in everywhere, so that tests can stand in for it. */
export interface Host {
  /** Runs a program without a shell, locale C. Throws `TOOL_MISSING`, `TOOL_FAILED` or `TOOL_TIMEOUT`. Returns stdout. */
  exec(command: string, args: readonly string[], options?: ExecOptions): Promise<string>
  /** Opens a file or block device without creating or truncating it. */
  openRegion(path: string, options?: OpenRegionOptions): Promise<OpenRegion>
  /** Reads a file once, in order; each piece is valid until the next is asked for. */
  readSource(path: string): ByteSource
  /**
   * Fetches a file over HTTP once, in order, over as many connections as it takes; each piece is valid until the next is
   * asked for. Throws `USAGE` at once; when read `DOWNLOAD_FAILED`, `DOWNLOAD_STALLED`, `DOWNLOAD_CHANGED`, `TLS_FAILED`.
   */
  openUrl(url: string, options?: UrlOptions): ByteSource
  /** Undefined where there is no such file. */
  readFile(path: string): Promise<Buffer | undefined>
  /** Writes whole: temporary file in the same folder, sync, rename, sync the folder. */
  replaceFile(path: string, content: string | Uint8Array, mode?: number): Promise<void>
  /** The target of a symbolic link chain; undefined where there is nothing. */
  realPath(path: string): Promise<string | undefined>
  /** Names in a folder, sorted; empty where there is no such folder. */
  listFolder(path: string): Promise<string[]>
  /** Undefined where there is nothing. */
  kindOf(path: string): Promise<FileKind | undefined>
  /** Bytes that the file system of `path` has left for everybody. */
  freeBytes(path: string): Promise<number>
  /** Files and folders that it can still take; infinite where nothing limits that. */
  freeInodes(path: string): Promise<number>
  /** Does nothing where there is no such file. */
  removeFile(path: string): Promise<void>
  /** Writes a variable of the firmware, a file of efivarfs: attributes and value. Throws `IO_FAILED`. */
  writeVariable(path: string, content: Uint8Array): Promise<void>
  /** Does nothing where there is no such variable. */
  removeVariable(path: string): Promise<void>
  /** Opens a new file to be written in order; one that is there is emptied. */
  createFile(path: string): Promise<OutputFile>
  rename(from: string, to: string): Promise<void>
  /** Makes a file of that length that takes no space yet. Throws `FILE_EXISTS` where the path is taken. */
  createSparse(path: string, bytes: number): Promise<void>
  /** Stops the watchdog that the initramfs started. False where there is none, or somebody else feeds it. */
  stopWatchdog(): Promise<boolean>
  /** Resolves once a TCP connection was accepted. */
  connect(address: string, port: number, timeoutMs: number): Promise<void>
  /** Status code of a GET, redirects not followed. */
  httpStatus(url: string, timeoutMs: number): Promise<number>
  now(): Date
  /** For how long something takes: setting the clock does not change it. */
  monotonicMs(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** How time passes. */
export type Clock = Pick<Host, 'monotonicMs' | 'sleep'>
