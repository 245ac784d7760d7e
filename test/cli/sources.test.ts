import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { realHost } from '../../src/host/real-host.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'

let shop: Workshop
let server: Server
let address: string
/** Bytes after which each answer is cut off, while there are some. */
let cuts: number[]
let asked: (string | undefined)[]
/** How long the host says that it slept, in all. */
let sleptMs: number

beforeEach(async () => {
  cuts = []
  asked = []
  sleptMs = 0
  const host = realHost({
    monotonicMs: () => sleptMs,
    sleep: async (ms) => {
      sleptMs += ms
    },
  })
  shop = openWorkshop(host)
  await makeHost(shop)
  await makeBundle(shop, '2.0')
  const bundle = readFileSync(shop.path('2.0.bundle'))
  server = createServer((request, response) => {
    asked.push(request.headers.range)
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const part = bundle.subarray(from)
    response.statusCode = from === 0 ? 200 : 206
    response.setHeader('ETag', '"2.0"')
    response.setHeader('Content-Length', part.length)
    if (from > 0) response.setHeader('Content-Range', `bytes ${from}-${bundle.length - 1}/${bundle.length}`)
    const cut = cuts.shift()
    if (cut === undefined) return response.end(part)
    return response.write(part.subarray(0, cut), () => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/2.0.bundle`
})
afterEach(() => {
  server.close()
  shop.close()
})

function expectWritten(): void {
  const image = readFileSync(shop.path('2.0.img'))
  expect(digestOf(slotContent(shop, 'b').subarray(0, image.length))).toBe(digestOf(image))
}

test('apply takes a bundle from an address, over as many connections as it needs', async () => {
  cuts = [10, 70_000, 300_000, 1]
  await shop.ok(`apply ${address} ${ON_DISK}`)
  expectWritten()
  expect(asked.length).toBe(5)
  expect(asked[0]).toBe(undefined)
  expect(asked[1]).toMatch(/^bytes=\d+-$/)
})

test('inspect and verify read from there too', async () => {
  expect((await shop.ok(`bundle inspect ${address} --json`)).json().version).toBe('2.0')
  await shop.ok(`bundle verify ${address} --keyring @keys`)
})

test('a server that goes away for good leaves the booted release, and the next apply goes on', async () => {
  cuts = [400_000, ...Array(50).fill(0)]
  const ran = await shop.pine(`apply ${address} --json ${ON_DISK}`)
  expect(ran.json().error.code).toBe('DOWNLOAD_FAILED')
  expect((await shop.ok(`status --json ${ON_DISK}`)).json()).toMatchObject({ nextBoot: 'a', trial: null })
  cuts = []
  await shop.ok(`apply ${address} ${ON_DISK}`)
  expectWritten()
})

test('--limit-rate takes its time, from a file as well', async () => {
  const seconds = readFileSync(shop.path('2.0.bundle')).length / 100_000
  await shop.ok(`apply @2.0.bundle --limit-rate 100000 ${ON_DISK}`)
  expectWritten()
  expect(sleptMs / 1000).toBeGreaterThan(seconds * 0.9)
})

test('--nice applies the same image, and only says what it could not do', async () => {
  const { exec } = shop.host
  const asked: string[] = []
  shop.host.exec = async (command, args, options) => {
    asked.push(command)
    if (command === 'ionice' || command === 'renice') return ''
    return exec(command, args, options)
  }
  await shop.ok(`apply @2.0.bundle --nice ${ON_DISK}`)
  expectWritten()
  expect(asked).toEqual(expect.arrayContaining(['ionice', 'renice']))
})

test('memory that a container is limited to counts, not that of the machine', async () => {
  const { readFile } = shop.host
  const files: Record<string, string> = {
    '/proc/self/cgroup': '0::/box\n',
    '/sys/fs/cgroup/box/memory.max': `${48 * 1024 * 1024}\n`,
    '/sys/fs/cgroup/box/memory.current': `${47 * 1024 * 1024}\n`,
    '/sys/fs/cgroup/box/memory.stat': 'inactive_file 0\n',
  }
  shop.host.readFile = async (path) => (path in files ? Buffer.from(files[path] ?? '') : readFile(path))
  const ran = await shop.pine(`apply @2.0.bundle --json ${ON_DISK}`)
  expect(ran.json().error.code).toBe('MEMORY_TOO_SMALL')
})
