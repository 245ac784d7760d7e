import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Case, digestFile, imagesOf } from './pair.ts'
import { endsOf, PEERS, type Peer } from './peers.ts'
import { attempt, isRow, type Result, type Row } from './row.ts'

export interface PeerOptions {
  /** Holds the pair and what was measured before. */
  readonly folder: string
  /** Measures even what was measured before. */
  readonly fresh: boolean
}

/** Undefined where the tool is not installed. */
export function versionOf({ version: [program = '', ...args] }: Peer): string | undefined {
  const { stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (error !== undefined) return undefined
  const text = `${stdout}${stderr}`
  return /\d+\.\d+(?:\.\d+)?|(?<=casync )\d+/.exec(text)?.[0] ?? text.trim().split('\n')[0]
}

/** The peers on the pair. Each is measured once for the same images and version, and after that remembered. */
export async function measurePeers(options: PeerOptions): Promise<Result[]> {
  const results: Result[] = []
  for (const peer of PEERS) {
    const version = versionOf(peer)
    for (const { step, image } of peer.cases) {
      const about = { step, image, tool: peer.tool }
      if (version === undefined) results.push({ ...about, failed: `${peer.version[0]} is not installed` })
      else results.push(await recall(options, { about, version }, () => measureOne(options, peer, about)))
    }
  }
  return results
}

interface About extends Case {
  readonly tool: string
}

async function recall(
  { folder, fresh }: PeerOptions,
  { about, version }: { about: About; version: string },
  measureIt: () => Promise<Result>,
): Promise<Result> {
  const key = keyOf(join(folder, 'pair'), `${about.tool} ${version}`, about)
  const known = fresh ? undefined : readCache(folder)[key]
  if (known !== undefined) return known
  const result = await measureIt()
  if (isRow(result)) writeCache(folder, { ...readCache(folder), [key]: result })
  return result
}

async function measureOne({ folder }: PeerOptions, peer: Peer, about: About): Promise<Result> {
  const work = join(folder, 'work')
  rmSync(work, { recursive: true, force: true }) // of a run that was cut off
  mkdirSync(work)
  try {
    return await attempt(about, () => peer.run(work, endsOf(peer, join(folder, 'pair'), about)))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const digests = new Map<string, string>()

/** Trees are known by the images that were made of them. */
function keyOf(pair: string, tool: string, of: Case): string {
  const ends = Object.values(imagesOf(pair, of)).map((path) => {
    const digest = digests.get(path) ?? digestFile(path)
    digests.set(path, digest)
    return digest.slice(0, 16)
  })
  return [tool, of.step, of.image, ...ends].join(', ')
}

type Cache = Record<string, Row>

function readCache(folder: string): Cache {
  const path = join(folder, 'peers.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}
}

function writeCache(folder: string, cache: Cache): void {
  const path = join(folder, 'peers.json')
  writeFileSync(`${path}.part`, `${JSON.stringify(cache, null, 2)}\n`)
  renameSync(`${path}.part`, path)
}
