import * as v from 'valibot'
import { parseJson } from '../core/json.ts'

// What ip(8) prints as JSON, as far as it is used; iproute2, ip/ipaddress.c, ip/iproute.c and ip/iprule.c.

/** A lifetime in seconds without end. */
export const FOREVER = 2 ** 32 - 1

const Flag = v.optional(v.boolean(), false)

const Ip = v.pipe(v.string(), v.ip())
/** `default`, an address, or an address and a length. */
const Destination = v.pipe(v.string(), v.check(isDestination))

function isDestination(text: string): boolean {
  const [, address = '', length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  return (
    text === 'default' || (v.is(Ip, address) && Number(length ?? 0) <= (address.includes(':') ? 128 : 32))
  )
}

const Address = v.object({
  family: v.string(),
  local: v.optional(Ip),
  /** The other end of a point-to-point address, whose length `prefixlen` then is. */
  address: v.optional(Ip),
  prefixlen: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(128)),
  scope: v.optional(v.string(), 'global'),
  dynamic: Flag,
  mngtmpaddr: Flag,
  temporary: Flag,
  deprecated: Flag,
  protocol: v.optional(v.string(), ''),
  valid_life_time: v.optional(v.number(), FOREVER),
})

const Link = v.object({
  ifindex: v.number(),
  ifname: v.string(),
  link_type: v.optional(v.string(), ''),
  address: v.optional(v.string(), ''),
  /** Only where `address` was changed. */
  permaddr: v.optional(v.string()),
  mtu: v.number(),
  master: v.optional(v.string()),
  linkinfo: v.optional(v.object({ info_kind: v.optional(v.string()) }), {}),
  addr_info: v.optional(v.array(Address), []),
})

const Hop = v.object({ dev: v.optional(v.string()) })

const Route = v.object({
  type: v.optional(v.string(), 'unicast'),
  dst: Destination,
  gateway: v.optional(Ip),
  /** The gateway where it is of the other family. */
  via: v.optional(v.object({ host: Ip })),
  dev: v.optional(v.string()),
  /** Left out for `boot`, which is what programs get that name none. */
  protocol: v.optional(v.string(), 'boot'),
  metric: v.optional(v.number()),
  prefsrc: v.optional(Ip),
  expires: v.optional(v.number()),
  flags: v.optional(v.array(v.string()), []),
  nexthops: v.optional(v.array(Hop), []),
})

const Rule = v.object({ priority: v.number(), table: v.optional(v.string(), '') })

export type IpAddress = v.InferOutput<typeof Address>
export type IpLink = v.InferOutput<typeof Link>
export type IpRoute = v.InferOutput<typeof Route>
export type IpRule = v.InferOutput<typeof Rule>

/** Undefined for what is no such output. */
export const parseLinks = (text: string): IpLink[] | undefined => parse(Link, text)
export const parseRoutes = (text: string): IpRoute[] | undefined => parse(Route, text)
export const parseRules = (text: string): IpRule[] | undefined => parse(Rule, text)

function parse<T>(shape: v.GenericSchema<unknown, T>, text: string): T[] | undefined {
  // Nothing to print is nothing at all, or a list; of what it leaves out, iproute2 before 5.0 prints {}.
  const listed = v.safeParse(v.array(v.looseObject({})), parseJson(text.trim() || '[]'))
  if (!listed.success) return undefined
  const parsed = v.safeParse(
    v.array(shape),
    listed.output.filter((entry) => Object.keys(entry).length > 0),
  )
  return parsed.success ? parsed.output : undefined
}
