/** Made-up answers of scenes, for tests without a slot. */
import type { SceneRequest } from '../../base/cell/answer.ts'

/** Answers a request as a baseline does, and as a slot does not before the caller has returned. */
export function answerPlainly(request: SceneRequest, json: string): void {
  const plan = { key: 'home/v1@128', scene: 'home', version: 'v1', memoryMB: 128, lock: [] }
  request.decision = { plan, because: 'baseline', bucket: undefined, arm: undefined, layers: [], params: '{}', exposed: false }
  queueMicrotask(() => request.succeed({ json, degraded: undefined, tookMs: undefined, queueMs: 0 }, 0))
}
