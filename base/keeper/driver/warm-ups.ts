/** Finds out what slots warm up with: capsules of their version or, while it has none, of the baseline or the one before, with the parameters of today. */
import { type CapsuleAlone, type WarmUpRequest, warmUpRequest } from '../../capsule/warm-up-request.ts'
import type { SceneState } from '../../change/scene-state.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import type { Options } from '../../kernel/options.ts'
import { capsuleDefaults, type Params } from '../../traffic/schema.ts'
import { type SlotPlan, slotPlan } from '../../traffic/table.ts'
import type { Book } from '../book/book.ts'
import type { SlotWarmUp } from '../cells/cells.ts'

/** The capsules that a base keeps. */
export interface KeptCapsules {
  /** The newest first. */
  newest(scene: string, version: string, count: number): readonly CapsuleFacts[]
  /** Those that are gone by now are left out. */
  readAlone(ids: readonly string[]): Promise<readonly CapsuleAlone[]>
}

interface CapsuleFacts {
  readonly id: string
  readonly tookMs: number
  /** The code of the error that its request was answered with. */
  readonly failed?: string | undefined
}

export class WarmUps {
  readonly #book: Book
  readonly #capsules: KeptCapsules
  readonly #log: Logger
  readonly #mode: Options['mode']

  /** @param mode in development, where every save is the baseline, nobody waits for a warm-up */
  constructor(book: Book, capsules: KeptCapsules, log: Logger, mode: Options['mode']) {
    this.#mode = mode
    this.#book = book
    this.#capsules = capsules
    this.#log = log
  }

  /** For a version that is kept; undefined when there is no such version, or nothing to warm it up with. */
  async ofVersion(scene: string, version: string): Promise<SlotWarmUp | undefined> {
    const { scenes } = this.#book
    const kept = scenes.find(scene)
    if (kept === undefined || !scenes.hasVersion(scene, version)) return undefined
    return this.ofPlan(slotPlan(kept.definition, scenes.version(scene, version)), kept)
  }

  /** For a slot that a scene needs; undefined when there is nothing to warm it up with, or that cannot be read. */
  async ofPlan(plan: SlotPlan, scene: SceneState): Promise<SlotWarmUp | undefined> {
    try {
      return await this.#find(plan, scene)
    } catch (error) {
      this.#log.error({ err: error, scene: plan.scene, version: plan.version }, 'a slot stays cold: capsules cannot be read')
      return undefined
    }
  }

  async #find(plan: SlotPlan, { definition, baseline, rules }: SceneState): Promise<SlotWarmUp | undefined> {
    if (this.#mode === 'development' || !(definition.capsules ?? capsuleDefaults).warmUp) return undefined
    const candidates = [plan.version, baseline, rules.previousBaseline].flatMap(version => version ?? [])
    const from = candidates.find(version => this.#newest(plan.scene, version).length > 0)
    if (from === undefined) return undefined
    const params = { ...definition.params, ...rules.versionParams?.[plan.version] }
    const requests = await this.#requests(this.#newest(plan.scene, from), params)
    if (requests.length === 0) return undefined
    const { deadlineMs, cpuMs = deadlineMs / 4 } = definition.traffic
    return { plan, requests, cpuMs, isProven: from === plan.version }
  }

  #newest(scene: string, version: string): CapsuleFacts[] {
    return this.#capsules.newest(scene, version, limits.capsule.warmUpCapsulesRead).filter(({ failed }) => failed === undefined)
  }

  async #requests(capsules: readonly CapsuleFacts[], params: Params): Promise<WarmUpRequest[]> {
    const read = await this.#capsules.readAlone(spread(capsules, limits.capsule.warmUpCapsulesMax).map(({ id }) => id))
    const now = this.#book.now().getTime()
    const requests: WarmUpRequest[] = []
    let chars = 0
    for (const { capsule, entries } of read) {
      const arms = capsule.arms.map(({ values }) => values)
      const request = warmUpRequest({ capsule, entries }, JSON.stringify(Object.assign({}, params, ...arms)))
      if (request === undefined) continue
      const isOld = now - Date.parse(capsule.at) > limits.capsule.warmUpReplyMsMax
      if (isOld && request.replies.length > 0) continue
      const size = JSON.stringify(request).length
      if (chars + size > limits.capsule.warmUpBytesMax) continue
      chars += size
      requests.push(request)
    }
    return requests
  }
}

/** Some of the capsules, from the fastest to the slowest: what is large takes other ways through the code than what is small. */
export function spread<T extends Pick<CapsuleFacts, 'tookMs'>>(capsules: readonly T[], count: number): T[] {
  const sorted = capsules.toSorted((a, b) => a.tookMs - b.tookMs)
  if (sorted.length <= count) return sorted
  return Array.from({ length: count }, (_, i) => sorted[Math.round((i * (sorted.length - 1)) / (count - 1))] as T)
}
