import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MAX_OUTPUT = 256 * 1024 * 1024

/** What a program writes to its standard output. */
export function pipe(program: string, args: readonly string[], input: Buffer): Buffer {
  return execFileSync(program, args, {
    input,
    maxBuffer: MAX_OUTPUT,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
}

/** The same for a file with this content, named last: programs write other headers when they know the length. */
export function fromFile(program: string, args: readonly string[], content: Buffer): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'pine-nested-'))
  try {
    writeFileSync(join(dir, 'content'), content)
    return execFileSync(program, [...args, 'content'], {
      cwd: dir,
      maxBuffer: MAX_OUTPUT,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** An archive in the format of initramfs, made by GNU cpio. */
export function cpioArchive(files: Readonly<Record<string, Buffer>>): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'pine-cpio-'))
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content)
    return execFileSync('cpio', ['--create', '--format=newc', '--quiet'], {
      cwd: dir,
      input: `.\n${Object.keys(files).join('\n')}\n`,
      maxBuffer: MAX_OUTPUT,
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Text that compresses like a changelog does: long enough, GNU gzip ends blocks in it where zlib does not. */
export function prose(bytes: number, seed = 1): Buffer {
  const words: string[] = []
  let length = 0
  let state = seed
  while (length < bytes) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const word = (state >>> 8) % (1 + ((state >>> 20) % 900))
    const text = `${word.toString(36)}${'aeiou'[word % 5]}${(word * 7).toString(36)}${word % 9 === 0 ? '\n' : ' '}`
    words.push(text)
    length += text.length
  }
  return Buffer.from(words.join('').slice(0, bytes))
}

/** A kernel image as far as the boot loader reads it: one setup sector, then other code, the payload, its length, more code. */
export function bzImage(payload: Buffer): Buffer {
  const before = 777
  const file = Buffer.alloc(1024 + before + payload.length + 5000, 0x90)
  file[0x1f1] = 1
  file.writeUInt16LE(0xaa55, 0x1fe)
  file.write('HdrS', 0x202)
  file.writeUInt16LE(0x020f, 0x206)
  file.writeUInt32LE(before, 0x248)
  file.writeUInt32LE(payload.length, 0x24c)
  payload.copy(file, 1024 + before)
  return file
}
