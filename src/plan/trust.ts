import type { StoredKeys } from '../model/records.ts'
import type { Plan } from './step.ts'

/** A key list alone, without a release. */
export function planTrust(keys: StoredKeys, time: number): Plan {
  const outcome = `Bundles are checked with the keys of list ${keys.version}.`
  return { intent: 'trust', outcome, steps: [{ kind: 'record-trust', keys, time }] }
}
