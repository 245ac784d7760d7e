import { writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { openSource, type SourceOptions, sourceOptions } from '../../src/cli/source.ts'
import type { ByteSource } from '../../src/core/region.ts'
import type { Host } from '../../src/host/host.ts'
import { noise, openWorkshop, type Workshop } from '../support/cli.ts'
import { useServers } from '../support/download.ts'
import { cutAfter, makeCertificate, sendFile } from '../support/web.ts'

const BUNDLE = noise(200_000, 1)
const servers = useServers()
let shop: Workshop
let slept: number[]
let said: string

beforeEach(() => {
  shop = openWorkshop()
  slept = []
  said = ''
})
afterEach(() => shop.close())

function io(): Io {
  const sleep = async (ms: number): Promise<void> => void slept.push(ms)
  return {
    host: { ...shop.host, monotonicMs: () => slept.reduce((sum, ms) => sum + ms, 0), sleep } satisfies Host,
    stdout: () => undefined,
    stderr: (text) => {
      said += text
    },
    interactive: false,
    stdin: once(BUNDLE),
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function contentOf(source: ByteSource): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of source) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

function parsed(...words: string[]): SourceOptions {
  return sourceOptions(new Command('apply')).exitOverride().parse(words, { from: 'user' }).opts()
}

describe('a bundle', () => {
  test('comes from a file, from standard input, or over http and https', async () => {
    writeFileSync(shop.path('web.bundle'), BUNDLE)
    const certificate = makeCertificate(servers.dir, 'web')
    const plain = await servers.started((request, response) => sendFile(BUNDLE, request, response))
    const secure = await servers.started(
      (request, response) => sendFile(BUNDLE, request, response),
      certificate,
    )
    const places = [
      shop.path('web.bundle'),
      '-',
      `${plain.url}/x`,
      plain.url.replace('http', 'HTTP'),
      secure.url,
    ]
    for (const place of places) {
      const content = await contentOf(openSource(io(), place, parsed('--ca', certificate.cert)))
      expect(content.equals(BUNDLE), place).toBe(true)
    }
    expect([plain.requests.length, secure.requests.length]).toEqual([2, 1])
  })

  test('is fetched with the CA of the configuration, where none is given', async () => {
    const certificate = makeCertificate(servers.dir, 'web')
    const other = makeCertificate(servers.dir, 'other')
    const web = await servers.started((request, response) => sendFile(BUNDLE, request, response), certificate)
    const download = { ca: certificate.cert, rate: undefined }
    expect((await contentOf(openSource(io(), web.url, { download }))).equals(BUNDLE)).toBe(true)
    const refused = contentOf(openSource(io(), web.url, { download, ca: other.cert }))
    await expect(refused).rejects.toMatchObject({ code: 'TLS_FAILED' })
  })

  test('that has to be asked for twice says so to a person', async () => {
    const web = await servers.started((request, response, turn) =>
      sendFile(BUNDLE, request, turn === 0 ? cutAfter(100_000, response) : response),
    )
    expect((await contentOf(openSource(io(), web.url, {}))).equals(BUNDLE)).toBe(true)
    expect(said).toMatch(/^pine-update: the download stopped at 97.7 KiB of 195 KiB: .*; next try in 1 s\n$/)
  })
})

describe('--limit-rate', () => {
  const seconds = (): number => Math.round(slept.reduce((sum, ms) => sum + ms, 0) / 1000)

  test.each(['-', '@', 'http'])('holds for every source: %s', async (place) => {
    writeFileSync(shop.path('web.bundle'), BUNDLE)
    const web = await servers.started((request, response) => sendFile(BUNDLE, request, response))
    const where = { '-': '-', '@': shop.path('web.bundle'), http: web.url }[place] ?? ''
    const options = parsed('--limit-rate', '10000')
    expect((await contentOf(openSource(io(), where, options))).equals(BUNDLE)).toBe(true)
    expect(seconds()).toBe(20)
  })

  test('goes before the rate of the configuration, which holds for downloads alone', async () => {
    const web = await servers.started((request, response) => sendFile(BUNDLE, request, response))
    const download = { ca: undefined, rate: 20_000 }
    await contentOf(openSource(io(), '-', { download }))
    expect(seconds()).toBe(0)
    await contentOf(openSource(io(), web.url, { download }))
    expect(seconds()).toBe(10)
    slept = []
    await contentOf(openSource(io(), web.url, { download, ...parsed('--limit-rate', '1M') }))
    expect(seconds()).toBe(0)
  })

  test.each(['0', '-1', 'fast', '1.5M'])('is no rate: %s', (text) => {
    expect(() => parsed('--limit-rate', text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
