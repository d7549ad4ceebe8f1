/** Made-up answers of scenes, for tests without a slot. */
import type { Answer } from '../../base/cell/answer.ts'

export function plainAnswer(json: string): Answer {
  const plan = { key: 'home/v1@128', scene: 'home', version: 'v1', memoryMB: 128, lock: [] }
  return {
    json,
    degraded: undefined,
    tookMs: undefined,
    queueMs: 0,
    decision: { plan, because: 'baseline', bucket: undefined, arm: undefined, layers: [], params: '{}', exposed: false },
    decideMs: 0,
  }
}
