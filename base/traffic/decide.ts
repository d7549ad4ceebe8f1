/** Which version answers a request, and why. Pure: no I/O, no clock. */
import { BerthError } from '../kernel/errors.ts'
import type { Scene } from './scene.ts'
import type { SlotPlan } from './table.ts'

export type Because = 'pin' | 'baseline'

export interface Decision {
  readonly plan: SlotPlan
  readonly because: Because
}

/** What the request says of itself. A pin has been authorised before it gets here. */
export interface Marks {
  readonly pin: string | undefined
}

/**
 * @throws VERSION_NOT_FOUND for a pin to a version that is not online
 * @throws SCENE_WITHOUT_BASELINE before the first version
 */
export function decide(scene: Scene, marks: Marks): Decision {
  if (marks.pin !== undefined) return { plan: pinned(scene, marks.pin), because: 'pin' }
  if (scene.baseline !== undefined) return { plan: scene.baseline, because: 'baseline' }
  throw new BerthError('SCENE_WITHOUT_BASELINE', `Cannot serve scene "${scene.id}": it has no baseline version yet`)
}

function pinned(scene: Scene, version: string): SlotPlan {
  const plan = scene.versions.get(version)
  if (plan !== undefined) return plan
  throw new BerthError('VERSION_NOT_FOUND', `Cannot serve version "${version.slice(0, 64)}" of scene "${scene.id}": no such version online`)
}
