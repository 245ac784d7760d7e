import { familyOf } from './ip-address.ts'

export interface NameServers {
  /** Addresses of name servers outside of this machine. */
  dns: string[]
  /** Domains in which short names are looked for. */
  search: string[]
}

/** From resolv.conf(5). Where it names only the stub of systemd-resolved(8), from the file with the servers behind. */
export function nameServersOf(texts: { resolvConf: string; resolvedConf: string }): NameServers {
  const [plain, behind] = [parse(texts.resolvConf), parse(texts.resolvedConf)]
  const { dns, search } =
    plain.dns.length > 0 && plain.dns.every(isStub) && behind.dns.length > 0 ? behind : plain
  return { dns: dns.filter(isOutside), search }
}

function parse(text: string): NameServers {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/))
  const dns = lines.flatMap(([word, address]) =>
    word === 'nameserver' && address !== undefined ? address : [],
  )
  // Of several the last one counts.
  const [, ...search] = lines.findLast(([word]) => word === 'search' || word === 'domain') ?? []
  return { dns, search: search.filter((domain) => domain !== '.') }
}

function isStub(address: string): boolean {
  return address === '127.0.0.53' || address === '127.0.0.54'
}

/** A scope, as in `fe80::1%eth0`, is the name of an interface, which changes. */
function isOutside(address: string): boolean {
  if (address.includes('%') || address === '::1') return false
  return familyOf(address) === 6 || !address.startsWith('127.')
}
