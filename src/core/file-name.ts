import { isUtf8 } from 'node:buffer'

const MOST_BYTES_OF_A_CHARACTER = 4
const ESCAPE = 0xdc00

/**
 * A name or path of a file system, which is bytes, as a string. A byte that is not part of UTF-8 becomes U+DC80 to U+DCFF, as
 * in Python (PEP 383): no two names become one, and `bytesOfName` gives the bytes back.
 */
export function nameOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString()
  let name = ''
  for (let at = 0; at < bytes.length; ) {
    const length = characterAt(bytes, at)
    name +=
      length === 0 ? String.fromCharCode(ESCAPE + (bytes[at] ?? 0)) : bytes.toString('utf8', at, at + length)
    at += length || 1
  }
  return name
}

/** Bytes of the character that begins there; 0 where none does. */
function characterAt(bytes: Buffer, at: number): number {
  for (let length = 1; length <= MOST_BYTES_OF_A_CHARACTER && at + length <= bytes.length; length++)
    if (isUtf8(bytes.subarray(at, at + length))) return length
  return 0
}

const ESCAPED = /[\udc80-\udcff]/u

/** True for a name whose bytes are UTF-8. */
export function isText(name: string): boolean {
  return !ESCAPED.test(name)
}

/** The bytes that `nameOf` made the name of. */
export function bytesOfName(name: string): Buffer {
  if (isText(name)) return Buffer.from(name)
  return Buffer.concat(
    Array.from(name, (char) => (isText(char) ? Buffer.from(char) : Buffer.of(char.charCodeAt(0) - ESCAPE))),
  )
}

/** Control codes, what turns the direction of text, bytes that are no text, spaces; and what marks a quoted name. */
const UNCLEAR = /[\p{C}\p{Z}"]/u
const TO_ESCAPE = /[\p{C}\p{Zl}\p{Zp}"\\]|(?! )\p{Zs}/gu

/**
 * A name as it can be printed on one line: as it is where nothing in it is unclear, else in double quotes, with `\xNN` for
 * each byte that does not print. No two names are shown alike.
 */
export function showName(name: string): string {
  if (name !== '' && !UNCLEAR.test(name)) return name
  const inside = name.replace(TO_ESCAPE, (char) =>
    char === '"' || char === '\\' ? `\\${char}` : bytesOfName(char).toString('hex').replace(/../g, '\\x$&'),
  )
  return `"${inside}"`
}
