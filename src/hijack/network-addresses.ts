import { familyOf, isEui64, isLinkLocal } from './ip-address.ts'
import { FOREVER, type IpAddress, type IpLink, type IpRoute } from './ip-output.ts'
import type { Address } from './network.ts'

/** The addresses of a link that are its own: not those that every interface makes for itself. */
export function addressesOf(link: IpLink, routes: readonly IpRoute[]): Address[] {
  // Some servers lease for ever: such an address looks static, and only the route that came with it tells.
  const leased = new Set(routes.filter(({ protocol }) => protocol === 'dhcp').map(({ prefsrc }) => prefsrc))
  return link.addr_info.flatMap((said) => {
    if (said.local === undefined || !isKept(said, said.local, link)) return []
    const { local, address, prefixlen } = said
    return {
      cidr: `${local}/${prefixlen}`,
      ...(address !== undefined && { peer: `${address}/${prefixlen}` }),
      dynamic: isDynamic(said) || leased.has(local),
    }
  })
}

function isKept({ scope, temporary, deprecated, dynamic }: IpAddress, local: string, link: IpLink): boolean {
  if (scope === 'host' || temporary || (deprecated && dynamic)) return false
  // A provider may route to a link-local address: one that the kernel would not make again is kept.
  return !isLinkLocal(local) || !isEui64(local, link.permaddr ?? link.address)
}

function isDynamic({ dynamic, valid_life_time, protocol }: IpAddress): boolean {
  return dynamic || valid_life_time < FOREVER || protocol === 'kernel_ra'
}

export function dynamic4Of(addresses: readonly Address[], routes: readonly IpRoute[]): boolean {
  const isLeased = addresses.some(({ cidr, dynamic }) => dynamic && familyOf(cidr) === 4)
  return isLeased || routes.some(({ protocol, dst }) => protocol === 'dhcp' && !dst.includes(':'))
}

/** Whoever has set them, addresses of the length 128 are leased; of others a kernel that does not listen tells. */
export function dynamic6Of(
  link: IpLink,
  routes: readonly IpRoute[],
  listens: boolean,
): 'none' | 'ra' | 'dhcp' {
  const found = link.addr_info.filter((said) => said.family === 'inet6' && isDynamic(said))
  const hasHeard =
    routes.some(({ protocol }) => protocol === 'ra') || found.some(({ mngtmpaddr }) => mngtmpaddr)
  const isLeased = found.some(({ prefixlen, mngtmpaddr }) =>
    mngtmpaddr ? false : prefixlen === 128 || !(hasHeard || listens),
  )
  if (isLeased) return 'dhcp'
  return hasHeard || found.length > 0 ? 'ra' : 'none'
}
