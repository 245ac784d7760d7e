import { familyOf, isEui64 } from './ip-address.ts'
import type { Address, Link, Route } from './network.ts'

/** systemd.network(5), with what version 247 knows. */
export function renderLink(link: Link): string {
  const sections = [
    section('Match', { MACAddress: link.mac, Type: 'ether', Driver: link.driver }),
    section('Link', { MTUBytes: link.mtu }),
    section('Network', { DHCP: dhcpOf(link), IPv6AcceptRA: yes(link.dynamic6 !== 'none') }),
    ...link.addresses.filter((address) => isStatic(address, link)).map(renderAddress),
    ...link.routes.filter(({ dynamic }) => !dynamic).map(renderRoute),
    ...(link.dynamic4 ? [renderDhcp4(link)] : []),
    ...(link.dynamic6 === 'dhcp' ? [section('DHCPv6', { WithoutRA: 'solicit' })] : []),
    ...(link.dynamic6 === 'ra' ? [renderRa(link)] : []),
  ]
  return sections.filter((text) => text !== '').join('\n')
}

type Value = string | number | undefined

/** Empty where nothing is to be said. */
function section(name: string, values: Record<string, Value>): string {
  const said = Object.entries(values).filter(([, value]) => value !== undefined)
  if (said.length === 0) return ''
  return `[${name}]\n${said.map(([key, value]) => `${key}=${value}\n`).join('')}`
}

function yes(value: boolean): string {
  return value ? 'yes' : 'no'
}

function dhcpOf({ dynamic4, dynamic6 }: Link): string {
  if (dynamic6 !== 'dhcp') return dynamic4 ? 'ipv4' : 'no'
  return dynamic4 ? 'yes' : 'ipv6'
}

/** networkd makes an announced address of the MAC address. One that was made otherwise would not come again. */
function isStatic({ cidr, dynamic }: Address, { mac, dynamic6 }: Link): boolean {
  return !dynamic || (dynamic6 === 'ra' && familyOf(cidr) === 6 && !isEui64(cidr.split('/')[0] ?? '', mac))
}

function renderAddress({ cidr, peer }: Address): string {
  return section('Address', { Address: cidr, Peer: peer })
}

/** Always with a destination: a gateway of IPv6 alone would make it a route of IPv6. */
function renderRoute({ family, to, via, onLink, metric, source }: Route): string {
  const everything = family === 4 ? '0.0.0.0/0' : '::/0'
  return section('Route', {
    Destination: to === 'default' ? everything : to,
    Gateway: via,
    GatewayOnLink: onLink ? 'yes' : undefined,
    Scope: via === undefined && family === 4 ? 'link' : undefined,
    Metric: metric,
    PreferredSource: source,
  })
}

function renderDhcp4({ routes, clientId }: Link): string {
  const lease = routes.find(({ family, to, dynamic }) => family === 4 && to === 'default' && dynamic)
  return section('DHCPv4', {
    ...clientIdentifier(clientId),
    // Of two cards that are leased one has the default route, or the better one.
    ...(lease === undefined ? { UseGateway: 'no' } : { RouteMetric: lease.metric ?? 0 }),
  })
}

/**
 * RFC 8415, section 11: the types of DUID, and how many bytes follow. networkd of Debian 12 understands no numbers, and asks for
 * no lease at all where there are more bytes or fewer.
 */
const DUID_TYPES: Record<string, { name: string; bytes: number }> = {
  '0001': { name: 'link-layer-time', bytes: 12 },
  '0002': { name: 'vendor', bytes: 12 },
  '0003': { name: 'link-layer', bytes: 8 },
  '0004': { name: 'uuid', bytes: 16 },
}

/** RFC 4361: 255, four bytes of IAID, two of the type of DUID, and the DUID. The server may know the machine by it. */
function clientIdentifier(id = ''): Record<string, Value> {
  const [, iaid = '', code = '', duid = ''] = /^ff([\da-f]{8})([\da-f]{4})((?:[\da-f]{2})+)$/.exec(id) ?? []
  const type = DUID_TYPES[code]
  if (type === undefined || duid.length !== 2 * type.bytes) return { ClientIdentifier: 'mac' }
  return {
    ClientIdentifier: 'duid',
    IAID: Number.parseInt(iaid, 16),
    DUIDType: type.name,
    DUIDRawData: duid.replace(/..(?!$)/g, '$&:'),
  }
}

/** Where the old system took no announced address, this one takes none either: its own is known to others. */
function renderRa({ addresses }: Link): string {
  const took = addresses.some(({ cidr, dynamic }) => dynamic && familyOf(cidr) === 6)
  return took ? '' : section('IPv6AcceptRA', { UseAutonomousPrefix: 'no' })
}
