import { compareVersions, isVersion } from '../../../src/core/version.ts'
import { parseCmdline } from '../../../src/model/cmdline.ts'
import { parseSettings } from '../../../src/model/settings.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'
import { mutateLines } from '../text.ts'
import { mutateConfig } from '../toml.ts'

const VERSIONS = [
  '1.2\n1.2.0\n1.2-rc1',
  '1.2+1\n1.2\n1.3',
  '2024.01.02-a.b.10\n2024.1.2-a.b.9\n0',
  '1-a1\n1-a\n1-1a',
]

/** Three versions, a line each: any three must stand in one order. */
const versions: TargetEntry = {
  name: 'versions',
  weight: 500_000,
  open: () =>
    defineTarget({
      name: 'versions',
      seeds: VERSIONS.map((text) => Buffer.from(text)),
      mutate: mutateLines(['.', '-', '+', '0', '00', '1', '9', '10', 'a', 'Z', 'rc', '.0', '-0', '+0']),
      decode: (input) => input.toString().split('\n').slice(0, 3).filter(isVersion),
      codes: [],
      verdict([a, b, c]) {
        if (a === undefined || b === undefined || c === undefined) return refused('no version')
        const [ab, bc, ac] = [compareVersions(a, b), compareVersions(b, c), compareVersions(a, c)].map(
          Math.sign,
        )
        requireThat(
          ab === -Math.sign(compareVersions(b, a)),
          `"${a}" and "${b}" are each older, or newer, than the other`,
        )
        requireThat(compareVersions(a, a) === 0, `"${a}" is not as old as itself`)
        if (ab === bc) requireThat(ac === ab, `"${a}", "${b}" and "${c}" go round in a circle`)
        if (ab === 0) requireThat(ac === bc, `"${a}" equals "${b}", but not beside "${c}"`)
        return accepted(`${ab} ${bc} ${ac}`)
      },
    }),
}

const CMDLINE =
  'root=PARTUUID=7a5d0c3e-0000-4000-8000-000000000004 ro quiet pine.slot=a pine.gen=00000001 pine.from=1 pine.left=2 pine.seq=00000007 pine.st=0 panic=10\n'

const cmdlines: TargetEntry = {
  name: 'cmdline',
  weight: 350_000,
  open: () =>
    defineTarget({
      name: 'cmdline',
      seeds: [Buffer.from(CMDLINE), Buffer.from('')],
      mutate: mutateLines([
        '=',
        ' ',
        '\t',
        '\0',
        'root=',
        'pine.slot=b',
        'pine.seq=',
        '__proto__=1',
        '"',
        '\u00a0',
      ]),
      decode: (input) => parseCmdline(input.toString()),
      codes: [],
      verdict(words, input) {
        const text = input.toString()
        for (const [name, value] of words) {
          requireThat(!/[\s=]/.test(name) && !/\s/.test(value), `"${name}" is no word`)
          requireThat(
            text.includes(value === '' ? name : `${name}=${value}`),
            `"${name}=${value}" is not there`,
          )
        }
        requireThat((words.size === 0) === (text.trim() === ''), 'words are lost')
        const slot = ['a', 'b', undefined].indexOf(words.get('pine.slot'))
        return accepted(`${slot} ${Math.min(words.size, 16)}`)
      },
    }),
}

const CONFIG = `compatible = "web-x86"
keyring = "/etc/pine-update/keys"
threshold = 2
tries = 3

[health]
directories = ["/usr/lib/pine-update/health.d"]
timeout = 30
settle = 1.5
systemd = true
tcp = ["127.0.0.1:22", "[::1]:443"]
http = ["http://127.0.0.1/health", "https://example.org:8443/"]
`
const CONFIG_WORDS = [
  ...[
    '[health]',
    '[[health]]',
    ...[':65535"', ':65536"', ':99999"', 'http://"', 'https://["', '" '],
    'health.tcp = [',
    'health = {',
    '"""',
    "'''",
    '\\u0000',
    '\\UFFFFFFFF',
    'inf',
    'nan',
    '-0',
  ],
  ...[
    '1_000',
    '0x',
    '1979-05-27T07:32:00Z',
    '__proto__',
    'a.b.c = 1',
    '#',
    ']',
    '}',
    ',',
    '=',
    '1e400',
    '99999999999999999999',
  ],
]

const config: TargetEntry = {
  name: 'config',
  weight: 250_000,
  slowness: 2,
  open: () => {
    const mutateText = mutateLines(CONFIG_WORDS)
    return defineTarget({
      name: 'config',
      seeds: [Buffer.from(CONFIG), Buffer.from(''), Buffer.from('tries = 7\n')],
      mutate: (input, random, donor) =>
        random.once(2) ? mutateText(input, random, donor) : mutateConfig(input, random, donor),
      decode: (input) =>
        parseSettings([
          { path: 'config.toml', text: CONFIG },
          { path: 'fuzz.toml', text: input.toString() },
        ]),
      codes: ['CONFIG_INVALID'],
      verdict({ threshold, tries, health, keyring }) {
        requireThat(
          Number.isInteger(threshold) && threshold >= 1 && threshold <= 16,
          `a threshold of ${threshold}`,
        )
        requireThat(Number.isInteger(tries) && tries >= 1 && tries <= 7, `${tries} tries`)
        requireThat(typeof keyring === 'string', 'a keyring without a path')
        requireThat(
          Number.isInteger(health.timeout) && health.timeout > 0,
          `no timer has ${health.timeout} seconds`,
        )
        const times = [health.timeout, health.settle]
        requireThat(
          times.every((seconds) => seconds >= 0 && seconds <= 86_400),
          `times of ${times}`,
        )
        // With these node:net and node:http throw what is no failed check, but a mistake in the configuration.
        for (const target of health.tcp) {
          const port = Number(target.slice(target.lastIndexOf(':') + 1))
          requireThat(port >= 0 && port < 65_536, `"${target}" has no port that there is`)
        }
        for (const url of health.http) requireThat(URL.canParse(url), `"${url}" is no URL`)
        return accepted(`${health.tcp.length} ${health.http.length} ${health.directories.length}`)
      },
    })
  },
}

export const textTargets = [versions, cmdlines, config]
