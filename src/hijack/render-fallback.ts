import { type Family, familyOf } from './ip-address.ts'
import type { Link, Network, Route } from './network.ts'

/**
 * Lines for src/system/network-fallback: the family that a line is of, the MAC address, and arguments of ip(8) in which DEV
 * stands for the interface. They give everything that was captured, what was leased included, gateways last.
 */
export function fallbackCommands({ links }: Network): string[] {
  return ([4, 6] as const).flatMap((family) => [
    ...links.map((link) => line(family, link, `link set dev DEV up mtu ${link.mtu ?? 1500}`)),
    ...links.flatMap((link) => addressLines(family, link)),
    ...links.flatMap((link) => routeLines(family, link, (route) => route.via === undefined)),
    ...links.flatMap((link) =>
      routeLines(family, link, (route) => route.via !== undefined && route.to !== 'default'),
    ),
    ...links.flatMap((link) => routeLines(family, link, (route) => route.to === 'default')),
  ])
}

function line(family: Family, { mac }: Link, command: string): string {
  return `${family} ${mac} ${command}`
}

function addressLines(family: Family, link: Link): string[] {
  const own = link.addresses.filter(({ cidr }) => familyOf(cidr) === family)
  return own.map(({ cidr, peer }) => {
    const local = peer === undefined ? cidr : `${cidr.split('/')[0]} peer ${peer}`
    // It must be there at once: a route may name it as its source.
    return line(family, link, `address replace ${local} dev DEV${family === 6 ? ' nodad' : ''}`)
  })
}

function routeLines(family: Family, link: Link, isWanted: (route: Route) => boolean): string[] {
  const own = link.routes.filter((route) => route.family === family && isWanted(route))
  return own.map(({ to, via, onLink, metric, source }) => {
    const words = [
      `route replace ${to}`,
      ...(via === undefined ? [] : [`via ${familyOf(via) === family ? '' : 'inet6 '}${via}`]),
      'dev DEV',
      ...(metric === undefined ? [] : [`metric ${metric}`]),
      ...(source === undefined ? [] : [`src ${source}`]),
      ...(onLink ? ['onlink'] : []),
    ]
    return line(family, link, words.join(' '))
  })
}
