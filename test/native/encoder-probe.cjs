// Run in a process of its own with --expose-gc: prints how many bytes of memory an encoder took at its peak, beside its
// content, and how long its output is.
const { readFileSync, writeFileSync } = require('node:fs')

const [core, codec, params, bytes] = process.argv.slice(2)
const { encodeSync } = require(core)

function statusBytes(name) {
  const [, kib] = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kib) * 1024
}

/** Little output of much that is looked at: runs of 64 bytes, of which one in 16 is new. */
function makeContent(bytes) {
  const content = Buffer.alloc(bytes)
  let seed = 1
  const next = (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  for (let at = 0; at < bytes; at += 64) {
    const from = at - 1 - next(Math.min(at, 20_000))
    if (at > 0 && next(16) > 0) content.copyWithin(at, from, from + 64)
    else for (let i = at; i < at + 64; i++) content[i] = next(256)
  }
  return content
}

const content = makeContent(Number(bytes))
globalThis.gc?.()
// proc(5): 5 forgets the peak so far.
writeFileSync('/proc/self/clear_refs', '5')
const before = statusBytes('VmRSS')
const { stored } = encodeSync(Number(codec), JSON.parse(params ?? ''), content)
console.log(JSON.stringify({ peakBytes: statusBytes('VmHWM') - before, storedBytes: stored.length }))
