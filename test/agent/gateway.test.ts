import { execFileSync, spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { requireGateway } from '../../src/agent/gateway.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'

// Two network namespaces of the kernel with a cable between them: a server, and its gateway.

const [SERVER, GATEWAY] = [`pine-server-${process.pid}`, `pine-gateway-${process.pid}`]
const canNest = spawnSync('ip', ['netns', 'add', SERVER]).status === 0
if (canNest) execFileSync('ip', ['netns', 'del', SERVER])
else console.log('skipped: "ip netns add" is not allowed here, so no gateway can be had')

function ip(line: string): void {
  execFileSync('ip', line.split(' '), { stdio: 'pipe' })
}

/** Whatever looks at the network does so from the server. */
function onServer(): Host {
  const host = realHost()
  return {
    ...host,
    exec: (command, args, options) =>
      host.exec('ip', ['netns', 'exec', SERVER, command, ...(args ?? [])], options),
    async connect(address, port, timeoutMs) {
      const open = `exec 3<>/dev/tcp/${address}/${port}`
      await host.exec('ip', [
        'netns',
        'exec',
        SERVER,
        'timeout',
        String(timeoutMs / 1000),
        'bash',
        '-c',
        open,
      ])
    },
  }
}

const ask = () => requireGateway(onServer(), 4000)

describe.runIf(canNest)('whether the network leads anywhere', () => {
  beforeEach(() => {
    for (const name of [SERVER, GATEWAY]) ip(`netns add ${name}`)
    ip(`link add eth0 netns ${SERVER} type veth peer name eth0 netns ${GATEWAY}`)
    for (const name of [SERVER, GATEWAY]) ip(`-n ${name} link set eth0 up`)
    ip(`-n ${GATEWAY} addr add 192.0.2.1/24 dev eth0`)
    ip(`-n ${GATEWAY} addr add fe80::1/64 dev eth0 nodad`)
  })
  afterEach(() => {
    for (const name of [SERVER, GATEWAY]) ip(`netns del ${name}`)
  })

  test('the gateway answers', async () => {
    ip(`-n ${SERVER} addr add 192.0.2.7/24 dev eth0`)
    ip(`-n ${SERVER} route add default via 192.0.2.1`)
    await ask()
  })

  test('an address of its own, and the gateway outside of it', async () => {
    ip(`-n ${SERVER} addr add 198.51.100.7/32 dev eth0`)
    ip(`-n ${SERVER} route add 192.0.2.1 dev eth0`)
    ip(`-n ${SERVER} route add default via 192.0.2.1 dev eth0`)
    ip(`-n ${GATEWAY} route add 198.51.100.7 dev eth0`)
    await ask()
  })

  test('only IPv6 leads out', async () => {
    ip(`-n ${SERVER} addr add fe80::7/64 dev eth0 nodad`)
    ip(`-n ${SERVER} -6 route add default via fe80::1 dev eth0`)
    await ask()
  })

  test('a route that needs no gateway', async () => {
    ip(`-n ${SERVER} route add default dev eth0`)
    await ask()
  })

  test('no route: said so', async () => {
    ip(`-n ${SERVER} addr add 192.0.2.7/24 dev eth0`)
    await expect(ask()).rejects.toThrow('there is no default route')
  })

  test('nobody is where the gateway should be: said which', async () => {
    ip(`-n ${SERVER} addr add 192.0.2.7/24 dev eth0`)
    ip(`-n ${SERVER} route add default via 192.0.2.9`)
    await expect(ask()).rejects.toThrow('no gateway answers: 192.0.2.9 on eth0')
  })

  test('the cable is out', async () => {
    ip(`-n ${SERVER} addr add 192.0.2.7/24 dev eth0`)
    ip(`-n ${SERVER} route add default via 192.0.2.1`)
    ip(`-n ${GATEWAY} link set eth0 down`)
    await expect(ask()).rejects.toThrow('no gateway answers')
  })
})
