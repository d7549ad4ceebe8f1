/**
 * Who gets in, and why not. The limits of a scene are for the whole base and each cell enforces its share; what a limit has counted so far
 * outlives the scene table that set it.
 *
 *   admit ── 503 SCENE_OVERLOADED (concurrency, cpu) · 429 RATE_LIMITED
 *   pass ─── 503 BREAKER_OPEN, once the version is known
 *   use ──── 503 SCENE_OVERLOADED, once the slot is known: it would answer too late
 *   leave
 */
import { BerthError, type ErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Slot } from '../slot/slot.ts'
import { Breaker, type BreakerOutcome, type BreakerState, rateShare, shareOf, TokenBucket } from '../traffic/admission.ts'
import type { Decision } from '../traffic/decide.ts'
import type { CompiledTable, Scene } from '../traffic/scene.ts'
import type { SlotPlan } from '../traffic/table.ts'

/** What admission reads of a slot. */
export type Metered = Pick<Slot, 'plan' | 'cpuNs' | 'backlogMs' | 'waitMs'>

export interface AdmissionSettings {
  /** Ordinal of this cell, and how many cells there are until the supervisor says. */
  readonly cell: number
  readonly cells: number
  /** The slot of a plan if it is loaded. */
  peek(plan: SlotPlan): Metered | undefined
  onBreaker(scene: string, version: string, state: BreakerState): void
  /** Milliseconds of a monotonic clock; `performance.now` but in tests. */
  now?(): number
}

/** What is known of a scene from one request to the next. */
interface SceneState {
  pending: number
  rate: TokenBucket | undefined
  cpu: TokenBucket | undefined
  /** CPU time of its slots at the last reading. */
  readonly readings: Map<Metered, bigint>
  readonly breakers: Map<string, Breaker>
}

/** A slot is given no request whose expected wait is more than this part of the time it has left: the estimate is no better than that. */
const WAIT_SHARE = 0.5

export class Admission {
  readonly #settings: AdmissionSettings
  readonly #now: () => number
  readonly #scenes = new Map<string, SceneState>()
  #cells: number
  #pending = 0

  constructor(settings: AdmissionSettings) {
    this.#settings = settings
    this.#now = settings.now ?? (() => performance.now())
    this.#cells = settings.cells
  }

  /** From now on this cell enforces its share of `cells`. */
  share(cells: number): void {
    this.#cells = Math.max(1, cells)
  }

  /** Forgets scenes and versions that the table no longer names. */
  retain({ scenes }: CompiledTable): void {
    for (const [id, { breakers }] of this.#scenes) {
      const scene = scenes.get(id)
      if (scene === undefined) this.#scenes.delete(id)
      for (const version of breakers.keys()) if (!scene?.versions.has(version)) breakers.delete(version)
    }
  }

  /** Every breaker there is. */
  *breakers(): Iterable<{ scene: string; version: string; state: BreakerState }> {
    for (const [scene, { breakers }] of this.#scenes) for (const [version, { state }] of breakers) yield { scene, version, state }
  }

  /**
   * Whether the cell as a whole can take one more, asked before the body of a request is read: from half of what it can hold it
   * refuses scenes of priority 0, then the others in their order.
   * @throws SCENE_OVERLOADED
   */
  checkCell(priority: number): void {
    if (this.#pending < limits.cell.pendingMax * (0.5 + priority / 200)) return
    throw overloaded(`Cannot take the request: ${this.#pending} are under way in the cell, too many for a scene of priority ${priority}`)
  }

  /**
   * Lets a request in; whoever gets a permit must `leave` with it.
   * @throws SCENE_OVERLOADED, RATE_LIMITED
   */
  admit(scene: Scene): Permit {
    const now = this.#now()
    const state = this.#state(scene.id)
    const share = shareOf(scene.limits.maxConcurrency, this.#settings.cell, this.#cells)
    if (state.pending >= share)
      throw overloaded(`Cannot serve scene "${scene.id}": ${share} requests of it are under way in the cell already`)
    this.#checkCpu(scene, state, now)
    // Last, so that a request which is refused for another reason costs no token.
    this.#takeToken(scene, state, now)
    state.pending++
    this.#pending++
    return new Permit(this.#settings, this.#now, scene, state, () => {
      state.pending--
      this.#pending--
    })
  }

  #state(id: string): SceneState {
    const known = this.#scenes.get(id)
    if (known !== undefined) return known
    const fresh: SceneState = { pending: 0, rate: undefined, cpu: undefined, readings: new Map(), breakers: new Map() }
    this.#scenes.set(id, fresh)
    return fresh
  }

  #takeToken({ id, limits: { rate } }: Scene, state: SceneState, now: number): void {
    if (rate === undefined) {
      state.rate = undefined
      return
    }
    const share = rateShare(rate.rps, rate.burst, this.#cells)
    state.rate ??= new TokenBucket(share.capacity, now)
    if (state.rate.fill(share, now) >= 1) {
      state.rate.spend(1)
      return
    }
    throw refusal(
      'RATE_LIMITED',
      `Cannot serve scene "${id}": it may have ${rate.rps} requests a second, ${rate.burst} at once`,
      state.rate.waitMs(1, share),
    )
  }

  /** A second's worth of CPU at most is saved up; what the requests under way are expected to use is spent already. */
  #checkCpu({ id, limits: { cpu } }: Scene, state: SceneState, now: number): void {
    if (cpu === undefined) {
      state.cpu = undefined
      state.readings.clear()
      return
    }
    const perSecond = (cpu / this.#cells) * 1000
    const share = { perSecond, capacity: perSecond }
    state.cpu ??= new TokenBucket(perSecond, now)
    const { usedMs, backlogMs } = this.#meter(state)
    state.cpu.spend(usedMs)
    if (state.cpu.fill(share, now) > backlogMs) return
    throw overloaded(`Cannot serve scene "${id}": it has used up its ${cpu} cores`, state.cpu.waitMs(backlogMs, share))
  }

  /** What the slots of the scene have used since the last reading, and have still to do. */
  #meter({ readings }: SceneState): { usedMs: number; backlogMs: number } {
    let usedNs = 0n
    let backlogMs = 0
    for (const [slot, before] of readings) {
      const after = slot.cpuNs
      usedNs += after - before
      backlogMs += slot.backlogMs
      readings.set(slot, after)
      // Replaced, and at rest.
      if (after === before && this.#settings.peek(slot.plan) !== slot) readings.delete(slot)
    }
    return { usedMs: Number(usedNs) / 1e6, backlogMs }
  }
}

/** The way of one request through its scene's limits. */
export class Permit {
  readonly #settings: AdmissionSettings
  readonly #now: () => number
  readonly #scene: Scene
  readonly #state: SceneState
  readonly #release: () => void
  #version = ''
  #breaker: Breaker | undefined
  #epoch = 0
  #reachedSlot = false

