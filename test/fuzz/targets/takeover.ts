import { parseNetwork } from '../../../src/hijack/network.ts'
import { renderNetwork } from '../../../src/hijack/render-network.ts'
import { encodeGpt, GPT_HEAD_BYTES, GPT_TAIL_BYTES, type GptTable, parseGpt } from '../../../src/model/gpt.ts'
import { address, card, EUI64, LEASED, MAC, OTHER_MAC, route, texts } from '../../hijack/ip-fixtures.ts'
import { mutateJson } from '../json.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'
import { DISK_BYTES, HEAD_BYTES, mutateTable, TAIL_BYTES, tableSeed } from './disk.ts'

const SECTOR = 512

function endsIn(input: Buffer): [Buffer, Buffer] {
  const [head, tail] = [Buffer.alloc(GPT_HEAD_BYTES), Buffer.alloc(GPT_TAIL_BYTES)]
  input.copy(head, 0, 0, HEAD_BYTES)
  input.copy(tail, tail.length - TAIL_BYTES, HEAD_BYTES)
  return [head, tail]
}

/** What everybody relies on who changes a table: it lies where nothing else is, and writing it changes nothing that was whole. */
function requireSafeTable(table: GptTable, input: Buffer): void {
  const { entries, firstUsable, lastUsable, intact } = table
  for (const { number, firstLba, lastLba } of entries) {
    const isPlaced = firstUsable <= firstLba && firstLba <= lastLba && lastLba <= lastUsable
    requireThat(isPlaced && lastLba * SECTOR < DISK_BYTES, `partition ${number} is outside`)
  }
  const [head] = endsIn(input)
  if (intact === 'backup') return
  const { header, entries: array } = encodeGpt(table).primary
  for (const { offset, bytes } of [header, array])
    requireThat(bytes.equals(head.subarray(offset, offset + bytes.length)), `other bytes at ${offset}`)
}

const gpt: TargetEntry = {
  name: 'gpt',
  weight: 100_000,
  slowness: 3,
  open: async () =>
    defineTarget({
      name: 'gpt',
      seeds: [await tableSeed()],
      mutate: mutateTable,
      decode: (input) => parseGpt(...endsIn(input), DISK_BYTES, SECTOR),
      codes: ['LAYOUT_INVALID'],
      verdict(table, input) {
        requireSafeTable(table, input)
        return accepted(`${table.intact} ${table.entries.map(({ number }) => number).join()}`)
      },
    }),
}

const STATIC = {
  links: [card('eth0', MAC, [address('192.0.2.7/32'), address('2001:db8::7/64')])],
  routes4: [route('192.0.2.1', 'eth0'), route('default', 'eth0', { gateway: '192.0.2.1' })],
  routes6: [route('default', 'eth0', { gateway: 'fe80::1' })],
}
const LEASE = {
  links: [
    card('eth0', MAC, [address('192.0.2.7/24', LEASED), address(`2001:db8::${EUI64}/64`, LEASED)]),
    card('eth1', OTHER_MAC, [address('10.0.0.7/8')]),
  ],
  routes4: [
    route('default', 'eth0', { gateway: '192.0.2.1', protocol: 'dhcp' }),
    route('10.0.0.0/8', 'eth1'),
  ],
  routes6: [],
}
const ASSETS = { script: Buffer.from('script'), unit: Buffer.from('unit') }

/** ip(8) of an unknown version, of a network that nobody thought of. */
const network: TargetEntry = {
  name: 'ip-output',
  weight: 50_000,
  slowness: 3,
  open: () =>
    defineTarget({
      name: 'ip-output',
      seeds: [STATIC, LEASE].map((said) => Buffer.from(JSON.stringify(said))),
      mutate: mutateJson,
      decode: (input) => parseNetwork(textsIn(input)),
      codes: [],
      verdict({ network: found, problems }) {
        if (problems.some(({ severity }) => severity === 'stop')) return refused('stop')
        const files = renderNetwork(found, ASSETS)
        return accepted(`${files.length} ${found.links.map(({ routes }) => routes.length)}`)
      },
    }),
}

function textsIn(input: Buffer) {
  const none = texts({ links: [] })
  try {
    const said = JSON.parse(input.toString())
    const text = (name: string) => JSON.stringify(said?.[name] ?? [])
    return { ...none, links: text('links'), routes4: text('routes4'), routes6: text('routes6') }
  } catch {
    return { ...none, links: input.toString() }
  }
}

export const takeoverTargets = [gpt, network]
