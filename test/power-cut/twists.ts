import { AREA } from '../../src/boot/bootstate-area.ts'
import { decodeEnvBlock, encodeEnvBlock } from '../../src/boot/env-block.ts'
import type { OpenRegion } from '../../src/core/region.ts'
import type { Role } from '../../src/model/layout.ts'
import type { Running } from './running-host.ts'

/** The product writes as it does, and something between it and the disk does not. */
export type Twist = NonNullable<Running['twist']>

/** What is written to a slot is not flushed by who wrote it. */
export const unflushedWriter: Twist = (region, role) => {
  if (!role.startsWith('rootfs')) return region
  let hasWritten = false
  return {
    ...region,
    async write(bytes, position) {
      hasWritten = true
      await region.write(bytes, position)
    },
    flush: async () => (hasWritten ? undefined : region.flush()),
  }
}

type AreaName = keyof typeof AREA

function isIn(position: number, ...names: AreaName[]): boolean {
  return names.some(
    (name) => position >= AREA[name].offset && position < AREA[name].offset + AREA[name].bytes,
  )
}

/** No flush follows a write to these areas of the bootstate partition. */
export function unflushed(...names: AreaName[]): Twist {
  return onBootstate((region) => {
    let last = 0
    return {
      ...region,
      async write(bytes, position) {
        last = position
        await region.write(bytes, position)
      },
      flush: async () => (isIn(last, ...names) ? undefined : region.flush()),
    }
  })
}

function onBootstate(change: (region: OpenRegion) => OpenRegion): Twist {
  return (region, role: Role) => (role === 'bootstate' ? change(region) : region)
}

/** Records go over the copy that counts. */
export const overTheNewest = onBootstate((region) => ({
  ...region,
  async write(bytes, position) {
    const { meta0, meta1 } = AREA
    const other = { [meta0.offset]: meta1.offset, [meta1.offset]: meta0.offset }[position]
    await region.write(bytes, other ?? position)
  },
}))

/** Variables of the boot state in two sectors, and nothing in the second that would tell a torn write. */
export const overTwoSectors = onBootstate((region) => ({
  ...region,
  async write(bytes, position) {
    await region.write(isIn(position, 'env0', 'env1') ? spread(Buffer.from(bytes)) : bytes, position)
  },
  async read(into, position) {
    await region.read(into, position)
    const state = isIn(position, 'env0', 'env1') ? decodeEnvBlock(into) : undefined
    // What is written is read back and compared.
    if (state !== undefined) into.set(encodeEnvBlock(state))
  },
}))

/** `pine_end` comes right behind `pine_seq`, and what says which slot is good lies behind the border. */
function spread(block: Buffer): Buffer {
  const lines = block.toString('latin1').replace(/#*$/, '').trimEnd().split('\n')
  const [signature = '', version = '', sequence = '', ...rest] = lines
  const end = rest.pop() ?? ''
  const first = `${[signature, version, sequence, end].join('\n')}\n`
  const filled = `${first}${'#'.repeat(511 - first.length)}\n${rest.join('\n')}\n`
  const result = Buffer.alloc(block.length, '#')
  result.write(filled, 'latin1')
  return result
}
