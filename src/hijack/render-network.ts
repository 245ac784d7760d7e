import { type CapturedFile, textFile } from './captured.ts'
import type { Network } from './network.ts'
import { fallbackCommands } from './render-fallback.ts'
import { renderLink } from './render-link.ts'

/** Files of src/system that go along. */
export interface FallbackAssets {
  script: Buffer
  unit: Buffer
}

const NETWORK = '/etc/systemd/network'
const ENABLED = '/etc/systemd/system'
// On Debian 11 to 13 this is there, with and without a merged /usr.
const UNITS = '/lib/systemd/system'
const FALLBACK = '/etc/pine-update/network-fallback'
const HEAD = '# Made by "pine-update hijack" of what the kernel of the old system said.\n'

/** What makes systemd-networkd of the new system do as the old system did. */
export function renderNetwork(network: Network, { script, unit }: FallbackAssets): CapturedFile[] {
  return [
    ...network.links.map((link) =>
      textFile(`${NETWORK}/10-pine-${plain(link.mac)}.network`, HEAD + renderLink(link)),
    ),
    ...renderResolvConf(network),
    // Else ifupdown, where the image has it, works against networkd.
    textFile('/etc/network/interfaces', `${HEAD}auto lo\niface lo inet loopback\n`),
    ...ENABLING,
    textFile(`${FALLBACK}.conf`, `${HEAD}${fallbackCommands(network).join('\n')}\n`),
    { path: FALLBACK, mode: 0o755, uid: 0, gid: 0, content: script },
    { path: `${ENABLED}/${FALLBACK_UNIT}`, mode: 0o644, uid: 0, gid: 0, content: unit },
  ]
}

const FALLBACK_UNIT = 'pine-update-network-fallback.service'
const WAIT_ONLINE = 'systemd-networkd-wait-online.service'
const WAIT = `${HEAD}[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30
`

/** The links of "systemctl enable", and no boot that waits for ever. */
const ENABLING: readonly CapturedFile[] = [
  enabled('multi-user.target.wants', 'systemd-networkd.service'),
  enabled('sockets.target.wants', 'systemd-networkd.socket'),
  enabled('sysinit.target.wants', 'systemd-network-generator.service'),
  enabled('network-online.target.wants', WAIT_ONLINE),
  { path: `${ENABLED}/dbus-org.freedesktop.network1.service`, link: `${UNITS}/systemd-networkd.service` },
  { path: `${ENABLED}/multi-user.target.wants/${FALLBACK_UNIT}`, link: `${ENABLED}/${FALLBACK_UNIT}` },
  textFile(`${ENABLED}/${WAIT_ONLINE}.d/10-pine-takeover.conf`, WAIT),
]

function enabled(folder: string, unit: string): CapturedFile {
  return { path: `${ENABLED}/${folder}/${unit}`, link: `${UNITS}/${unit}` }
}

function plain(mac: string): string {
  return mac.replaceAll(':', '')
}

function renderResolvConf({ dns, search }: Network): CapturedFile[] {
  if (dns.length === 0) return []
  const lines = [
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...dns.map((at) => `nameserver ${at}`),
  ]
  return [textFile('/etc/resolv.conf', `${HEAD}${lines.join('\n')}\n`)]
}
