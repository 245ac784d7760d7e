import type { IpLink } from './ip-output.ts'
import type { IpOutput, Network } from './network.ts'
import { defaultDevices, describeLink, isMadeForContainers, isNic, macOf } from './network-links.ts'
import { type Problem, stop, warn } from './problem.ts'

/** What every Linux starts with. */
const PLAIN_RULES = new Set(['0 local', '32766 main', '32767 default'])

type Rule = (network: Network, output: IpOutput) => (Problem | undefined)[]

const RULES: readonly Rule[] = [
  hasDefault,
  defaultIsOnNic,
  oneGateway,
  noPolicies,
  lostLinks,
  changedMacs,
  hasNameServer,
]

/** Everything of a network that is lost on the way, and what makes that a reason to stop. */
export function networkProblems(network: Network, output: IpOutput): Problem[] {
  return RULES.flatMap((rule) => rule(network, output)).flatMap((problem) => problem ?? [])
}

function hasDefault(_: Network, output: IpOutput): (Problem | undefined)[] {
  if (defaultDevices(output).size > 0) return []
  return [
    stop('there is no default route: how this machine is reached is unknown', 'set one in the main table'),
  ]
}

function defaultIsOnNic(_: Network, output: IpOutput): (Problem | undefined)[] {
  const carriers = defaultDevices(output)
  const others = output.links.filter((link) => carriers.has(link.ifname) && !isNic(link))
  return others.map((link) =>
    stop(
      `the default route is on ${describeLink(link)}, expected a network card: what is built on one is not carried over`,
      'move the addresses and the default route to the network card itself',
    ),
  )
}

function oneGateway(_: Network, { routes }: IpOutput): (Problem | undefined)[] {
  return routes
    .filter(({ nexthops }) => nexthops.length > 0)
    .map(({ dst }) => {
      const text = `the route to ${dst} has several gateways, which is not carried over`
      return dst === 'default'
        ? stop(text, 'leave it one gateway')
        : warn(text, 'add it in /etc/systemd/network of the new system')
    })
}

function noPolicies(_: Network, { rules }: IpOutput): (Problem | undefined)[] {
  const others = rules.filter(({ priority, table }) => !PLAIN_RULES.has(`${priority} ${table}`))
  if (others.length === 0) return []
  const found = others.map(({ family, priority }) => `${priority} (IPv${family})`).join(', ')
  return [
    stop(
      `there are policy routing rules, which are not carried over: ${found}`,
      'end what has made them; "ip rule" shows them',
    ),
  ]
}

function lostLinks(_: Network, output: IpOutput): (Problem | undefined)[] {
  const carriers = defaultDevices(output)
  return output.links
    .filter((link) => !isNic(link) && !isMadeForContainers(link) && !carriers.has(link.ifname))
    .filter((link) => link.addr_info.some(({ scope }) => scope === 'global'))
    .map((link) =>
      warn(
        `${describeLink(link)} and its addresses are not carried over`,
        'set it up in the new system, where it is needed',
      ),
    )
}

function changedMacs({ links }: Network, output: IpOutput): (Problem | undefined)[] {
  return output.links
    .filter((link) => isChanged(link) && links.some(({ mac }) => mac === macOf(link)))
    .map(({ ifname, address, permaddr }) =>
      warn(
        `the MAC address of ${ifname} was changed to ${address}; the new system uses ${permaddr}, which the card came with`,
        'make sure that the network accepts it',
      ),
    )
}

function isChanged({ address, permaddr, master }: IpLink): boolean {
  return master === undefined && permaddr !== undefined && permaddr !== address
}

function hasNameServer({ dns }: Network): (Problem | undefined)[] {
  if (dns.length > 0) return []
  return [
    warn(
      'no name server outside of this machine is known: names will not be found',
      'name one in /etc/resolv.conf',
    ),
  ]
}
