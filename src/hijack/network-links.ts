import type { IpLink } from './ip-output.ts'
import type { IpOutput } from './network.ts'

/** Interfaces that have the default route. */
export function defaultDevices({ routes }: Pick<IpOutput, 'routes'>): Set<string> {
  const defaults = routes.filter(({ dst, type }) => dst === 'default' && type === 'unicast')
  return new Set(
    defaults
      .flatMap(({ dev, nexthops }) => [dev, ...nexthops.map((hop) => hop.dev)])
      .flatMap((dev) => dev ?? []),
  )
}

/** A network card of its own: no part of a bond or bridge. What a program has made has a kind. */
export function isNic({ link_type, linkinfo, master }: IpLink): boolean {
  return link_type === 'ether' && linkinfo.info_kind === undefined && master === undefined
}

const MADE_FOR_CONTAINERS =
  /^(docker\d|br-[\da-f]{12}$|docker_gwbridge|podman|cni|lxcbr|lxdbr|virbr|flannel|cilium|kube-)/

/** An interface that programs make again by themselves when they are installed. */
export function isMadeForContainers({ ifname, link_type, linkinfo }: IpLink): boolean {
  return link_type === 'loopback' || linkinfo.info_kind === 'veth' || MADE_FOR_CONTAINERS.test(ifname)
}

/** As a person says it. */
export function describeLink({ ifname, link_type, linkinfo, master }: IpLink): string {
  if (master !== undefined) return `${ifname}, a part of ${master}`
  return `${ifname} (${linkinfo.info_kind ?? link_type})`
}

/** The address that the card came with. */
export function macOf({ permaddr, address }: IpLink): string {
  return (permaddr ?? address).toLowerCase()
}
