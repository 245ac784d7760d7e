import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AREA, type AreaName } from '../../src/boot/bootstate-area.ts'
import { encodeEnvBlock } from '../../src/boot/env-block.ts'
import { writeMeta } from '../../src/boot/grub-state.ts'
import { PineError } from '../../src/core/error.ts'
import type { OpenRegion } from '../../src/core/region.ts'
import { realHost } from '../../src/host/real-host.ts'
import { disarm, initialBootState } from '../../src/model/boot-state.ts'
import { readRecords, withMachine } from '../../src/run/machine.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Ran, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
})
afterEach(() => shop.close())

const MiB = 1024 * 1024
const BOOTSTATE = 2 * MiB
const SLOT = { a: 4 * MiB, b: 8 * MiB }

/** Changes bytes of the disk behind everybody's back. */
function tamper(change: (disk: Buffer) => void): void {
  const disk = readFileSync(shop.path('host.img'))
  change(disk)
  writeFileSync(shop.path('host.img'), disk)
}

function wipe(...names: AreaName[]): void {
  tamper((disk) => {
    for (const name of names) {
      const start = BOOTSTATE + AREA[name].offset
      disk.fill(0, start, start + AREA[name].bytes)
    }
  })
}

const status = (more = ''): Promise<Ran> => shop.pine(`status --json ${ON_DISK}${more}`)

/** As a person sees it. */
const shown = async (more = ''): Promise<string> => (await shop.pine(`status ${ON_DISK}${more}`)).stdout

