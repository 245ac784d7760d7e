import { closeSync, copyFileSync, openSync, readFileSync, readSync } from 'node:fs'
import { expect } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import type { ErrorCode } from '../../src/core/error.ts'
import { ON_DISK, type Ran, type Workshop } from '../support/cli.ts'

const MiB = 1024 * 1024
/** Where the parts of host.img are; see the layout in test/support/cli.ts. */
export const BOOTSTATE_AT = 2 * MiB
export const SLOT_AT = { a: 4 * MiB, b: 8 * MiB }

/** Keeps a copy of host.img, which `restore` puts back. */
export function keepDisk(shop: Workshop, name: string): { restore: () => void } {
  copyFileSync(shop.path('host.img'), shop.path(name))
  return { restore: () => copyFileSync(shop.path(name), shop.path('host.img')) }
}

/** `CODE: message` and a hint, and nothing that looks like a crash. */
export function expectClear(ran: Ran, code: ErrorCode): void {
  expect(ran.stderr).toMatch(new RegExp(`^pine-update: ${code}: \\S`, 'm'))
  expect(ran.stderr).not.toMatch(/this is a bug|\n\s+at |undefined|NaN|\[object/)
}

/** Its exit code is 1 where it sees a problem; what it sees is there all the same. */
export async function statusOf(shop: Workshop): Promise<any> {
  const { exit, json, stderr } = await shop.pine(`status --json ${ON_DISK}`)
  expect([0, 1], stderr).toContain(exit)
  return json()
}

/** The release that a slot holds from its first byte to its last; undefined where it is none of these. */
export function versionIn(shop: Workshop, slot: 'a' | 'b'): string | undefined {
  return ['1.0', '2.0', '3.0'].find((version) => {
    const image = readFileSync(shop.path(`${version}.img`))
    return image.equals(readAt(shop.path('host.img'), SLOT_AT[slot], image.length))
  })
}

function readAt(path: string, position: number, bytes: number): Buffer {
  const content = Buffer.alloc(bytes)
  const file = openSync(path, 'r')
  readSync(file, content, 0, bytes, position)
  closeSync(file)
  return content
}

/** What a failed apply of 2.0 must leave: 1.0 in slot a, whole, and the next to boot. */
export async function expectIntact(shop: Workshop): Promise<void> {
  expect(versionIn(shop, 'a')).toBe('1.0')
  const status = await statusOf(shop)
  expect(status).toMatchObject({ nextBoot: 'a', trial: null })
  expect(status.slots[1]).toMatchObject({ triesLeft: 0 })
}

/** The same apply once more, and the release boots. */
export async function expectNextTryWorks(shop: Workshop, bundle = '2.0.bundle'): Promise<void> {
  await shop.ok(`apply @${bundle} ${ON_DISK}`)
  expect(await shop.boot()).toBe('b')
  expect(versionIn(shop, 'b')).toBe('2.0')
  expect(versionIn(shop, 'a')).toBe('1.0')
}

export function diskDigest(shop: Workshop): string {
  return digestOf(readFileSync(shop.path('host.img')))
}

/** A command that changes what boots, and the machine that it finds. */
export interface Story {
  command: string
  prepare: (shop: Workshop) => Promise<void>
  /** Slot that boots when it is done. */
  boots: 'a' | 'b'
}

async function start(shop: Workshop): Promise<void> {
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  await shop.boot()
}

async function startAndConfirm(shop: Workshop): Promise<void> {
  await start(shop)
  await shop.ok(`confirm ${ON_DISK}`)
}

export const STORIES: readonly Story[] = [
  { command: 'apply @2.0.bundle', prepare: async () => undefined, boots: 'b' },
  { command: 'confirm', prepare: start, boots: 'b' },
  { command: 'reject', prepare: start, boots: 'a' },
  { command: 'rollback', prepare: startAndConfirm, boots: 'a' },
]

/** Whatever failed: what boots is whole, and what status says is there is there. Returns what boots next. */
export async function expectTrue(shop: Workshop, what: string): Promise<'a' | 'b'> {
  const { nextBoot, slots } = await statusOf(shop)
  expect(['1.0', '2.0'], what).toContain(versionIn(shop, nextBoot))
  expect(versionIn(shop, 'a'), what).toBe('1.0')
  for (const { slot, image } of slots)
    if (image !== null) expect(versionIn(shop, slot), what).toBe(image.version)
  return nextBoot
}

/** The same command once more, after one that did not end well. */
export async function expectMended(shop: Workshop, { command, boots }: Story, what: string): Promise<void> {
  const next = await expectTrue(shop, what)
  const again = await shop.pine(`${command} ${ON_DISK}`)
  // It was stopped after the flip, among the notes that follow: there is nothing left to do.
  const isDone = next === boots && again.stderr.includes('NOTHING_TO_')
  expect(again, what).toMatchObject({ exit: isDone ? 3 : 0 })
  expect(await expectTrue(shop, what), what).toBe(boots)
}
