import { PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { SlotName } from '../model/boot-state.ts'

/** The running slot, to make a delta from. Where it cannot be read, there is still another way to update. */
export function asBase(region: OpenRegion, slot: SlotName): OpenRegion {
  return {
    ...region,
    async read(into, position) {
      try {
        await region.read(into, position)
      } catch (cause) {
        if (!(cause instanceof PineError) || cause.code !== 'IO_FAILED') throw cause
        throw new PineError('IO_FAILED', `slot ${slot}, which runs, cannot be read: ${cause.message}`, {
          hint: 'take the full bundle of the release, which needs nothing from it; look at dmesg and smartctl',
          cause,
        })
      }
    },
  }
}
