import { decodeGuid, encodeGuid } from './gpt-entry.ts'

/** What firmware can start: the content of a `Boot####` variable. UEFI 2.10 §3.1.3, EFI_LOAD_OPTION */
export interface LoadOption {
  description: string
  /** Undefined for what is no file of a partition with GPT: a whole disk, a network card, the firmware's menu. */
  file: OptionFile | undefined
}

export interface OptionFile {
  /** GUID of the partition, lower case. */
  partition: string
  /** With slashes, and none at its start: `EFI/debian/shimx64.efi`. */
  path: string
}

/** How firmware finds a partition: UEFI 2.10 §10.3.5.1. In sectors of the disk. */
export interface OptionPlace {
  number: number
  firstLba: number
  sectors: number
  guid: string
}

const ACTIVE = 1
const HEADER_BYTES = 6
const NODE_BYTES = 4
const MEDIA = 4
const HARD_DRIVE = 1
const FILE_PATH = 4
const HARD_DRIVE_BYTES = 42
const IS_GPT = 2
const IS_GUID = 2
const END = Buffer.from([0x7f, 0xff, NODE_BYTES, 0])

/** Undefined where the bytes are no load option; others than we write variables, and firmware has its own ideas. */
export function decodeLoadOption(bytes: Buffer): LoadOption | undefined {
  if (bytes.length < HEADER_BYTES) return undefined
  const description = textAt(bytes, HEADER_BYTES)
  if (description === undefined) return undefined
  const start = HEADER_BYTES + 2 * (description.length + 1)
  const list = bytes.subarray(start, start + bytes.readUInt16LE(4))
  return { description, file: fileOf(nodesOf(list)) }
}

/** Active, and without further data. Throws on what has no place in it. */
export function encodeLoadOption(description: string, place: OptionPlace, path: string): Buffer {
  const list = Buffer.concat([hardDrive(place), filePath(path), END])
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(ACTIVE, 0)
  header.writeUInt16LE(list.length, 4)
  return Buffer.concat([header, text(description), list])
}

/** UTF-16 up to its NUL; undefined where there is none. */
function textAt(bytes: Buffer, start: number): string | undefined {
  for (let at = start; at + 2 <= bytes.length; at += 2)
    if (bytes.readUInt16LE(at) === 0) return bytes.toString('utf16le', start, at)
  return undefined
}

function text(content: string): Buffer {
  return Buffer.from(`${content}\0`, 'utf16le')
}

interface Node {
  type: number
  subtype: number
  data: Buffer
}

/** Of a device path, up to what ends it or makes no sense. UEFI 2.10 §10.2 */
function nodesOf(list: Buffer): Node[] {
  const nodes: Node[] = []
  for (let at = 0; at + NODE_BYTES <= list.length; ) {
    const [type = 0, subtype = 0] = list.subarray(at, at + 2)
    const length = list.readUInt16LE(at + 2)
    if ((type & 0x7f) === 0x7f || length < NODE_BYTES || at + length > list.length) break
    nodes.push({ type, subtype, data: list.subarray(at + NODE_BYTES, at + length) })
    at += length
  }
  return nodes
}

/** A path may come in pieces. UEFI 2.10 §10.3.5.4 */
function fileOf(nodes: readonly Node[]): OptionFile | undefined {
  const media = nodes.filter(({ type }) => type === MEDIA)
  const partition = media.flatMap(({ subtype, data }) => (subtype === HARD_DRIVE ? guidOf(data) : []))[0]
  const pieces = media.filter(({ subtype }) => subtype === FILE_PATH).map(({ data }) => textAt(data, 0) ?? '')
  const names = pieces.flatMap((piece) => piece.split(/[\\/]/)).filter((name) => name !== '')
  // It becomes a path of the running system.
  const isPlain = names.length > 0 && !names.some((name) => name === '.' || name === '..')
  return partition === undefined || !isPlain ? undefined : { partition, path: names.join('/') }
}

function guidOf(data: Buffer): string[] {
  const isGuid = data.length === HARD_DRIVE_BYTES - NODE_BYTES && data[36] === IS_GPT && data[37] === IS_GUID
  return isGuid ? [decodeGuid(data, 20)] : []
}

function hardDrive({ number, firstLba, sectors, guid }: OptionPlace): Buffer {
  const node = Buffer.alloc(HARD_DRIVE_BYTES)
  node.set([MEDIA, HARD_DRIVE, HARD_DRIVE_BYTES, 0])
  node.writeUInt32LE(number, 4)
  node.writeBigUInt64LE(BigInt(firstLba), 8)
  node.writeBigUInt64LE(BigInt(sectors), 16)
  encodeGuid(guid).copy(node, 24)
  node.set([IS_GPT, IS_GUID], 40)
  return node
}

function filePath(path: string): Buffer {
  const name = text(`\\${path.replaceAll('/', '\\')}`)
  const node = Buffer.alloc(NODE_BYTES)
  node.set([MEDIA, FILE_PATH])
  node.writeUInt16LE(NODE_BYTES + name.length, 2)
  return Buffer.concat([node, name])
}
