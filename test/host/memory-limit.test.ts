import { expect, test } from 'vitest'
import { memoryLeftInGroups } from '../../src/host/memory-limit.ts'

const MiB = 1024 * 1024

/** What is left where /proc and /sys look like that. */
function left(files: Readonly<Record<string, string>>): Promise<number> {
  const readFile = async (path: string) => {
    const text = files[path]
    return text === undefined ? undefined : Buffer.from(`${text}\n`)
  }
  return memoryLeftInGroups({ readFile })
}

const V2 = '/sys/fs/cgroup'
const V1 = '/sys/fs/cgroup/memory'

test('a service of systemd may use what its limit leaves, and the cache that the kernel takes back', async () => {
  const group = `${V2}/system.slice/updater.service`
  expect(
    await left({
      '/proc/self/cgroup': '0::/system.slice/updater.service',
      [`${group}/memory.max`]: String(128 * MiB),
      [`${group}/memory.current`]: String(100 * MiB),
      [`${group}/memory.stat`]: `anon 1\ninactive_file ${30 * MiB}\nactive_file 7`,
    }),
  ).toBe(58 * MiB)
})

test('the limit of a slice holds for what is in it', async () => {
  expect(
    await left({
      '/proc/self/cgroup': '0::/system.slice/updater.service',
      [`${V2}/system.slice/updater.service/memory.max`]: 'max',
      [`${V2}/system.slice/updater.service/memory.current`]: String(10 * MiB),
      [`${V2}/system.slice/memory.max`]: String(64 * MiB),
      [`${V2}/system.slice/memory.current`]: String(60 * MiB),
    }),
  ).toBe(4 * MiB)
})

test('in a container only the root is there, and it is the container', async () => {
  const self = '4:memory:/docker/0123\n0::/'
  const limit = { [`${V1}/memory.limit_in_bytes`]: String(96 * MiB), [`${V1}/memory.usage_in_bytes`]: '0' }
  expect(await left({ '/proc/self/cgroup': self, ...limit })).toBe(96 * MiB)
})

test('with the first version of cgroups, whatever shares its line', async () => {
  const group = `${V1}/jobs`
  expect(
    await left({
      '/proc/self/cgroup': '9:name=systemd:/\n4:cpuset,memory,pids:/jobs\n0::/',
      [`${group}/memory.limit_in_bytes`]: String(80 * MiB),
      [`${group}/memory.usage_in_bytes`]: String(90 * MiB),
      [`${group}/memory.stat`]: `inactive_file 1\ntotal_inactive_file ${20 * MiB}`,
    }),
  ).toBe(10 * MiB)
})

test('more in use than allowed leaves nothing', async () => {
  const files = { [`${V2}/memory.max`]: '1000', [`${V2}/memory.current`]: '5000' }
  expect(await left({ '/proc/self/cgroup': '0::/', ...files })).toBe(0)
})

test.each([
  ['no cgroups', {}],
  [
    'no limit',
    { '/proc/self/cgroup': '0::/x', [`${V2}/x/memory.max`]: 'max', [`${V2}/x/memory.current`]: '1' },
  ],
  ['a kernel without the controller', { '/proc/self/cgroup': '4:cpu:/x\n0::/x' }],
])('with %s nothing is limited', async (_what, files) => {
  expect(await left(files)).toBe(Number.POSITIVE_INFINITY)
})
