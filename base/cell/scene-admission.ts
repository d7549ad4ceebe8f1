/**
 * Which requests are let in, and why not. The limits of a scene are for the whole base, and each cell enforces its share of them. What a limit
 * has counted so far outlives the scene table that set it.
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
  /** Ordinal of this cell, and how many cells there are as far as it knows before the supervisor says so. */
  readonly cell: number
  readonly cells: number
  /** The slot of a plan if it is loaded. */
  peek(plan: SlotPlan): Metered | undefined
  onBreaker(scene: string, version: string, state: BreakerState): void
  /** Milliseconds of a monotonic clock. @default `performance.now`; tests give another */
  now?(): number
}

/** What is under way in a scene, and what its limits have counted. */
interface SceneLoad {
  pending: number
  rate: TokenBucket | undefined
  cpu: TokenBucket | undefined
  /** CPU time of each of its slots, in nanoseconds, at the last reading. */
  readonly readings: Map<Metered, bigint>
  readonly breakers: Map<string, Breaker>
}

/** A slot is given no request whose expected wait is more than this part of the time that the request has left. It is a half since the estimate may be off by a factor of two. */
const WAIT_SHARE = 0.5

export class Admission {
  readonly #settings: AdmissionSettings
  readonly #now: () => number
  readonly #scenes = new Map<string, SceneLoad>()
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
   * Checks that the cell as a whole can take one more request. Asked before the body of a request is read. A cell that is half full refuses
   * scenes of priority 0; the fuller it is, the higher the priorities that it refuses.
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
    const load = this.#load(scene.id)
    const share = shareOf(scene.limits.maxConcurrency, this.#settings.cell, this.#cells)
    if (load.pending >= share)
      throw overloaded(`Cannot serve scene "${scene.id}": ${share} requests of it are under way in the cell already`)
    this.#checkCpu(scene, load, now)
    // Last, so that a request which is refused for another reason costs no token.
    this.#takeToken(scene, load, now)
    load.pending++
    this.#pending++
    return new Permit(this.#settings, this.#now, scene, load, () => {
      load.pending--
      this.#pending--
    })
  }

  #load(id: string): SceneLoad {
    const known = this.#scenes.get(id)
    if (known !== undefined) return known
    const fresh: SceneLoad = { pending: 0, rate: undefined, cpu: undefined, readings: new Map(), breakers: new Map() }
    this.#scenes.set(id, fresh)
    return fresh
  }

  #takeToken({ id, limits: { rate } }: Scene, load: SceneLoad, now: number): void {
    if (rate === undefined) {
      load.rate = undefined
      return
    }
    const share = rateShare(rate.rps, rate.burst, this.#cells)
    load.rate ??= new TokenBucket(share.capacity, now)
    if (load.rate.fill(share, now) >= 1) {
      load.rate.spend(1)
      return
    }
    throw refusal(
      'RATE_LIMITED',
      `Cannot serve scene "${id}": it may have ${rate.rps} requests a second, ${rate.burst} at once`,
      load.rate.waitMs(1, share),
    )
  }

  /** At most a second's worth of CPU is saved up. What the requests under way are expected to use counts as spent. */
  #checkCpu({ id, limits: { cpu } }: Scene, load: SceneLoad, now: number): void {
    if (cpu === undefined) {
      load.cpu = undefined
      load.readings.clear()
      return
    }
    const perSecond = (cpu / this.#cells) * 1000
    const share = { perSecond, capacity: perSecond }
    load.cpu ??= new TokenBucket(perSecond, now)
    const { usedMs, backlogMs } = this.#meter(load)
    load.cpu.spend(usedMs)
    if (load.cpu.fill(share, now) > backlogMs) return
    throw overloaded(`Cannot serve scene "${id}": it has used up its ${cpu} cores`, load.cpu.waitMs(backlogMs, share))
  }

  /** Milliseconds of CPU that the slots of the scene have used since the last reading, and that their requests are expected to use still. */
  #meter({ readings }: SceneLoad): { usedMs: number; backlogMs: number } {
    let usedNs = 0n
    let backlogMs = 0
    for (const [slot, before] of readings) {
      const after = slot.cpuNs
      usedNs += after - before
      backlogMs += slot.backlogMs
      readings.set(slot, after)
      // The slot has been replaced, and uses nothing any more.
      if (after === before && this.#settings.peek(slot.plan) !== slot) readings.delete(slot)
    }
    return { usedMs: Number(usedNs) / 1e6, backlogMs }
  }
}

/** One request that was let in, and its way through the limits of its scene. */
export class Permit {
  readonly #settings: AdmissionSettings
  readonly #now: () => number
  readonly #scene: Scene
  readonly #load: SceneLoad
  readonly #release: () => void
  #version = ''
  #breaker: Breaker | undefined
  #epoch = 0
  #reachedSlot = false

  constructor(settings: AdmissionSettings, now: () => number, scene: Scene, load: SceneLoad, release: () => void) {
    this.#settings = settings
    this.#now = now
    this.#scene = scene
    this.#load = load
    this.#release = release
  }

  /**
   * Passes the breaker of the version. A pinned request is let through and does not count: whoever pins looks into a version, often because it
   * fails. The same holds for a load test.
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
   * Says which slot the request goes into.
   * @throws SCENE_OVERLOADED when the requests that wait there already would hold it up beyond its deadline
   */
  use(slot: Metered, deadlineAt: number): void {
    if (this.#scene.limits.cpu !== undefined && !this.#load.readings.has(slot)) this.#load.readings.set(slot, slot.cpuNs)
    const { waitMs } = slot
    if (waitMs > 0 && waitMs > (deadlineAt - this.#now()) * WAIT_SHARE) {
      throw overloaded(`Cannot serve scene "${this.#scene.id}": its slot is behind by about ${Math.ceil(waitMs)} ms`, waitMs)
    }
    this.#reachedSlot = true
  }

  /** Frees its place. Call it once, with the error of the request if it failed. */
  leave(error: BerthError | undefined): void {
    this.#release()
    const breaker = this.#breaker
    const rules = this.#scene.limits.breaker
    if (breaker === undefined || rules === undefined) return
    // A request that never got to a slot says nothing about the version.
    const outcome = this.#reachedSlot ? outcomeOf(error) : 'neither'
    this.#watch(breaker, () => breaker.leave(this.#epoch, outcome, rules, this.#now()))
  }

  #breakerOf(version: string): Breaker {
    const known = this.#load.breakers.get(version)
    if (known !== undefined) return known
    const fresh = new Breaker()
    this.#load.breakers.set(version, fresh)
    return fresh
  }

  /** Takes a step of the breaker, and calls `onBreaker` if that has changed its state. */
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
 * The error has no stack: to make one is a third of what a refusal costs, and nobody needs it.
 * @param waitMs milliseconds after which to try again. The caller gets whole seconds and at least one: less would invite it to try at once
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
