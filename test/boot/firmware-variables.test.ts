import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isLoaderFirst, preferLoader } from '../../src/boot/firmware-choice.ts'
import { applyBootChanges, EFIVARS, readBootVariables } from '../../src/boot/firmware-variables.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { OUR_PROGRAM } from '../../src/model/boot-variables.ts'
import { encodeLoadOption } from '../../src/model/load-option.ts'
import { LAYOUT } from '../support/facts.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const ESP = { number: 1, firstLba: 2048, sectors: 70_000, guid: '9a4e0001-1234-4000-8abc-0123456789ab' }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pine-firmware-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A plain folder in place of efivarfs: its names and contents, none of its rules. */
function host(change: Partial<Host> = {}): Host {
  const real = realHost()
  const at = (path: string) => path.replace(EFIVARS, folder)
  return {
    ...real,
    kindOf: async (path) => (path === '/sys/firmware/efi' ? 'folder' : real.kindOf(at(path))),
    readFile: (path) => real.readFile(at(path)),
    listFolder: (path) => real.listFolder(at(path)),
    writeVariable: (path, content) => real.writeVariable(at(path), content),
    removeVariable: (path) => real.removeVariable(at(path)),
    ...change,
  }
}

const file = (name: string) => join(folder, `${name}-${GLOBAL}`)
const put = (name: string, hex: string) => writeFileSync(file(name), Buffer.from(hex, 'hex'))
const hexOf = (name: string) => readFileSync(file(name), 'hex')

describe('variables of the firmware, in a plain folder', () => {
  test('are numbers behind four bytes of attributes, and options by their number', async () => {
    put('BootOrder', '07000000 0400 0000 1a00'.replaceAll(' ', ''))
    put('BootNext', '070000001a00')
    put('BootCurrent', '060000000400')
    const option = encodeLoadOption('pine-update', ESP, OUR_PROGRAM)
    writeFileSync(file('Boot001A'), Buffer.concat([Buffer.from([7, 0, 0, 0]), option]))
    put('Boot0004', '07000000ff')
    put('BootOptionSupport', '0600000001000000')
    writeFileSync(join(folder, 'Boot0007-00000000-0000-4000-8000-000000000000'), 'of somebody else')
    expect(await readBootVariables(host())).toEqual({
      order: [4, 0, 26],
      next: 26,
      current: 4,
      options: new Map([
        [4, undefined],
        [26, { description: 'pine-update', file: { partition: ESP.guid, path: OUR_PROGRAM } }],
      ]),
    })
  })

  test('that are not there are undefined, and half a number is none', async () => {
    put('BootOrder', '07000000040000')
    put('BootNext', '0700')
    const found = await readBootVariables(host())
    expect(found).toEqual({ order: [4], next: undefined, current: undefined, options: new Map() })
  })

  test('are written with the attributes that they have, or those of a boot variable', async () => {
    put('BootOrder', '270000000400')
    await applyBootChanges(host(), [
      { variable: 'BootOrder', order: [26, 4] },
      { variable: 'BootNext', next: 26 },
      { variable: 'option', number: 26, content: Buffer.from('abcd', 'hex') },
    ])
    expect([hexOf('BootOrder'), hexOf('BootNext'), hexOf('Boot001A')]).toEqual([
      '270000001a000400',
      '070000001a00',
      '07000000abcd',
    ])
    await applyBootChanges(host(), [
      { variable: 'BootOrder', order: null },
      { variable: 'BootNext', next: null },
      { variable: 'option', number: 26, content: null },
    ])
    expect(await readBootVariables(host())).toMatchObject({ order: undefined, options: new Map() })
  })

  test('that the firmware does not keep, or does not let go, are found', async () => {
    const lost = host({ writeVariable: async () => undefined })
    const kept = host({ removeVariable: async () => undefined })
    const refused = { code: 'IO_FAILED', message: 'the firmware does not keep its variable BootNext' }
    await expect(applyBootChanges(lost, [{ variable: 'BootNext', next: 1 }])).rejects.toMatchObject(refused)
    put('BootNext', '070000001a00')
    await expect(applyBootChanges(kept, [{ variable: 'BootNext', next: null }])).rejects.toMatchObject(
      refused,
    )
  })

  test('that cannot be written say so', async () => {
    rmSync(folder, { recursive: true })
    writeFileSync(folder, '')
    await expect(applyBootChanges(host(), [{ variable: 'BootNext', next: 1 }])).rejects.toMatchObject({
      code: 'IO_FAILED',
      message: expect.stringContaining('cannot write'),
    })
  })
})

describe('what starts first', () => {
  const layout = LAYOUT
  const esp = { role: 'esp', number: 1, offset: 1, bytes: 1, uuid: ESP.guid } as const
  const withEsp = { ...layout, partitions: { ...layout.partitions, esp } }

  test('BIOS has no choice', async () => {
    const bios = host({ kindOf: async () => undefined })
    expect(await isLoaderFirst(bios, layout)).toBe(true)
    await preferLoader(bios, layout)
  })

  test('with UEFI ours, once that was said', async () => {
    put('BootOrder', '0700000004000000')
    const option = encodeLoadOption('pine-update', ESP, OUR_PROGRAM)
    writeFileSync(file('Boot0001'), Buffer.concat([Buffer.from([7, 0, 0, 0]), option]))
    expect(await isLoaderFirst(host(), withEsp)).toBe(false)
    await preferLoader(host(), withEsp)
    expect(hexOf('BootOrder')).toBe('07000000010004000000')
    expect(await isLoaderFirst(host(), withEsp)).toBe(true)
    // It is not written again.
    await preferLoader(host({ writeVariable: () => Promise.reject(new Error('written')) }), withEsp)
  })

  test('where the firmware has forgotten our option that is no success', async () => {
    put('BootOrder', '0700000004000000')
    for (const each of [layout, withEsp])
      await expect(preferLoader(host(), each)).rejects.toMatchObject({ code: 'TAKEOVER_REFUSED' })
  })
})
