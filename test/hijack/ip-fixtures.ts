import type { NetworkTexts } from '../../src/hijack/network.ts'

// As `ip -j -d addr` and `ip -j route` of iproute2 6.1 print it, without what nobody reads.

const FOREVER = 4294967295
export const MAC = '52:54:00:12:34:56'
export const OTHER_MAC = '52:54:00:ab:cd:ef'
/** Of `MAC`, as the kernel makes it. */
export const EUI64 = '5054:ff:fe12:3456'

type Json = Record<string, unknown>

export function card(ifname: string, mac: string, addresses: Json[] = [], more: Json = {}): Json {
  return {
    ifindex: ifname.length,
    ifname,
    flags: ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'],
    mtu: 1500,
    operstate: 'UP',
    link_type: 'ether',
    address: mac,
    broadcast: 'ff:ff:ff:ff:ff:ff',
    addr_info: addresses,
    ...more,
  }
}

export function made(ifname: string, kind: string, addresses: Json[] = [], more: Json = {}): Json {
  return card(ifname, '02:42:ac:11:00:01', addresses, { linkinfo: { info_kind: kind }, ...more })
}

export const LO = {
  ifindex: 1,
  ifname: 'lo',
  mtu: 65536,
  link_type: 'loopback',
  address: '00:00:00:00:00:00',
  addr_info: [address('127.0.0.1/8', { scope: 'host' }), address('::1/128', { scope: 'host' })],
}

/** Of `MAC`, as every interface has one. */
export const LINK_LOCAL = address(`fe80::${EUI64}/64`, { scope: 'link' })

export function address(cidr: string, more: Json = {}): Json {
  const [local = '', length] = cidr.split('/')
  const times = { valid_life_time: FOREVER, preferred_life_time: FOREVER }
  const family = local.includes(':') ? 'inet6' : 'inet'
  return { family, local, prefixlen: Number(length), scope: 'global', ...times, ...more }
}

export const LEASED = { dynamic: true, valid_life_time: 3400, preferred_life_time: 3400 }

export function route(dst: string, dev: string, more: Json = {}): Json {
  return { dst, dev, flags: [], ...more }
}

const RULES4 = [
  { priority: 0, src: 'all', table: 'local' },
  { priority: 32766, src: 'all', table: 'main' },
  { priority: 32767, src: 'all', table: 'default' },
]

interface Said {
  links: Json[]
  routes4?: Json[]
  routes6?: Json[]
  rules4?: Json[]
  resolvConf?: string
  resolvedConf?: string
  byInterface?: NetworkTexts['byInterface']
}

export function texts(said: Said): NetworkTexts {
  return {
    links: JSON.stringify([LO, ...said.links]),
    routes4: JSON.stringify(said.routes4 ?? []),
    routes6: JSON.stringify(said.routes6 ?? []),
    rules4: JSON.stringify([...RULES4, ...(said.rules4 ?? [])]),
    rules6: JSON.stringify(RULES4.slice(0, 2)),
    resolvConf: said.resolvConf ?? 'nameserver 9.9.9.9\n',
    resolvedConf: said.resolvedConf ?? '',
    byInterface: said.byInterface ?? new Map(),
  }
}

/** A virtual machine of a cloud, with systemd-networkd. */
export const DHCP_CLOUD = texts({
  links: [
    card('ens3', MAC, [address('10.0.2.15/24', { ...LEASED, label: 'ens3' }), LINK_LOCAL], { mtu: 1460 }),
  ],
  routes4: [
    route('default', 'ens3', { gateway: '10.0.2.2', protocol: 'dhcp', prefsrc: '10.0.2.15', metric: 100 }),
    route('10.0.2.0/24', 'ens3', { protocol: 'kernel', scope: 'link', prefsrc: '10.0.2.15', metric: 100 }),
    route('10.0.2.2', 'ens3', { protocol: 'dhcp', scope: 'link', prefsrc: '10.0.2.15', metric: 100 }),
  ],
  routes6: [route('fe80::/64', 'ens3', { protocol: 'kernel', metric: 256, pref: 'medium' })],
  resolvConf: '# stub\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n',
  resolvedConf:
    'nameserver 169.254.169.254\nnameserver fe80::1%2\nsearch c.project.internal google.internal\n',
})

/** The same with dhclient(8), which labels nothing, and a gateway outside of the network. */
export const DHCLIENT = texts({
  links: [card('ens4', MAC, [address('10.128.0.7/32', LEASED), LINK_LOCAL])],
  routes4: [
    route('default', 'ens4', { gateway: '10.128.0.1' }),
    route('10.128.0.1', 'ens4', { scope: 'link' }),
    route('10.66.0.0/16', 'ens4', { gateway: '10.128.0.9' }),
  ],
})

export const STATIC_24 = texts({
  links: [
    card('eth0', MAC, [address('192.0.2.7/24'), address('192.0.2.8/24', { secondary: true }), LINK_LOCAL]),
  ],
  routes4: [
    route('default', 'eth0', { gateway: '192.0.2.1', flags: ['onlink'] }),
    route('192.0.2.0/24', 'eth0', { protocol: 'kernel', scope: 'link', prefsrc: '192.0.2.7' }),
  ],
  routes6: [route('fe80::/64', 'eth0', { protocol: 'kernel', metric: 256 })],
  resolvConf: 'domain example.net\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n',
})

/** /32 with a gateway outside of it, and IPv6 behind fe80::1. */
export const POINT = texts({
  links: [card('eth0', MAC, [address('203.0.113.5/32'), address('2001:db8:1::5/64'), LINK_LOCAL])],
  routes4: [
    route('default', 'eth0', { gateway: '203.0.113.1' }),
    route('203.0.113.1', 'eth0', { scope: 'link' }),
  ],
  routes6: [
    route('2001:db8:1::/64', 'eth0', { protocol: 'kernel', metric: 256, pref: 'medium' }),
    route('fe80::/64', 'eth0', { protocol: 'kernel', metric: 256, pref: 'medium' }),
    route('default', 'eth0', { gateway: 'fe80::1', metric: 1024, pref: 'medium' }),
  ],
})

/** IPv4 through a gateway of IPv6, with an address that has another end. */
export const VIA_6 = texts({
  links: [card('eth0', MAC, [address('203.0.113.5/32', { address: '203.0.113.9' }), LINK_LOCAL])],
  routes4: [
    route('default', 'eth0', {
      via: { family: 'inet6', host: 'fe80::1' },
      prefsrc: '203.0.113.5',
      metric: 50,
    }),
    route('203.0.113.9', 'eth0', { protocol: 'kernel', scope: 'link', prefsrc: '203.0.113.5' }),
  ],
})

/** The second card is of a private network, leased, and has no default route. */
export const TWO_CARDS = texts({
  links: [
    card('eth0', MAC, [address('192.0.2.7/24'), LINK_LOCAL]),
    card('eth1', OTHER_MAC, [address('10.1.0.4/16', LEASED)], { mtu: 1450 }),
  ],
  routes4: [
    route('default', 'eth0', { gateway: '192.0.2.1', protocol: 'static' }),
    route('10.0.0.0/8', 'eth1', { gateway: '10.1.0.1', protocol: 'static' }),
  ],
})
