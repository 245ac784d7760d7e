// Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header": positions in the file.
const FIELD = {
  setupSectors: 0x1f1,
  bootFlag: 0x1fe,
  header: 0x202,
  version: 0x206,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
} as const
const HEADER_END = 0x250
const BOOT_FLAG = 0xaa55
const HEADER_MAGIC = 'HdrS'
const VERSION_WITH_PAYLOAD = 0x0208
const SECTOR_BYTES = 512
const DEFAULT_SETUP_SECTORS = 4

/** The compressed kernel inside an x86 bzImage, with the four bytes of length that may follow it. */
export function bzImagePayload(file: Buffer): { at: number; bytes: number } | undefined {
  if (file.length < HEADER_END || file.readUInt16LE(FIELD.bootFlag) !== BOOT_FLAG) return undefined
  if (file.toString('latin1', FIELD.header, FIELD.header + 4) !== HEADER_MAGIC) return undefined
  if (file.readUInt16LE(FIELD.version) < VERSION_WITH_PAYLOAD) return undefined
  // One more sector than that: the boot sector. The offset counts from the protected-mode code behind them.
  const setupSectors = file.readUInt8(FIELD.setupSectors) || DEFAULT_SETUP_SECTORS
  const at = (setupSectors + 1) * SECTOR_BYTES + file.readUInt32LE(FIELD.payloadOffset)
  const bytes = file.readUInt32LE(FIELD.payloadLength)
  return at + bytes <= file.length ? { at, bytes } : undefined
}
