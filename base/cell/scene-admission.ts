/**
 * Which requests are let in, and why not. The limits of a scene are for the whole base, and each cell enforces its share of them. What a limit
 * has counted so far outlives the scene table that set it. What a cell has for all scenes, places and bytes, is a `FairPool`.
 *
 *   enter ── 503 SCENE_OVERLOADED (places, bytes), once the head is there
 *   admit ── 503 SCENE_OVERLOADED (concurrency, cpu) · 429 RATE_LIMITED
 *   pass ─── 503 BREAKER_OPEN, once the version is known
 *   use ──── 503 SCENE_OVERLOADED, once the slot is known: it would answer too late
 *   leave
 *   exit, once the answer has left
 */
import { BerthError, type ErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Slot } from '../slot/slot.ts'
import { Breaker, type BreakerOutcome, type BreakerState, FairPool, rateShare, shareOf, TokenBucket } from '../traffic/admission.ts'
import type { Decision } from '../traffic/decide.ts'
import type { CompiledTable, Scene } from '../traffic/scene.ts'
import type { SlotPlan } from '../traffic/table.ts'

/** What admission reads of a slot. */
export type Metered = Pick<Slot, 'plan' | 'cpuNs' | 'backlogMs' | 'waitMs'>

export interface AdmissionSettings {
  /** Ordinal of this cell, and how many cells there are as far as it knows before the supervisor says so. */
  readonly cell: number
  readonly cells: number
  /** Bytes of bodies and answers that may wait in the cell. */
  readonly bytesMax: number
  /** The slot of a plan if it is loaded. */
  peek(plan: SlotPlan): Metered | undefined
  onBreaker(scene: string, version: string, state: BreakerState): void
  /** Milliseconds of a monotonic clock. @default `performance.now`; tests give another */
  now?(): number
}

/** What all permits of a cell share. */
interface Shared {
  readonly settings: AdmissionSettings
  now(): number
  /** By scene; those of calls by the scene that is called. */
  readonly places: FairPool
  /** By scene; those of calls by the scene that calls. */
  readonly bytes: FairPool
}

/** What is under way in a scene, and what its limits have counted. */
interface SceneLoad {
  pending: number
  /** What part of these are calls from other scenes, by the scene that calls. */
  readonly inside: FairPool
  rate: TokenBucket | undefined
  cpu: TokenBucket | undefined
  /** CPU time of each of its slots, in nanoseconds, at the last reading. */
  readonly readings: Map<Metered, bigint>
  readonly breakers: Map<string, Breaker>
}

/**
 * A slot is given no request whose expected wait is more than this part of the time that the request has left. It is a half since the
 * estimate may be off by a factor of two.
 */
const WAIT_SHARE = 0.5
/** Calls from other scenes have to leave time for callers from outside. */
const WAIT_SHARE_INSIDE = WAIT_SHARE / 2
/** A scene that calls may have more calls under way to another than is left for calls: it is the usual thing that only one scene calls. */
const INSIDE_GREED = 3
/** Requests for scenes that do not exist hold places under this name. No scene has it. */
const NO_SCENE = ''

/** A call from another scene. */
export interface InsideCall {
  /** Id of the scene that calls. */
  readonly from: string
  /** Bytes of its input. */
  readonly bytes: number
}

export class Admission {
  readonly #settings: AdmissionSettings
  readonly #shared: Shared
  readonly #scenes = new Map<string, SceneLoad>()
  readonly #places = new FairPool()
  readonly #bytes = new FairPool()
  #cells: number

