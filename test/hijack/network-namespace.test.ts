import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Network, type NetworkTexts, parseNetwork } from '../../src/hijack/network.ts'
import { renderNetwork } from '../../src/hijack/render-network.ts'

const SYSTEM = join(import.meta.dirname, '../../src/system')
const NETWORKD = '/lib/systemd/systemd-networkd'
const ASSETS = {
  script: readFileSync(join(SYSTEM, 'network-fallback')),
  unit: readFileSync(join(SYSTEM, 'pine-update-network-fallback.service')),
}

const top = mkdtempSync(join(tmpdir(), 'pine-net-'))
afterAll(() => rmSync(top, { recursive: true, force: true }))

/** Cards with a cable each, of which the other end is up. */
const CARDS = (names: Record<string, string>) =>
  Object.entries(names)
    .map(
      ([name, mac]) =>
        `ip link add ${name} address ${mac} type veth peer name p-${name}; ip link set p-${name} up`,
    )
    .join('; ')

const SHOW = `
echo ---; ip -j -d addr show
echo ---; ip -j -4 route show table main
echo ---; ip -j -6 route show table main
echo ---; ip -j -4 rule show
echo ---; ip -j -6 rule show
echo ---; ip -4 route show; ip -6 route show
`

/** Runs a script in a network of its own, and reads what the kernel says there in the end. */
function inNamespace(script: string): { texts: NetworkTexts; routes: string } {
  const args = ['--net', '--mount', 'sh', '-euc', `ip link set lo up; ${script}\n${SHOW}`]
  const [, links = '', routes4 = '', routes6 = '', rules4 = '', rules6 = '', routes = ''] = execFileSync(
    'unshare',
    args,
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } },
  ).split('---\n')
  const byInterface = new Map([['eth0', { acceptRa: 1 }]])
  const texts = {
    // A real card has no kind.
    links: links.replaceAll('"info_kind":"veth"', ''),
    routes4,
    routes6,
    rules4,
    rules6,
    resolvConf: 'nameserver 9.9.9.9',
    resolvedConf: '',
  }
  return { texts: { ...texts, byInterface }, routes }
}

const MACS = { eth0: '52:54:00:00:00:01', eth1: '52:54:00:00:00:02' }
/** Another kernel names them otherwise, and in another order. */
const RENAMED = CARDS({ ens9: MACS.eth1, ens3: MACS.eth0 })
const NAMES: Record<string, string> = { ens3: 'eth0', ens9: 'eth1' }

/** An old system: /32 with a gateway outside of it, IPv6 behind fe80::1, and a private network through a second card. */
const OLD = `${CARDS(MACS)}
ip link set eth0 up
ip link set eth1 mtu 1450 up
ip addr add 203.0.113.5/32 dev eth0
ip addr add 2001:db8:1::5/64 dev eth0 nodad
ip addr add 10.1.0.4/24 dev eth1
ip addr add 192.0.2.1 peer 192.0.2.2/32 dev eth1
ip route add 203.0.113.1 dev eth0 scope link
ip route add default via 203.0.113.1 dev eth0
ip -6 route add default via fe80::1 dev eth0
ip route add 10.0.0.0/8 via 10.1.0.1 dev eth1 metric 50 src 10.1.0.4
ip route add 198.51.100.0/24 via inet6 fe80::7 dev eth1
ip route add 172.20.0.0/16 via 172.31.1.1 dev eth1 onlink
`

function filesOf(network: Network, name: string): string {
  const folder = join(top, name)
  mkdirSync(folder, { recursive: true })
  for (const file of renderNetwork(network, ASSETS))
    if ('content' in file) writeFileSync(join(folder, basename(file.path)), file.content)
  return folder
}

/** Who has set a route is no difference, nor that the kernel was told what it found out by itself. */
function plainRoutes(text: string): string[] {
  const lines = text.split('\n').map((line) =>
    line
      .replaceAll(/ens\d/g, (name) => NAMES[name] ?? name)
      .replaceAll(/ proto static| onlink/g, '')
      .trim(),
  )
  return lines.filter((line) => line !== '' && !line.includes('dev p-')).sort()
}

/** Links in the order of their addresses, without what says the same in other words. */
function plainNetwork({ texts }: { texts: NetworkTexts }) {
  const { network, problems } = parseNetwork(texts)
  const links = network.links.map((link) => ({
    ...link,
    routes: link.routes.map((route) => JSON.stringify(route)).sort(),
  }))
  return { problems, links: links.sort((a, b) => a.mac.localeCompare(b.mac)) }
}

