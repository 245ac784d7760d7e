import { basename } from 'node:path'
import type { Host } from '../host/host.ts'
import type { InterfaceFacts, NetworkTexts } from './network.ts'

/** Asks the running kernel; changes nothing. */
export async function readNetwork(host: Host): Promise<NetworkTexts> {
  // Without IPv6 in the kernel ip(8) fails.
  const has6 = (await host.kindOf('/proc/sys/net/ipv6')) === 'folder'
  const ip = (...args: string[]) => host.exec('ip', ['-j', ...args])
  const ip6 = (...args: string[]) => (has6 ? ip('-6', ...args) : Promise.resolve(''))
  return {
    links: await ip('-d', 'addr', 'show'),
    routes4: await ip('-4', 'route', 'show', 'table', 'main'),
    routes6: await ip6('route', 'show', 'table', 'main'),
    rules4: await ip('-4', 'rule', 'show'),
    rules6: await ip6('rule', 'show'),
    resolvConf: await text(host, '/etc/resolv.conf'),
    resolvedConf: await text(host, '/run/systemd/resolve/resolv.conf'),
    byInterface: await readInterfaces(host),
  }
}

async function readInterfaces(host: Host): Promise<Map<string, InterfaceFacts>> {
  const facts = new Map<string, InterfaceFacts>()
  for (const name of await host.listFolder('/sys/class/net')) {
    const driver = await host.realPath(`/sys/class/net/${name}/device/driver`)
    const index = (await text(host, `/sys/class/net/${name}/ifindex`)).trim()
    facts.set(name, {
      acceptRa: Number(await text(host, `/proc/sys/net/ipv6/conf/${name}/accept_ra`)),
      driver: driver === undefined ? undefined : basename(driver),
      // A lease of systemd-networkd; others keep to themselves what they have sent.
      clientId: /^CLIENTID=([\da-f]+)$/m.exec(await text(host, `/run/systemd/netif/leases/${index}`))?.[1],
    })
  }
  return facts
}

async function text(host: Host, path: string): Promise<string> {
  return (await host.readFile(path))?.toString() ?? ''
}