  constructor(settings: AdmissionSettings) {
    this.#settings = settings
    const now = settings.now ?? (() => performance.now())
    this.#shared = { settings, now, places: this.#places, bytes: this.#bytes }
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
   * Takes a place for a request from outside whose head is there. Asked before its body is read. Whoever gets a place must `exit`.
   * @param scene undefined when there is no such scene; all such requests count as those of one scene
   * @returns the name under which the request holds its place and its bytes
   * @throws SCENE_OVERLOADED
   */
  enter(scene: Scene | undefined): string {
    const name = scene?.id ?? NO_SCENE
    if (!this.#bytes.mayTake(name, this.#settings.bytesMax)) throw tooManyBytes(name, this.#bytes.heldBy(name))
    this.#checkPlaces(name, scene?.limits.priority ?? limits.scene.priority)
    this.#places.take(name)
    return name
  }

  /**
   * Gives the place back. Call it once the answer has left, or will never leave.
   * @param bytes what the request has taken by `hold`
   */
  exit(name: string, bytes: number): void {
    this.#places.give(name)
    if (bytes > 0) this.#bytes.give(name, bytes)
  }

  /** Counts bytes that a request makes the cell keep. @throws SCENE_OVERLOADED; then they are not counted */
  hold(name: string, bytes: number): void {
    if (!this.#bytes.mayTake(name, this.#settings.bytesMax)) throw tooManyBytes(name, this.#bytes.heldBy(name))
    this.#bytes.take(name, bytes)
  }

  /** A cell that is half full has no more places for scenes of priority 0; the fuller it is, the higher the priorities that find none. */
  #checkPlaces(name: string, priority: number): void {
    const { placesMax, placesReserved } = limits.cell
    const { taken } = this.#places
    const held = this.#places.heldBy(name)
    const isReserved = held < placesReserved && taken < placesMax
    if (isReserved || this.#places.mayTake(name, placesMax * (0.5 + priority / 200))) return
    const counts = `${taken} are in the cell, ${held} of them for the same scene`
    throw overloaded(`Cannot take the request: ${counts}, which is too many for one of priority ${priority}`)
  }

  /**
   * Lets a request in; whoever gets a permit must `leave` with it.
   * @param call what is known of a call from another scene; undefined for a request from outside, which has entered before
   * @throws SCENE_OVERLOADED, RATE_LIMITED
   */
  admit(scene: Scene, call?: InsideCall): Permit {
    const now = this.#shared.now()
    const load = this.#load(scene.id)
    const share = shareOf(scene.limits.maxConcurrency, this.#settings.cell, this.#cells)
    if (load.pending >= share)
      throw overloaded(`Cannot serve scene "${scene.id}": ${share} requests of it are under way in the cell already`)
    const kept = call === undefined ? 0 : 1 - limits.calls.insideShare
    this.#checkCpu(scene, load, now, kept)
    if (call !== undefined) this.#checkInside(scene, load, call, share)
    // Last, so that a request which is refused for another reason costs no token.
    this.#takeToken(scene, load, now, kept)
    return new Permit(this.#shared, scene, load, call, now)
  }

  #checkInside(scene: Scene, { inside }: SceneLoad, { from }: InsideCall, share: number): void {
    // A slot is another bound on what is under way in a scene.
    const size = Math.ceil(Math.min(share, limits.slot.pendingMax) * limits.calls.insideShare)
    const { id } = scene
    if (!inside.mayTake(from, size)) {
      const counts = `${inside.heldBy(from)} of its calls are under way already, of ${inside.taken} by all scenes`
      throw overloaded(`Cannot serve scene "${id}" to scene "${from}": ${counts}`)
    }
    if (!this.#bytes.mayTake(from, this.#settings.bytesMax)) throw tooManyBytes(from, this.#bytes.heldBy(from))
    this.#checkPlaces(id, scene.limits.priority)
  }

  #load(id: string): SceneLoad {
    const known = this.#scenes.get(id)
    if (known !== undefined) return known
    const fresh: SceneLoad = {
      pending: 0,
      inside: new FairPool(INSIDE_GREED),
      rate: undefined,
      cpu: undefined,
      readings: new Map(),
      breakers: new Map(),
    }
    this.#scenes.set(id, fresh)
    return fresh
  }

  /** @param kept the part of the burst that may not be used */
  #takeToken({ id, limits: { rate } }: Scene, load: SceneLoad, now: number, kept: number): void {
    if (rate === undefined) {
      load.rate = undefined
      return
    }
    const share = rateShare(rate.rps, rate.burst, this.#cells)
    load.rate ??= new TokenBucket(share.capacity, now)
    // A full bucket always lets one request in.
    const needed = Math.min(share.capacity, 1 + kept * share.capacity)
    if (load.rate.fill(share, now) >= needed) {
      load.rate.spend(1)
      return
    }
    throw refusal(
      'RATE_LIMITED',
      `Cannot serve scene "${id}": it may have ${rate.rps} requests a second, ${rate.burst} at once`,
      load.rate.waitMs(needed, share),
    )
  }

  /**
   * At most a second's worth of CPU is saved up. What the requests under way are expected to use counts as spent.
   * @param kept the part of what can be saved up that may not be used
   */
  #checkCpu({ id, limits: { cpu } }: Scene, load: SceneLoad, now: number, kept: number): void {
    if (cpu === undefined) {
      // To clear a map makes a new table, even when it is empty.
      if (load.cpu !== undefined) load.readings.clear()
      load.cpu = undefined
      return
    }
    const perSecond = (cpu / this.#cells) * 1000
    const share = { perSecond, capacity: perSecond }
    load.cpu ??= new TokenBucket(perSecond, now)
    const { usedMs, backlogMs } = this.#meter(load)
    load.cpu.spend(usedMs)
    const needed = backlogMs + kept * share.capacity
    if (load.cpu.fill(share, now) > needed) return
    throw overloaded(`Cannot serve scene "${id}": it has used up its ${cpu} cores`, load.cpu.waitMs(needed, share))
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
  readonly #shared: Shared
  readonly #scene: Scene
  readonly #load: SceneLoad
  readonly #call: InsideCall | undefined
  readonly #admittedAt: number
  #version = ''
  #breaker: Breaker | undefined
  #epoch = 0
  #reachedSlot = false

  /** Takes what the request holds until it leaves. */
  constructor(shared: Shared, scene: Scene, load: SceneLoad, call: InsideCall | undefined, now: number) {
    this.#shared = shared
    this.#scene = scene
    this.#load = load
    this.#call = call
    this.#admittedAt = now
    load.pending++
    if (call === undefined) return
    shared.places.take(scene.id)
    load.inside.take(call.from)
    if (call.bytes > 0) shared.bytes.take(call.from, call.bytes)
  }

  #release(): void {
    this.#load.pending--
    if (this.#call === undefined) return
    const { from, bytes } = this.#call
    this.#load.inside.give(from)
    this.#shared.places.give(this.#scene.id)
    if (bytes > 0) this.#shared.bytes.give(from, bytes)
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
    const { state } = breaker
    const epoch = breaker.enter(rules, this.#admittedAt)
    this.#reportChange(breaker, state)
    if (epoch === undefined) {
      throw refusal(
        'BREAKER_OPEN',
        `Cannot serve scene "${plan.scene}": its version "${plan.version}" has failed too often of late`,
        breaker.waitMs(this.#admittedAt),
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
    const waitShare = this.#call === undefined ? WAIT_SHARE : WAIT_SHARE_INSIDE
    if (waitMs > 0 && waitMs > (deadlineAt - this.#shared.now()) * waitShare) {
      throw overloaded(`Cannot serve scene "${this.#scene.id}": its slot is behind by about ${Math.ceil(waitMs)} ms`, waitMs)
    }
    this.#reachedSlot = true
  }

  /**
   * Frees its place. Call it once, with the error of the request if it failed.
   * @param isNeutral whether the version had no part in that error
   */
  leave(error: BerthError | undefined, isNeutral = false): void {
    this.#release()
    const breaker = this.#breaker
    const rules = this.#scene.limits.breaker
    if (breaker === undefined || rules === undefined) return
    // A request that never got to a slot says nothing about the version.
    const outcome = this.#reachedSlot && !isNeutral ? outcomeOf(error) : 'neither'
    const { state } = breaker
    breaker.leave(this.#epoch, outcome, rules, this.#shared.now())
    this.#reportChange(breaker, state)
  }

  #breakerOf(version: string): Breaker {
    const known = this.#load.breakers.get(version)
    if (known !== undefined) return known
    const fresh = new Breaker()
    this.#load.breakers.set(version, fresh)
    return fresh
  }

  #reportChange({ state }: Breaker, before: BreakerState): void {
    if (state !== before) this.#shared.settings.onBreaker(this.#scene.id, this.#version, state)
  }
}

function outcomeOf(error: BerthError | undefined): BreakerOutcome {
  if (error === undefined) return 'ok'
  return error.blame === 'module' ? 'failed' : 'neither'
}

const tooManyBytes = (name: string, bytes: number): BerthError =>
  overloaded(
    `Cannot serve scene "${name}": ${Math.round(bytes / 1024 ** 2)} MB of its bodies and answers wait in the cell, too much to take more`,
  )

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
