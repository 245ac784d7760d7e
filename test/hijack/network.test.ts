import { describe, expect, test } from 'vitest'
import { isEui64, isInside, toCidr } from '../../src/hijack/ip-address.ts'
import { parseNetwork } from '../../src/hijack/network.ts'
import {
  address,
  card,
  DHCLIENT,
  DHCP_CLOUD,
  EUI64,
  LEASED,
  LINK_LOCAL,
  MAC,
  made,
  OTHER_MAC,
  POINT,
  route,
  STATIC_24,
  TWO_CARDS,
  texts,
  VIA_6,
} from './ip-fixtures.ts'

const DEFAULT = route('default', 'eth0', { gateway: '192.0.2.1' })
const ETH0 = card('eth0', MAC, [address('192.0.2.7/24')])

describe('what is carried over', () => {
  test('a leased address with systemd-networkd', () => {
    const { network, problems } = parseNetwork(DHCP_CLOUD)
    const leased = { dynamic: true, source: '10.0.2.15', metric: 100, family: 4, onLink: false }
    expect(problems).toEqual([])
    expect(network).toEqual({
      links: [
        {
          mac: MAC,
          mtu: 1460,
          addresses: [{ cidr: '10.0.2.15/24', dynamic: true }],
          routes: [
            { ...leased, to: 'default', via: '10.0.2.2' },
            { ...leased, to: '10.0.2.2/32' },
          ],
          dynamic4: true,
          dynamic6: 'none',
        },
      ],
      dns: ['169.254.169.254'],
      search: ['c.project.internal', 'google.internal'],
    })
  })

  test('a lease of dhclient: its routes have no label, others of the same kind were set by somebody', () => {
    const [link] = parseNetwork(DHCLIENT).network.links
    expect(link?.dynamic4).toBe(true)
    expect(link?.routes).toEqual([
      { family: 4, to: 'default', via: '10.128.0.1', onLink: true, dynamic: true },
      { family: 4, to: '10.128.0.1/32', onLink: false, dynamic: true },
      { family: 4, to: '10.66.0.0/16', via: '10.128.0.9', onLink: true, dynamic: false },
    ])
  })

  test('a lease without end', () => {
    const said = texts({
      links: [card('eth0', MAC, [address('192.0.2.7/24')])],
      routes4: [route('default', 'eth0', { gateway: '192.0.2.1', protocol: 'dhcp', prefsrc: '192.0.2.7' })],
    })
    const [link] = parseNetwork(said).network.links
    expect(link?.dynamic4).toBe(true)
    expect(link?.addresses).toEqual([{ cidr: '192.0.2.7/24', dynamic: true }])
  })

  test('static addresses of a /24', () => {
    const { network, problems } = parseNetwork(STATIC_24)
    expect(problems).toEqual([])
    expect(network.links).toEqual([
      {
        mac: MAC,
        addresses: [
          { cidr: '192.0.2.7/24', dynamic: false },
          { cidr: '192.0.2.8/24', dynamic: false },
        ],
        routes: [{ family: 4, to: 'default', via: '192.0.2.1', onLink: true, dynamic: false }],
        dynamic4: false,
        dynamic6: 'none',
      },
    ])
    expect(network.dns).toEqual(['192.0.2.53', '2001:db8::53'])
    expect(network.search).toEqual(['example.net'])
  })

  test('a /32 with a gateway outside of it, and IPv6 behind fe80::1', () => {
    const { network, problems } = parseNetwork(POINT)
    expect(problems).toEqual([])
    expect(network.links[0]?.addresses.map(({ cidr }) => cidr)).toEqual([
      '203.0.113.5/32',
      '2001:db8:1::5/64',
    ])
    expect(network.links[0]?.routes).toEqual([
      { family: 4, to: 'default', via: '203.0.113.1', onLink: true, dynamic: false },
      { family: 4, to: '203.0.113.1/32', onLink: false, dynamic: false },
      { family: 6, to: 'default', via: 'fe80::1', onLink: false, dynamic: false },
    ])
  })

  test('IPv4 through a gateway of IPv6', () => {
    const [link] = parseNetwork(VIA_6).network.links
    expect(link?.addresses).toEqual([{ cidr: '203.0.113.5/32', peer: '203.0.113.9/32', dynamic: false }])
    expect(link?.routes).toEqual([
      {
        family: 4,
        to: 'default',
        via: 'fe80::1',
        onLink: false,
        metric: 50,
        source: '203.0.113.5',
        dynamic: false,
      },
    ])
  })

  test('two cards', () => {
    const { network, problems } = parseNetwork(TWO_CARDS)
    expect(problems).toEqual([])
    expect(network.links.map(({ mac, mtu, dynamic4 }) => ({ mac, mtu, dynamic4 }))).toEqual([
      { mac: MAC, mtu: undefined, dynamic4: false },
      { mac: OTHER_MAC, mtu: 1450, dynamic4: true },
    ])
  })

  test('nothing of what containers made, and no word about it', () => {
    const said = texts({
      links: [
        ETH0,
        made('docker0', 'bridge', [address('172.17.0.1/16')]),
        made('br-0123456789ab', 'bridge', [address('172.18.0.1/16')]),
        made('veth12ab34c', 'veth', [], { master: 'docker0' }),
        made('virbr0', 'bridge', [address('192.168.122.1/24')]),
      ],
      routes4: [DEFAULT, route('172.17.0.0/16', 'docker0', { protocol: 'kernel', prefsrc: '172.17.0.1' })],
    })
    const { network, problems } = parseNetwork(said)
    expect(problems).toEqual([])
    expect(network.links.map(({ mac }) => mac)).toEqual([MAC])
  })

  test('the driver, where a virtual function has the same address', () => {
    const said = texts({
      links: [ETH0, card('enP1s1', MAC, [], { master: 'eth0' })],
      routes4: [DEFAULT],
      byInterface: new Map([
        ['eth0', { acceptRa: 1, driver: 'hv_netvsc' }],
        ['enP1s1', { acceptRa: 1, driver: 'mlx5_core' }],
      ]),
    })
    expect(parseNetwork(said).network.links.map(({ driver }) => driver)).toEqual(['hv_netvsc'])
  })

  test('what the DHCP server knows the machine by', () => {
    const byInterface = new Map([['ens3', { acceptRa: 0, clientId: 'ff0102030400020000ab11f92ac277' }]])
    expect(parseNetwork({ ...DHCP_CLOUD, byInterface }).network.links[0]?.clientId).toMatch(/^ff01/)
  })
})

