export type Family = 4 | 6

const BITS: Record<Family, number> = { 4: 32, 6: 128 }
/** RFC 4291, appendix A: what stands between the halves of a MAC address, of which one bit is turned. */
const EUI64_FILLER = 0xfffen
const UNIVERSAL_BIT = 1n << 57n

export function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4
}

/** Whether an address is in the network of a CIDR such as `192.0.2.7/24`, of which the host bits do not matter. */
export function isInside(address: string, cidr: string): boolean {
  const [network = '', length = ''] = cidr.split('/')
  const family = familyOf(network)
  if (familyOf(address) !== family) return false
  const hostBits = BigInt(BITS[family] - Number(length))
  return numberOf(address) >> hostBits === numberOf(network) >> hostBits
}

/** `10.0.0.1` is `10.0.0.1/32`; what has a length stays as it is. */
export function toCidr(address: string): string {
  return address.includes('/') ? address : `${address}/${BITS[familyOf(address)]}`
}

export function isLinkLocal(address: string): boolean {
  return isInside(address, 'fe80::/10')
}

/** Whether the lower half of an IPv6 address is made of a MAC address, as the kernel and networkd make it by default. */
export function isEui64(address: string, mac: string): boolean {
  if (familyOf(address) !== 6) return false
  const bytes = BigInt(`0x${mac.replaceAll(':', '')}`)
  const id = ((bytes >> 24n) << 40n) | (EUI64_FILLER << 24n) | (bytes & 0xffffffn)
  return BigInt.asUintN(64, numberOf(address)) === (id ^ UNIVERSAL_BIT)
}

function numberOf(address: string): bigint {
  return familyOf(address) === 4 ? number4(address) : number6(address)
}

function number4(address: string): bigint {
  return address.split('.').reduce((number, part) => (number << 8n) | BigInt(part), 0n)
}

function number6(address: string): bigint {
  const [left = '', right] = address.replace(/[\d.]+\.\d+$/, asGroups).split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const [head, tail] = [groups(left), groups(right ?? '')]
  const zeros = new Array<string>(right === undefined ? 0 : 8 - head.length - tail.length).fill('0')
  return [...head, ...zeros, ...tail].reduce((number, group) => (number << 16n) | BigInt(`0x${group}`), 0n)
}

/** The dotted end of `::ffff:192.0.2.1`, as two groups. */
function asGroups(dotted: string): string {
  const number = number4(dotted)
  return `${(number >> 16n).toString(16)}:${(number & 0xffffn).toString(16)}`
}
