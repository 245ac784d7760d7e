import type { Host } from '../host/host.ts'

/** A default route; those to a tunnel or of some containers have no gateway. */
interface Way {
  gateway: string | undefined
  link: string
}

/** `discard`: nobody has to listen there, since the address is looked for before. */
const ANY_PORT = 9
const ANSWERED = /\blladdr\b.*\b(REACHABLE|STALE|DELAY|PROBE|PERMANENT)\b/

/** Throws, with words for a person, unless a default route leads somewhere: its gateway has answered. */
export async function requireGateway(host: Host, timeoutMs: number): Promise<void> {
  const ways = await defaultRoutes(host)
  if (ways.length === 0) throw new Error('there is no default route')
  for (const way of ways) if (await leadsSomewhere(host, way, timeoutMs)) return
  const silent = ways.map(({ gateway, link }) => `${gateway} on ${link}`).join(', ')
  throw new Error(`no gateway answers: ${silent}`)
}

async function defaultRoutes(host: Host): Promise<Way[]> {
  const ways: Way[] = []
  for (const family of ['-4', '-6']) {
    // Without IPv6 in the kernel ip(8) fails.
    const listed = await host.exec('ip', [family, 'route', 'show', 'default']).catch(() => '')
    for (const [, gateway, link = ''] of listed.matchAll(/^default(?: via(?: inet6)? (\S+))?.*? dev (\S+)/gm))
      ways.push({ gateway, link })
  }
  return ways
}

async function leadsSomewhere(host: Host, { gateway, link }: Way, timeoutMs: number): Promise<boolean> {
  if (gateway === undefined) return true
  const address = gateway.startsWith('fe80:') ? `${gateway}%${link}` : gateway
  // Has the kernel ask for its hardware address. A refusal, or no answer to TCP, is as good as a connection.
  await host.connect(address, ANY_PORT, timeoutMs).catch(() => undefined)
  return ANSWERED.test(await host.exec('ip', ['neighbour', 'show', 'to', gateway, 'dev', link]))
}