describe('IPv6 that comes by itself', () => {
  const ROUTE = route('default', 'eth0', { gateway: 'fe80::1', protocol: 'ra', metric: 1024, expires: 1700 })
  const dynamic6 = (
    addresses: Record<string, unknown>[],
    routes6: Record<string, unknown>[],
    acceptRa: number,
  ) => {
    const byInterface = new Map([['eth0', { acceptRa }]])
    const links = [card('eth0', MAC, [address('192.0.2.7/24'), LINK_LOCAL, ...addresses])]
    return parseNetwork(texts({ links, routes4: [DEFAULT], routes6, byInterface })).network.links[0]
  }

  test('announced, by whomever it is taken', () => {
    const byKernel = address(`2001:db8::${EUI64}/64`, { ...LEASED, mngtmpaddr: true })
    const byProgram = address('2001:db8::77/64', LEASED)
    expect(dynamic6([byKernel], [ROUTE], 1)?.dynamic6).toBe('ra')
    expect(dynamic6([byKernel], [], 0)?.dynamic6).toBe('ra')
    expect(dynamic6([byProgram], [ROUTE], 0)?.dynamic6).toBe('ra')
    expect(dynamic6([byProgram], [], 1)?.dynamic6).toBe('ra')
  })

  test('only the route is announced', () => {
    const link = dynamic6([address('2001:db8::5/64')], [ROUTE], 1)
    expect(link?.dynamic6).toBe('ra')
    expect(link?.addresses[1]).toEqual({ cidr: '2001:db8::5/64', dynamic: false })
    expect(link?.routes[1]).toEqual({
      family: 6,
      to: 'default',
      via: 'fe80::1',
      onLink: false,
      dynamic: true,
    })
  })

  test('leased', () => {
    expect(dynamic6([address('2001:db8::99/128', LEASED)], [ROUTE], 0)?.dynamic6).toBe('dhcp')
    expect(dynamic6([address('2001:db8::99/64', LEASED)], [], 0)?.dynamic6).toBe('dhcp')
  })

  test('a kernel that would listen, where nobody speaks', () => {
    expect(dynamic6([address('2001:db8::5/64')], [], 1)?.dynamic6).toBe('none')
  })

  test('addresses for a while are left out, and a link-local one that was set is kept', () => {
    const temporary = address('2001:db8::1234/64', { ...LEASED, temporary: true })
    const set = address('fe80::5/64', { scope: 'link' })
    const link = dynamic6([temporary, set], [], 1)
    expect(link?.addresses.map(({ cidr }) => cidr)).toEqual(['192.0.2.7/24', 'fe80::5/64'])
  })
})