async function applied(more = ''): Promise<void> {
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}${more}`)
}

test('a machine that is as it should be has no problems', async () => {
  await applied()
  const ran = await status()
  expect([ran.exit, ran.json()]).toEqual([
    0,
    expect.objectContaining({ problems: [], bootStateReadable: true }),
  ])
})

describe('what cannot be read hides nothing else', () => {
  test('records gone: what boots is known all the same, and commands that need them still refuse', async () => {
    await applied()
    wipe('meta0', 'meta1')
    const ran = await status()
    const { problems, slots, nextBoot, trial, epochFloor } = ran.json()
    expect([ran.exit, nextBoot, epochFloor]).toEqual([1, 'b', null])
    expect(trial).toMatchObject({ slot: 'b', version: 'unknown', triesLeft: 3 })
    expect(slots).toMatchObject([
      { booted: true, condition: 'confirmed', image: null },
      { booted: false, condition: 'trial', image: null },
    ])
    expect(problems).toMatchObject([{ message: expect.stringContaining('records') }])
    expect(await shown()).toMatch(/next boot {3}slot b: unknown on trial\n[\s\S]*PROBLEM {5}\w+: the records/)
    expect((await shop.pine(`rollback ${ON_DISK}`)).exit).not.toBe(0)
  })

  test('boot state gone: says what the loader will do, and what the slots hold', async () => {
    await applied()
    wipe('env0', 'env1')
    const ran = await status()
    const { problems, slots, bootStateReadable, nextBoot, trial } = ran.json()
    expect([ran.exit, bootStateReadable, nextBoot, trial]).toEqual([1, false, 'a', null])
    expect(slots).toMatchObject([
      { condition: 'unknown', triesLeft: null, image: { version: '1.0' } },
      { condition: 'unknown', triesLeft: null, image: { version: '2.0' } },
    ])
    expect(problems).toMatchObject([{ code: 'BOOT_STATE_INVALID' }])
    const text = await shown()
    expect(text).toContain('next boot   whichever slot loads, a first; nothing is counted\n')
    expect(text).toContain('booted      unknown\n')
    expect(text).toContain('PROBLEM     BOOT_STATE_INVALID')
  })

  test('both gone: still a report', async () => {
    wipe('env0', 'env1', 'meta0', 'meta1')
    const ran = await status()
    expect([ran.exit, ran.json().problems.length]).toEqual([1, 2])
    expect(await shown()).toContain('for an unknown kind of host')
  })

  test('a log of rubbish is no log', async () => {
    await applied()
    tamper((disk) =>
      disk.fill('x', BOOTSTATE + AREA.log.offset, BOOTSTATE + AREA.log.offset + AREA.log.bytes),
    )
    const ran = await status()
    expect([ran.exit, ran.json().last]).toEqual([0, { attempt: null, confirmed: null }])
  })
})

describe('what boots next', () => {
  test('is what the loader reads, even where the disk lost a write', async () => {
    await applied()
    const older = disarm({ ...initialBootState('a'), last: 'a' }, 'b')
    tamper((disk) => encodeEnvBlock(older).copy(disk, BOOTSTATE + AREA.env0.offset))
    const ran = await status()
    const { nextBoot, problems } = ran.json()
    expect([ran.exit, nextBoot]).toEqual([1, 'a'])
    expect(problems).toMatchObject([
      { code: 'BOOT_STATE_INVALID', message: expect.stringContaining('has sequence 2, expected') },
    ])
  })

  test('is the other slot while a trial runs on its last try', async () => {
    await applied(' --tries 1')
    expect(await shop.boot()).toBe('b')
    const { trial, nextBoot, slots } = (await status()).json()
    expect([trial, nextBoot]).toEqual([{ slot: 'b', version: '2.0', triesLeft: 0 }, 'a'])
    expect(slots[1]).toMatchObject({ booted: true, condition: 'trial', triesLeft: 0 })
    expect(await shown()).toMatch(/next boot {3}slot a\ntrial {7}2\.0 in slot b runs on its last try\n/)
  })

  test('is known of a disk that has not booted yet', async () => {
    const fixed = '--size 32M --compatible test --release 1.0'
    await shop.ok(`disk build --layout @layout.sfdisk --image @1.0.img --out @new.img ${fixed}`)
    const { stdout } = await shop.ok('status --disk @new.img --config @host.toml')
    expect(stdout).toMatch(/booted {6}not yet\n[\s\S]*next boot {3}slot a\n/)
  })
})

describe('--verify', () => {
  test('finds that both slots hold what was read back when they were written', async () => {
    await applied()
    const ran = await status(' --verify')
    expect([ran.exit, ran.json().slots.map(({ verified }: any) => verified)]).toEqual([0, [true, true]])
    expect((await shown(' --verify')).match(/, verified\n/g)).toHaveLength(2)
  })

  test('looks only at what is recorded, and only when it is asked to', async () => {
    expect((await status(' --verify')).json().slots.map(({ verified }: any) => verified)).toEqual([
      true,
      null,
    ])
    expect((await status()).json().slots.map(({ verified }: any) => verified)).toEqual([null, null])
  })

  test.each(['a', 'b'] as const)('finds one changed bit in slot %s', async (slot) => {
    await applied()
    tamper((disk) => {
      disk[SLOT[slot] + MiB] = (disk[SLOT[slot] + MiB] ?? 0) ^ 1
    })
    expect((await status()).exit).toBe(0)
    const ran = await status(' --verify')
    const { slots, problems } = ran.json()
    expect([ran.exit, slots.map(({ verified }: any) => verified)]).toEqual([1, [slot !== 'a', slot !== 'b']])
    const version = slot === 'a' ? '1.0' : '2.0'
    expect(problems).toMatchObject([
      {
        code: 'IMAGE_MISMATCH',
        message: expect.stringMatching(`^slot ${slot} holds \\w{12}, expected ${version} `),
      },
    ])
    expect(await shown(' --verify')).toMatch(/, DOES NOT HOLD IT\n[\s\S]*PROBLEM {5}IMAGE_MISMATCH/)
  })

  /** The same disk, on a host where reading slot b does something else. */
  async function verifyWhile(change: (region: OpenRegion) => Partial<OpenRegion>): Promise<Ran> {
    const host = realHost()
    const odd = openWorkshop({
      ...host,
      async openRegion(path, options) {
        const region = await host.openRegion(path, options)
        return options?.offset === SLOT.b ? { ...region, ...change(region) } : region
      },
    })
    const on = `--disk ${shop.path('host.img')} --config ${shop.path('host.toml')}`
    return odd.pine(`status --verify --json ${on}`).finally(odd.close)
  }

  test('reads from the device, not what writing left in the cache', async () => {
    await applied()
    const done: string[] = []
    await verifyWhile((region) => ({
      dropCache: async () => void done.push('drop'),
      read: async (into, position) => {
        done.push('read')
        await region.read(into, position)
      },
    }))
    expect([done[0], done.lastIndexOf('drop')]).toEqual(['drop', 0])
    expect(done).toContain('read')
  })

  test('says of a slot that cannot be read that it cannot', async () => {
    await applied()
    const read = async (): Promise<never> => {
      throw new PineError('IO_FAILED', 'bad sector')
    }
    const ran = await verifyWhile(() => ({ read }))
    const { slots, problems } = ran.json()
    expect([ran.exit, slots.map(({ verified }: any) => verified)]).toEqual([1, [true, null]])
    expect(problems).toMatchObject([{ code: 'IO_FAILED', message: 'bad sector' }])
  })

  test('raises no alarm over a slot that an apply takes meanwhile', async () => {
    await applied()
    const read: OpenRegion['read'] = async (into) => {
      const options = { disk: shop.path('host.img'), writable: true }
      await withMachine(shop.host, options, async (machine) => {
        const records = await readRecords(machine)
        await writeMeta(machine.bootstate, { ...records, slots: { ...records.slots, b: null } })
      })
      into.fill(0)
    }
    const ran = await verifyWhile(() => ({ read }))
    const { slots, problems } = ran.json()
    expect([ran.exit, problems, slots.map(({ verified }: any) => verified)]).toEqual([0, [], [true, null]])
  })
})
