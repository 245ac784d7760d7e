import { setTimeout } from 'node:timers/promises'
import { exec } from './exec.ts'
import {
  createFile,
  createSparse,
  kindOf,
  listFolder,
  readFile,
  realPath,
  removeFile,
  rename,
  replaceFile,
} from './files.ts'
import { removeVariable, writeVariable } from './firmware-variables.ts'
import type { Clock, Host } from './host.ts'
import { httpSource } from './http-source.ts'
import { connect, httpStatus } from './net.ts'
import { openRegion, readSource } from './region.ts'
import { freeBytes, freeInodes } from './space.ts'
import { stopWatchdog } from './watchdog.ts'

const CLOCK: Clock = {
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => setTimeout(ms, undefined, { ...(signal !== undefined && { signal }) }),
}

/** The machine this process runs on. */
export function realHost(clock = CLOCK): Host {
  return {
    ...clock,
    exec,
    openRegion,
    readSource,
    openUrl: (url, options) => httpSource(url, { ...options, clock }),
    readFile,
    replaceFile,
    freeBytes,
    freeInodes,
    realPath,
    listFolder,
    kindOf,
    removeFile,
    writeVariable,
    removeVariable,
    createSparse,
    createFile,
    rename,
    stopWatchdog,
    connect,
    httpStatus,
    now: () => new Date(),
  }
}
