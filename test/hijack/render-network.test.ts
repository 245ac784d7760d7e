import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { CapturedFile } from '../../src/hijack/captured.ts'
import { type NetworkTexts, parseNetwork } from '../../src/hijack/network.ts'
import { renderNetwork } from '../../src/hijack/render-network.ts'
import {
  address,
  card,
  DHCLIENT,
  DHCP_CLOUD,
  EUI64,
  LEASED,
  MAC,
  POINT,
  route,
  STATIC_24,
  TWO_CARDS,
  texts,
  VIA_6,
} from './ip-fixtures.ts'

const SYSTEM = join(import.meta.dirname, '../../src/system')
const ASSETS = {
  script: readFileSync(join(SYSTEM, 'network-fallback')),
  unit: readFileSync(join(SYSTEM, 'pine-update-network-fallback.service')),
}
const HEAD = '# Made by "pine-update hijack" of what the kernel of the old system said.\n'

function render(said: NetworkTexts): CapturedFile[] {
  return renderNetwork(parseNetwork(said).network, ASSETS)
}

/** The text of a rendered file without its first line. */
function textOf(said: NetworkTexts, path: string): string | undefined {
  const file = render(said).find((one) => one.path === path)
  if (file === undefined || 'link' in file) return undefined
  expect(file.content.toString()).toContain(HEAD)
  return file.content.toString().slice(HEAD.length)
}

const unit = (said: NetworkTexts, mac = MAC) =>
  textOf(said, `/etc/systemd/network/10-pine-${mac.replaceAll(':', '')}.network`)
const fallback = (said: NetworkTexts) => textOf(said, '/etc/pine-update/network-fallback.conf')

describe('systemd-networkd', () => {
  test('a leased address stays leased', () => {
    expect(unit(DHCP_CLOUD)).toBe(`[Match]
MACAddress=52:54:00:12:34:56
Type=ether

[Link]
MTUBytes=1460

[Network]
DHCP=ipv4
IPv6AcceptRA=no

[DHCPv4]
ClientIdentifier=mac
RouteMetric=100
`)
  })

  test('a lease of dhclient, and a route beside it', () => {
    expect(unit(DHCLIENT)).toBe(`[Match]
MACAddress=52:54:00:12:34:56
Type=ether

[Network]
DHCP=ipv4
IPv6AcceptRA=no

[Route]
Destination=10.66.0.0/16
Gateway=10.128.0.9
GatewayOnLink=yes

[DHCPv4]
ClientIdentifier=mac
RouteMetric=0
`)
  })

  test('static addresses of a /24', () => {
    expect(unit(STATIC_24)).toBe(`[Match]
MACAddress=52:54:00:12:34:56
Type=ether

[Network]
DHCP=no
IPv6AcceptRA=no

[Address]
Address=192.0.2.7/24

[Address]
Address=192.0.2.8/24

[Route]
Destination=0.0.0.0/0
Gateway=192.0.2.1
GatewayOnLink=yes
`)
  })

  test('a /32 with a gateway outside of it, and IPv6 behind fe80::1', () => {
    expect(unit(POINT)).toBe(`[Match]
MACAddress=52:54:00:12:34:56
Type=ether

[Network]
DHCP=no
IPv6AcceptRA=no

[Address]
Address=203.0.113.5/32

[Address]
Address=2001:db8:1::5/64

[Route]
Destination=0.0.0.0/0
Gateway=203.0.113.1
GatewayOnLink=yes

[Route]
Destination=203.0.113.1/32
Scope=link

[Route]
Destination=::/0
Gateway=fe80::1
`)
  })

  test('IPv4 through a gateway of IPv6', () => {
    expect(unit(VIA_6)).toBe(`[Match]
MACAddress=52:54:00:12:34:56
Type=ether

[Network]
DHCP=no
IPv6AcceptRA=no

[Address]
Address=203.0.113.5/32
Peer=203.0.113.9/32

[Route]
Destination=0.0.0.0/0
Gateway=fe80::1
Metric=50
PreferredSource=203.0.113.5
`)
  })

  test('a leased card without a default route gets none', () => {
    expect(unit(TWO_CARDS, '52:54:00:ab:cd:ef')).toBe(`[Match]
MACAddress=52:54:00:ab:cd:ef
Type=ether

[Link]
MTUBytes=1450

[Network]
DHCP=ipv4
IPv6AcceptRA=no

[Route]
Destination=10.0.0.0/8
Gateway=10.1.0.1

[DHCPv4]
ClientIdentifier=mac
UseGateway=no
`)
  })

  test('the identifier that the DHCP server knows', () => {
    const known = (clientId: string) =>
      unit({ ...DHCP_CLOUD, byInterface: new Map([['ens3', { acceptRa: 0, clientId }]]) })?.split(
        '[DHCPv4]\n',
      )[1]
    expect(known('ff0102030400020000ab11f92ac27729f95c00')).toBe(`ClientIdentifier=duid
IAID=16909060
DUIDType=vendor
DUIDRawData=00:00:ab:11:f9:2a:c2:77:29:f9:5c:00
RouteMetric=100
`)
    // networkd would ask for no lease with a DUID that is too short.
    for (const id of ['01525400123456', 'ff0102030400020000ab11f92ac277', 'ff01020304000900'])
      expect(known(id)).toBe('ClientIdentifier=mac\nRouteMetric=100\n')
  })
})