const isPossible = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', CARDS(MACS)]).status === 0
if (!isPossible) console.warn('skipped: networks of their own cannot be made here (unshare --net, ip, veth)')
if (!existsSync(NETWORKD)) console.warn(`skipped: ${NETWORKD} is not installed`)

describe.skipIf(!isPossible)('what the kernel says, and says again', () => {
  test('the real output of ip(8) is understood', () => {
    const { problems, links } = plainNetwork(inNamespace(OLD))
    expect(problems).toEqual([])
    expect(links.map(({ mac, mtu, addresses }) => [mac, mtu, addresses.map(({ cidr }) => cidr)])).toEqual([
      [MACS.eth0, undefined, ['203.0.113.5/32', '2001:db8:1::5/64']],
      [MACS.eth1, 1450, ['10.1.0.4/24', '192.0.2.1/32']],
    ])
  })

  test.each(['dash', 'busybox sh'])('the fallback gives it back under other names (%s)', (shell) => {
    const old = inNamespace(OLD)
    const folder = filesOf(parseNetwork(old.texts).network, 'fallback')
    const run = `${RENAMED}\n${shell} ${folder}/network-fallback ${folder}/network-fallback.conf 1 >&2`
    const now = inNamespace(run)
    expect(plainRoutes(now.routes)).toEqual(plainRoutes(old.routes))
    expect(plainNetwork(now)).toEqual(plainNetwork(old))
    // A second run changes nothing.
    expect(plainNetwork(inNamespace(`${run}\n${run.split('\n')[1]}`))).toEqual(plainNetwork(old))
  })

  test('the fallback leaves alone what has a default route, of each family for itself', () => {
    const folder = filesOf(parseNetwork(inNamespace(OLD).texts).network, 'alone')
    const now = inNamespace(`${RENAMED}
ip link set ens3 up
ip addr add 203.0.113.99/24 dev ens3
ip route add default via 203.0.113.1
dash ${folder}/network-fallback ${folder}/network-fallback.conf 1 >&2`)
    expect(plainRoutes(now.routes)).toContain('default via 203.0.113.1 dev eth0')
    expect(plainRoutes(now.routes)).toContain('default via fe80::1 dev eth0 metric 1024 pref medium')
    const [link] = plainNetwork(now).links
    expect(link?.addresses.map(({ cidr }) => cidr)).toEqual(['203.0.113.99/24', '2001:db8:1::5/64'])
  })

  test('a leased address is set by the fallback where nobody leases', () => {
    const old = inNamespace(`${CARDS(MACS)}
ip link set eth0 up
ip addr add 10.128.0.7/32 dev eth0 valid_lft 3600 preferred_lft 3600
ip route add 10.128.0.1 dev eth0 scope link
ip route add default via 10.128.0.1 dev eth0`)
    const { network } = parseNetwork(old.texts)
    expect(network.links[0]?.dynamic4).toBe(true)
    const folder = filesOf(network, 'lease')
    const now = inNamespace(
      `${RENAMED}\ndash ${folder}/network-fallback ${folder}/network-fallback.conf 1 >&2`,
    )
    expect(plainRoutes(now.routes)).toEqual(plainRoutes(old.routes))
  })

  test('a card that is not there is no reason to leave out the others', () => {
    const folder = filesOf(parseNetwork(inNamespace(OLD).texts).network, 'missing')
    const now = inNamespace(`${CARDS({ ens3: MACS.eth0 })}
dash ${folder}/network-fallback ${folder}/network-fallback.conf 1 >&2`)
    expect(plainRoutes(now.routes)).toContain('default via 203.0.113.1 dev eth0')
  })

  test.skipIf(!existsSync(NETWORKD))('systemd-networkd gives it back', () => {
    const old = inNamespace(OLD)
    const folder = filesOf(parseNetwork(old.texts).network, 'networkd')
    // Where /sys is read-only it asks no udev.
    const now = inNamespace(`${RENAMED}
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -r -t sysfs sysfs /sys
mkdir -p /run/systemd/network /run/systemd/netif
chown systemd-network:systemd-network /run/systemd/netif
cp ${folder}/*.network /run/systemd/network
${NETWORKD} >&2 &
# The last to come are the routes over links that are up.
waited=0
until ip -6 route show default | grep -q . && ip route | grep -q inet6 && ip route show default | grep -q .; do
  [ "$waited" -lt 150 ] || break
  sleep 0.2
  waited=$((waited + 1))
done
sleep 1
trap "kill $!" EXIT`)
    expect(plainRoutes(now.routes)).toEqual(plainRoutes(old.routes))
    expect(plainNetwork(now)).toEqual(plainNetwork(old))
  })
})