describe('what cannot be carried over', () => {
  const stops = (said: Parameters<typeof texts>[0]) =>
    parseNetwork(texts(said)).problems.map(({ severity, text }) => `${severity}: ${text}`)

  test.each([
    ['bond0', 'bond'],
    ['eth0.42', 'vlan'],
    ['br0', 'bridge'],
    ['wg0', 'wireguard'],
  ])('a default route on %s', (name, kind) => {
    const links = [
      card('eth0', MAC, [], kind === 'bond' || kind === 'bridge' ? { master: name } : {}),
      made(name, kind, [address('192.0.2.7/24')], kind === 'wireguard' ? { link_type: 'none' } : {}),
    ]
    expect(stops({ links, routes4: [route('default', name, { gateway: '192.0.2.1' })] })).toEqual([
      expect.stringContaining(`stop: the default route is on ${name} (${kind}), expected a network card`),
    ])
  })

  test('no default route', () => {
    expect(stops({ links: [ETH0] })).toEqual([expect.stringContaining('stop: there is no default route')])
  })

  test('policy routing', () => {
    const rules4 = [{ priority: 100, src: '10.0.0.4', table: '100' }]
    expect(stops({ links: [ETH0], routes4: [DEFAULT], rules4 })).toEqual([
      'stop: there are policy routing rules, which are not carried over: 100 (IPv4)',
    ])
  })

  test('several gateways', () => {
    const nexthops = [
      { gateway: '192.0.2.1', dev: 'eth0', weight: 1, flags: [] },
      { gateway: '192.0.2.2', dev: 'eth0', weight: 1, flags: [] },
    ]
    expect(stops({ links: [ETH0], routes4: [{ dst: 'default', flags: [], nexthops }] })).toEqual([
      'stop: the route to default has several gateways, which is not carried over',
    ])
    expect(stops({ links: [ETH0], routes4: [DEFAULT, { dst: '10.0.0.0/8', flags: [], nexthops }] })).toEqual([
      'warn: the route to 10.0.0.0/8 has several gateways, which is not carried over',
    ])
  })

  test('an interface beside the default route is lost with a warning', () => {
    const wg0 = made('wg0', 'wireguard', [address('10.8.0.1/24')], { link_type: 'none' })
    expect(stops({ links: [ETH0, wg0], routes4: [DEFAULT] })).toEqual([
      'warn: wg0 (wireguard) and its addresses are not carried over',
    ])
  })

  test('a MAC address that was changed', () => {
    const links = [card('eth0', OTHER_MAC, [address('192.0.2.7/24')], { permaddr: MAC })]
    expect(stops({ links, routes4: [DEFAULT] })).toEqual([
      `warn: the MAC address of eth0 was changed to ${OTHER_MAC}; the new system uses ${MAC}, which the card came with`,
    ])
  })

  test('a name server on the machine itself', () => {
    const resolvConf = 'nameserver 127.0.0.1\n'
    expect(stops({ links: [ETH0], routes4: [DEFAULT], resolvConf })).toEqual([
      expect.stringContaining('warn: no name server outside of this machine'),
    ])
  })

  test('an ip(8) that knows no JSON', () => {
    const { problems } = parseNetwork({ ...STATIC_24, routes4: 'default via 192.0.2.1 dev eth0\n' })
    expect(problems.map(({ severity }) => severity)).toEqual(['stop'])
  })

  test('a kernel without IPv6, and empty entries of an old ip(8)', () => {
    const links = STATIC_24.links.replace('[', '[{},')
    const { network, problems } = parseNetwork({ ...STATIC_24, links, routes6: '', rules6: '' })
    expect(problems).toEqual([])
    expect(network.links).toHaveLength(1)
  })
})

describe('addresses', () => {
  test.each([
    ['192.0.2.200', '192.0.2.7/24', true],
    ['192.0.3.1', '192.0.2.7/24', false],
    ['10.0.0.1', '10.0.0.1/32', true],
    ['10.0.0.1', '2001:db8::/32', false],
    ['2001:db8:0:1::9', '2001:db8:0:1::/64', true],
    ['2001:db8:0:2::9', '2001:db8:0:1::/64', false],
    ['::ffff:192.0.2.1', '::ffff:c000:200/120', true],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:0/112', true],
    ['::1', '::/0', true],
  ])('%s in %s: %s', (one, cidr, expected) => {
    expect(isInside(one, cidr)).toBe(expected)
  })

  test('an EUI-64', () => {
    expect(isEui64(`fe80::${EUI64}`, MAC)).toBe(true)
    expect(isEui64('fe80::5054:ff:fe12:3457', MAC)).toBe(false)
    expect(isEui64('10.0.0.1', MAC)).toBe(false)
  })

  test('a length', () => {
    expect(['10.0.0.1', '::1', '10.0.0.0/8'].map(toCidr)).toEqual(['10.0.0.1/32', '::1/128', '10.0.0.0/8'])
  })
})