describe('IPv6 that comes by itself', () => {
  const ROUTE = route('default', 'eth0', { gateway: 'fe80::1', protocol: 'ra', metric: 1024 })
  const sections = (addresses: Record<string, unknown>[]) =>
    unit(texts({ links: [card('eth0', MAC, addresses)], routes6: [ROUTE] }))?.replace(
      /^.*?(?=\[Network\])/s,
      '',
    )

  test('announced: it comes again if it is made of the MAC address, and is set if not', () => {
    const announced = { ...LEASED, mngtmpaddr: true }
    expect(sections([address(`2001:db8::${EUI64}/64`, announced)])).toBe(`[Network]
DHCP=no
IPv6AcceptRA=yes
`)
    expect(sections([address('2001:db8::77/64', announced)])).toBe(`[Network]
DHCP=no
IPv6AcceptRA=yes

[Address]
Address=2001:db8::77/64
`)
  })

  test('a static address behind a router that announces itself', () => {
    expect(sections([address('2001:db8::5/64')])).toBe(`[Network]
DHCP=no
IPv6AcceptRA=yes

[Address]
Address=2001:db8::5/64

[IPv6AcceptRA]
UseAutonomousPrefix=no
`)
  })

  test('leased', () => {
    expect(sections([address('2001:db8::5/128', LEASED)])).toBe(`[Network]
DHCP=ipv6
IPv6AcceptRA=yes

[DHCPv6]
WithoutRA=solicit
`)
  })
})

describe('the fallback', () => {
  test('a leased address, with the way to its gateway first', () => {
    expect(fallback(DHCP_CLOUD)).toBe(`4 ${MAC} link set dev DEV up mtu 1460
4 ${MAC} address replace 10.0.2.15/24 dev DEV
4 ${MAC} route replace 10.0.2.2/32 dev DEV metric 100 src 10.0.2.15
4 ${MAC} route replace default via 10.0.2.2 dev DEV metric 100 src 10.0.2.15
6 ${MAC} link set dev DEV up mtu 1460
`)
  })

  test('/32, and IPv6 behind fe80::1', () => {
    expect(fallback(POINT)).toBe(`4 ${MAC} link set dev DEV up mtu 1500
4 ${MAC} address replace 203.0.113.5/32 dev DEV
4 ${MAC} route replace 203.0.113.1/32 dev DEV
4 ${MAC} route replace default via 203.0.113.1 dev DEV onlink
6 ${MAC} link set dev DEV up mtu 1500
6 ${MAC} address replace 2001:db8:1::5/64 dev DEV nodad
6 ${MAC} route replace default via fe80::1 dev DEV
`)
  })

  test('IPv4 through a gateway of IPv6', () => {
    expect(fallback(VIA_6)).toBe(`4 ${MAC} link set dev DEV up mtu 1500
4 ${MAC} address replace 203.0.113.5 peer 203.0.113.9/32 dev DEV
4 ${MAC} route replace default via inet6 fe80::1 dev DEV metric 50 src 203.0.113.5
6 ${MAC} link set dev DEV up mtu 1500
`)
  })
})

describe('what is around it', () => {
  test('name servers, ifupdown and the waiting', () => {
    expect(textOf(STATIC_24, '/etc/resolv.conf')).toBe(
      'search example.net\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n',
    )
    expect(textOf(STATIC_24, '/etc/network/interfaces')).toBe('auto lo\niface lo inet loopback\n')
    expect(
      textOf(STATIC_24, '/etc/systemd/system/systemd-networkd-wait-online.service.d/10-pine-takeover.conf'),
    ).toBe('[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30\n')
  })

  test('no resolv.conf without a name server', () => {
    const nobody = { ...STATIC_24, resolvConf: '' }
    expect(render(nobody).map(({ path }) => path)).not.toContain('/etc/resolv.conf')
  })

  test('the units that start with it', () => {
    const links = render(STATIC_24).flatMap((file) => ('link' in file ? [[file.path, file.link]] : []))
    const [etc, lib] = ['/etc/systemd/system', '/lib/systemd/system']
    const own = 'pine-update-network-fallback.service'
    expect(links).toEqual([
      [`${etc}/multi-user.target.wants/systemd-networkd.service`, `${lib}/systemd-networkd.service`],
      [`${etc}/sockets.target.wants/systemd-networkd.socket`, `${lib}/systemd-networkd.socket`],
      [
        `${etc}/sysinit.target.wants/systemd-network-generator.service`,
        `${lib}/systemd-network-generator.service`,
      ],
      [
        `${etc}/network-online.target.wants/systemd-networkd-wait-online.service`,
        `${lib}/systemd-networkd-wait-online.service`,
      ],
      [`${etc}/dbus-org.freedesktop.network1.service`, `${lib}/systemd-networkd.service`],
      [`${etc}/multi-user.target.wants/${own}`, `${etc}/${own}`],
    ])
  })
})
