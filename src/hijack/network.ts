import type { Family } from './ip-address.ts'
import { type IpLink, type IpRoute, type IpRule, parseLinks, parseRoutes, parseRules } from './ip-output.ts'
import { addressesOf, dynamic4Of, dynamic6Of } from './network-addresses.ts'
import { isNic, macOf } from './network-links.ts'
import { networkProblems } from './network-problems.ts'
import { routesOf } from './network-routes.ts'
import { type Problem, stop } from './problem.ts'
import { type NameServers, nameServersOf } from './resolv-conf.ts'

/** How a machine is reached, without the names of its interfaces: another kernel gives others. */
export interface Network extends NameServers {
  links: Link[]
}

/** A network card. */
export interface Link {
  /** The permanent MAC address, lower case. */
  mac: string
  /** Kernel driver; only where another interface has the same MAC address, as on Azure. */
  driver?: string
  /** Absent for 1500. */
  mtu?: number
  addresses: Address[]
  routes: Route[]
  /** It asks a DHCP server for its IPv4 address. */
  dynamic4: boolean
  /** Option 61 of what it asks with, in hexadecimal, where that is known. */
  clientId?: string
  /** It listens to routers; or asks a DHCP server as well. */
  dynamic6: 'none' | 'ra' | 'dhcp'
}

export interface Address {
  /** Address and length, such as `192.0.2.7/24`. */
  cidr: string
  /** The other end, with the same length. */
  peer?: string
  /** It is leased or announced: it comes again by itself. */
  dynamic: boolean
}

export interface Route {
  family: Family
  to: string
  /** Of either family; absent for what is reached without a gateway. */
  via?: string
  /** The gateway is in no network of the link. */
  onLink: boolean
  /** Absent for what the kernel takes by itself. */
  metric?: number
  source?: string
  /** It is leased or announced: it comes again by itself. */
  dynamic: boolean
}

/** What the running kernel says. It is the truth: files may say what was never applied. */
export interface NetworkTexts {
  /** `ip -j -d addr` */
  links: string
  /** `ip -j -4 route show table main`, and with `-6` */
  routes4: string
  routes6: string
  /** `ip -j -4 rule show`, and with `-6` */
  rules4: string
  rules6: string
  /** /etc/resolv.conf */
  resolvConf: string
  /** /run/systemd/resolve/resolv.conf: the servers behind the stub of systemd-resolved. */
  resolvedConf: string
  byInterface: ReadonlyMap<string, InterfaceFacts>
}

/** What ip(8) does not say of an interface. */
export interface InterfaceFacts {
  /** /proc/sys/net/ipv6/conf/<name>/accept_ra: 0 never, 1 unless it forwards, 2 always. */
  acceptRa: number
  driver?: string | undefined
  clientId?: string | undefined
}

/** The same, parsed. */
export interface IpOutput {
  links: IpLink[]
  routes: (IpRoute & { family: Family })[]
  rules: (IpRule & { family: Family })[]
}

/** The network of a machine, and what of it cannot be carried over. */
export function parseNetwork(texts: NetworkTexts): { network: Network; problems: Problem[] } {
  const servers = nameServersOf(texts)
  const output = parseOutput(texts)
  if (output === undefined) return { network: { links: [], ...servers }, problems: [UNREADABLE] }
  const links = output.links
    .filter(isNic)
    .map((link) => linkOf(link, output, texts.byInterface.get(link.ifname)))
    .filter(({ addresses, routes }) => addresses.length > 0 || routes.length > 0)
  const network = { links, ...servers }
  return { network, problems: networkProblems(network, output) }
}

const UNREADABLE = stop(
  'ip(8) of this system does not print its addresses and routes as JSON',
  'install iproute2 4.20 or newer',
)

function parseOutput(texts: NetworkTexts): IpOutput | undefined {
  const links = parseLinks(texts.links)
  const [routes4, routes6] = [parseRoutes(texts.routes4), parseRoutes(texts.routes6)]
  const [rules4, rules6] = [parseRules(texts.rules4), parseRules(texts.rules6)]
  if (!(links && routes4 && routes6 && rules4 && rules6)) return undefined
  return { links, routes: both(routes4, routes6), rules: both(rules4, rules6) }
}

function both<T>(four: T[], six: T[]): (T & { family: Family })[] {
  return [
    ...four.map((entry) => ({ ...entry, family: 4 as const })),
    ...six.map((entry) => ({ ...entry, family: 6 as const })),
  ]
}

function linkOf(link: IpLink, output: IpOutput, facts: InterfaceFacts = { acceptRa: 0 }): Link {
  const routes = output.routes.filter(({ dev }) => dev === link.ifname)
  const addresses = addressesOf(link, routes)
  const sharesMac = output.links.some(
    ({ ifname, address }) => ifname !== link.ifname && address === link.address,
  )
  return {
    mac: macOf(link),
    ...(sharesMac && facts.driver !== undefined && { driver: facts.driver }),
    ...(link.mtu !== 1500 && { mtu: link.mtu }),
    addresses,
    routes: routesOf(routes, addresses),
    dynamic4: dynamic4Of(addresses, routes),
    ...(facts.clientId !== undefined && { clientId: facts.clientId }),
    dynamic6: dynamic6Of(link, routes, facts.acceptRa > 0),
  }
}
