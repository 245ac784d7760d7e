// Run as a process of its own: the command line, on a machine that raises a signal at one moment of its work.
import { writeFileSync } from 'node:fs'
import { start } from '../../src/cli/start.ts'
import type { OpenRegion } from '../../src/core/region.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'

/** `SIGKILL 12`; the number of a moment that does not come raises nothing. */
const [signal, number] = (process.env.PINE_FAULT ?? 'none NaN').split(' ')
const countFile = process.env.PINE_FAULT_COUNT

let moments = 0

function pass(): void {
  if (moments++ === Number(number)) process.kill(process.pid, signal)
}

/** Two moments: before it, and while it is under way. */
async function counted<T>(effect: () => Promise<T>): Promise<T> {
  pass()
  const running = effect()
  pass()
  return await running
}

function countedRegion(region: OpenRegion): OpenRegion {
  return {
    ...region,
    write: (from, position) => counted(() => region.write(from, position)),
    flush: () => counted(() => region.flush()),
  }
}

const real = realHost()
const host: Host = {
  ...real,
  exec: (command, args, options) => counted(() => real.exec(command, args, options)),
  openRegion: async (path, options) => countedRegion(await real.openRegion(path, options)),
}

if (countFile !== undefined) process.once('exit', () => writeFileSync(countFile, String(moments)))
void start(host)
