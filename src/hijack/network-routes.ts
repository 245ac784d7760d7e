import { type Family, familyOf, isInside, isLinkLocal, toCidr } from './ip-address.ts'
import type { IpRoute } from './ip-output.ts'
import type { Address, Route } from './network.ts'

/** What the kernel gives a route of IPv6 that names none. */
const METRIC6 = 1024

type Said = IpRoute & { family: Family }

/** Routes of a link that are not the kernel's own, nor a routing daemon's. */
export function routesOf(said: readonly Said[], addresses: readonly Address[]): Route[] {
  const kept = said.filter(isKept)
  const lease = kept.find((route) => isUnlabelledLease(route, addresses))
  return kept.map((route) => {
    const { family, metric, prefsrc } = route
    const via = route.gateway ?? route.via?.host
    return {
      family,
      to: route.dst === 'default' ? 'default' : toCidr(route.dst),
      ...(via !== undefined && { via }),
      onLink: via !== undefined && (route.flags.includes('onlink') || isBeyond(via, addresses)),
      ...(metric !== undefined && metric !== (family === 6 ? METRIC6 : 0) && { metric }),
      ...(prefsrc !== undefined && { source: prefsrc }),
      dynamic: isDynamic(route) || route === lease || isWayTo(lease, route),
    }
  })
}

function isKept({ type, dst, protocol, nexthops }: IpRoute): boolean {
  if (type !== 'unicast' || protocol === 'kernel' || nexthops.length > 0) return false
  return dst === 'default' || ['boot', 'static', 'dhcp', 'ra', 'redirect'].includes(protocol)
}

function isDynamic({ protocol, expires }: IpRoute): boolean {
  return ['dhcp', 'ra', 'redirect'].includes(protocol) || expires !== undefined
}

/** dhclient(8) labels nothing: of a link that has leased addresses only, such a default route is part of the lease. */
function isUnlabelledLease({ family, dst, protocol }: Said, addresses: readonly Address[]): boolean {
  const own = addresses.filter(({ cidr }) => familyOf(cidr) === 4)
  const isLease = own.length > 0 && own.every(({ dynamic }) => dynamic)
  return isLease && family === 4 && dst === 'default' && protocol === 'boot'
}

/** It leads to the gateway of a lease, where that is outside of the leased network. */
function isWayTo(lease: Said | undefined, { dst, gateway, protocol }: Said): boolean {
  return lease?.gateway !== undefined && gateway === undefined && protocol === 'boot' && dst === lease.gateway
}

function isBeyond(gateway: string, addresses: readonly Address[]): boolean {
  if (isLinkLocal(gateway)) return false
  return !addresses.some(
    ({ cidr, peer }) => isInside(gateway, cidr) || (peer !== undefined && isInside(gateway, peer)),
  )
}
