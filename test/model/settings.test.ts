import { describe, expect, test } from 'vitest'
import { parseSettings } from '../../src/model/settings.ts'

const settings = (...texts: string[]) =>
  parseSettings(texts.map((text, index) => ({ path: `${index}.toml`, text })))

describe('settings', () => {
  test('have a default for every key', () => {
    expect(settings()).toMatchObject({ threshold: 1, tries: 3, keyring: '/etc/pine-update/keys' })
    expect(settings().health).toMatchObject({ systemd: true, tcp: [], http: [] })
  })

  test('of a later file replace single keys', () => {
    const merged = settings('tries = 2\n[health]\ntcp = ["a:1"]\nsettle = 5', '[health]\nsettle = 7')
    expect(merged).toMatchObject({ tries: 2, health: { tcp: ['a:1'], settle: 7 } })
  })

  test.each([
    ['an unknown key', 'treis = 3', /0\.toml: treis/],
    ['an unknown key in a table', '[health]\ntcpp = []', /health\.tcpp/],
    ['another type', 'tries = "3"', /tries/],
    ['a port without a host', '[health]\ntcp = ["22"]', /HOST:PORT/],
    ['a timeout that no timer has', '[health]\ntimeout = 1.0005', /health\.timeout/],
    ['a port that there is not', '[health]\ntcp = ["localhost:65536"]', /port up to 65535/],
    ['an address that is no URL', '[health]\nhttp = ["localhost"]', /starts with http/],
    ['a URL that cannot be', '[health]\nhttp = ["http://host:99999/"]', /expected a URL/],
    ['more tries than the loader counts', 'tries = 8', /tries/],
    ['a rate at which nothing comes', '[download]\nrate = 0', /download\.rate/],
    ['a threshold that lets anything in', 'threshold = 0', /threshold/],
    ['no TOML', 'tries = = 3', /is not TOML/],
  ])('with %s are refused, naming it', (_, text, message) => {
    expect(() => settings(text)).toThrow(message)
    expect(() => settings(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})