  constructor(settings: AdmissionSettings, now: () => number, scene: Scene, state: SceneState, release: () => void) {
    this.#settings = settings
    this.#now = now
    this.#scene = scene
    this.#state = state
    this.#release = release
  }

  /**
   * Past the breaker of the version. A pinned request is let through and counts for nothing: whoever pins looks into a version, often because it
   * fails. So is a load test.
   * @throws BREAKER_OPEN
   */
  pass({ plan, because }: Pick<Decision, 'plan' | 'because'>): void {
    const rules = this.#scene.limits.breaker
    if (rules === undefined || because === 'pin' || because === 'loadtest') return
    this.#version = plan.version
    const breaker = this.#breakerOf(plan.version)
    const now = this.#now()
    const epoch = this.#watch(breaker, () => breaker.enter(rules, now))
    if (epoch === undefined) {
      throw refusal(
        'BREAKER_OPEN',
        `Cannot serve scene "${plan.scene}": its version "${plan.version}" has failed too often of late`,
        breaker.waitMs(now),
      )
    }
    this.#breaker = breaker
    this.#epoch = epoch
  }

  /**
   * Into a slot.
   * @throws SCENE_OVERLOADED when what waits there already would hold the request up beyond its deadline
   */
  use(slot: Metered, deadlineAt: number): void {
    if (this.#scene.limits.cpu !== undefined && !this.#state.readings.has(slot)) this.#state.readings.set(slot, slot.cpuNs)
    const { waitMs } = slot
    if (waitMs > 0 && waitMs > (deadlineAt - this.#now()) * WAIT_SHARE) {
      throw overloaded(`Cannot serve scene "${this.#scene.id}": its slot is behind by about ${Math.ceil(waitMs)} ms`, waitMs)
    }
    this.#reachedSlot = true
  }

  /** Frees its place. Once, with what the request failed with, if it did. */
  leave(error: BerthError | undefined): void {
    this.#release()
    const breaker = this.#breaker
    const rules = this.#scene.limits.breaker
    if (breaker === undefined || rules === undefined) return
    // One that never got to a slot says nothing about the version.
    const outcome = this.#reachedSlot ? outcomeOf(error) : 'neither'
    this.#watch(breaker, () => breaker.leave(this.#epoch, outcome, rules, this.#now()))
  }

  #breakerOf(version: string): Breaker {
    const known = this.#state.breakers.get(version)
    if (known !== undefined) return known
    const fresh = new Breaker()
    this.#state.breakers.set(version, fresh)
    return fresh
  }

  /** Tells when a step has changed the state of the breaker. */
  #watch<T>(breaker: Breaker, step: () => T): T {
    const before = breaker.state
    const result = step()
    if (breaker.state !== before) this.#settings.onBreaker(this.#scene.id, this.#version, breaker.state)
    return result
  }
}

function outcomeOf(error: BerthError | undefined): BreakerOutcome {
  if (error === undefined) return 'ok'
  return error.blame === 'module' ? 'failed' : 'neither'
}

const overloaded = (message: string, waitMs = 0): BerthError => refusal('SCENE_OVERLOADED', message, waitMs)

/**
 * Without a stack: that would be a third of what a refusal costs, and says nothing.
 * @param waitMs when to try again, told in whole seconds and at least one: less would invite a caller to do so at once
 */
function refusal(code: ErrorCode, message: string, waitMs: number): BerthError {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return new BerthError(code, message, { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) })
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
