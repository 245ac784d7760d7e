import type { TakeoverStage } from './takeover-state.ts'

/** Steps that a takeover which goes on by itself may stop before. */
export const HOLDS = ['commit', 'reclaim'] as const
export type Hold = (typeof HOLDS)[number]

/**
 * What a takeover does by itself whenever the old system starts. `wait`: the machine is about to restart. `end`: it is somebody's
 * turn, or something went wrong, which is nothing to try again without having been looked at.
 */
export function nextStep(stage: TakeoverStage, hold: Hold | null): 'rehearse' | 'commit' | 'wait' | 'end' {
  if (stage === 'staged') return 'rehearse'
  if (stage === 'armed') return 'wait'
  return stage === 'rehearsed' && hold !== 'commit' ? 'commit' : 'end'
}
