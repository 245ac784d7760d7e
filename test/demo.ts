import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { main } from '../src/cli/program.ts'
import { distFolder } from '../src/host/assets.ts'
import { realHost } from '../src/host/real-host.ts'
import { bootDisk } from './support/boot-disk.ts'

// The main job on a disk in a file: what a server does, without a server. Every command is one a user types.

const host = realHost()
const dir = mkdtempSync(join(tmpdir(), 'pine-demo-'))
process.chdir(dir)

// Real machine code, so that the sizes below mean something.
const RUNTIME = readFileSync(process.execPath).subarray(0, 12 * 1024 * 1024)

function say(text: string): void {
  process.stdout.write(`\n\u2500\u2500 ${text}\n`)
}

async function pine(line: string, expectedExit = 0): Promise<void> {
  process.stdout.write(`$ pine-update ${line}\n`)
  const exit = await main(line.split(' '), {
    host,
    stdout: (text) => void process.stdout.write(text.replace(/^/gm, '  ').replace(/ +$/, '')),
    stderr: (text) => void process.stderr.write(text),
    interactive: process.stderr.isTTY,
    stdin: process.stdin,
  })
  if (exit !== expectedExit) throw new Error(`"${line}" ended with ${exit}, expected ${expectedExit}`)
}

async function boot(disk: string): Promise<void> {
  process.stdout.write(`(the loader starts slot ${await bootDisk(host, disk)})\n`)
}

/** A small root file system: 12 MB that stay, and what the release changes. */
function makeTree(version: string, page: string): void {
  const tree = `tree-${version}`
  mkdirSync(join(tree, 'etc'), { recursive: true })
  mkdirSync(join(tree, 'usr/share/web'), { recursive: true })
  writeFileSync(join(tree, 'usr/share/web/runtime'), RUNTIME)
  utimesSync(join(tree, 'usr/share/web/runtime'), 0, 0)
  writeFileSync(join(tree, 'etc/release'), `${version}\n`)
  writeFileSync(join(tree, 'usr/share/web/index.html'), page)
}

function serveCheck(script: string): void {
  mkdirSync('health.d', { recursive: true })
  writeFileSync('health.d/10-web', `#!/bin/sh\n${script}\n`)
  chmodSync('health.d/10-web', 0o755)
}

async function demo(): Promise<void> {
  const layout = join(distFolder(), 'layouts/gpt-bios-tiny.sfdisk')
  writeFileSync(
    'demo.toml',
    'keyring = "keys"\n[health]\ndirectories = ["health.d"]\nsystemd = false\nsettle = 0\n',
  )
  const onDisk = '--disk host.img --config demo.toml'

  say('a key, and three releases of a small system')
  mkdirSync('keys')
  await pine('key generate --out keys/ci --comment demo')
  makeTree('1.0', 'hello\n')
  makeTree('2.0', 'hello, world\n')
  makeTree('3.0', '')
  for (const version of ['1.0', '2.0', '3.0']) {
    await pine(`image build --tree tree-${version} --out ${version}.squashfs`)
  }

  say('a server\u2019s disk from a layout, 512 MiB, in a file')
  await pine(
    `disk build --layout ${layout} --size 512M --image 1.0.squashfs --compatible demo --release 1.0 --out host.img`,
  )
  await boot('host.img')
  await pine(`status ${onDisk}`)

  say('CI makes a signed delta bundle')
  const create = 'bundle create --compatible demo --key keys/ci.key'
  await pine(`${create} --from 1.0.squashfs --to 2.0.squashfs --release 2.0 --out 2.0.bundle`)

  say('the server applies it: first the plan, then for real')
  await pine(`apply 2.0.bundle --dry-run ${onDisk}`)
  await pine(`apply 2.0.bundle ${onDisk}`)
  await pine(`status ${onDisk}`)

  say('reboot: 2.0 is on trial, its health checks pass, it becomes permanent')
  await boot('host.img')
  serveCheck('exit 0')
  await pine(`health --boot ${onDisk}`)
  await pine(`status ${onDisk}`)

  say('3.0 has an empty page: it boots, its health check fails, the server goes back to 2.0')
  await pine(`${create} --from 2.0.squashfs --to 3.0.squashfs --release 3.0 --out 3.0.bundle`)
  await pine(`apply 3.0.bundle ${onDisk}`)
  await boot('host.img')
  serveCheck('echo "the page is empty"; exit 1')
  await pine(`health --boot ${onDisk}`, 4)
  await boot('host.img')
  await pine(`status ${onDisk}`)

  say('and 3.0 is not applied again')
  await pine(`apply 3.0.bundle ${onDisk}`, 3)
}

void demo()
  .then(() => say('done'))
  .finally(() => {
    process.chdir('/')
    rmSync(dir, { recursive: true, force: true })
  })
