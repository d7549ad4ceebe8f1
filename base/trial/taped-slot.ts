/**
 * An isolate whose clocks show what a tape says. Entries are put into it one after the other, and nothing else enters it: so what happens in it depends on
 * nothing but its seed, its modules and the entries.
 */
import type { CapturedAnswer, Entry, EntryKind } from '../capsule/capsule.ts'
import { ANSWER_STRIDE, AnswerKind, type Post, type ServiceNames } from '../inside/protocol.ts'
import { toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { type Blank, collectGarbage, makeBlank, noteKill } from '../slot/blank.ts'
import type { CodeCache } from '../slot/code-cache.ts'
import { CpuClock } from '../slot/cpu-clock.ts'
import { type Outcome, putIn, Spoken } from '../slot/entries.ts'
import { parseAnswer } from '../slot/from-inside.ts'
import { overMemory } from '../slot/kill.ts'
import { ModuleError, parseFailure } from '../slot/module-error.ts'
import { SlotClock } from '../slot/slot-clock.ts'
import { link, specialise } from '../slot/specialise.ts'
import { Tape } from '../slot/tape.ts'
import { watchEnd } from '../slot/watch-end.ts'
import type { SlotPlan } from '../traffic/table.ts'

/** What slots are made of here. */
export interface TapedParts {
  readonly codeCache: CodeCache
  /** Text of a bundle. */
  readBundle(digest: string): Promise<string>
  /** Called when only the end of the process helps. */
  onLost(reason: string): void
}

/** What a slot is to be, beside its modules. */
export interface TapedSettings {
  /** 64 hexadecimal digits, from which chance is seeded. */
  readonly seed: string
  readonly services: ServiceNames
  /** Milliseconds of CPU that one entry may use. */
  readonly cpuMs: number
}

/** What the clocks show while an entry runs. All times are in milliseconds of the monotonic clock of the recording. */
export interface Showing {
  /** What is given first, one reading after the other. */
  readonly readings: readonly number[]
  /** What is shown when all readings are given: this, and the CPU that the entry has used. */
  readonly beyond: number
  readonly wallMinusMonotonic: number
  /** Four words, from which the turn seeds chance anew. */
  readonly seed?: readonly number[] | undefined
}

/** What came of an entry. */
export interface Entered extends Pick<Entry, 'asked' | 'said'> {
  readonly posts: readonly Parameters<Post>[]
  readonly outcome: Outcome
  /** Readings of clocks, also those for which there was none on the tape. */
  readonly readings: number
  /** What a clock would show next. */
  readonly shownMs: number
  /** Milliseconds of CPU, and for which code ran. */
  readonly cpuMs: number
  readonly tookMs: number
  /** Why the slot has been killed over it, if it has. */
  readonly killed: string | undefined
}

export class TapedSlot {
  readonly #plan: SlotPlan
  readonly #cpuMsMax: number
  readonly #onLost: (reason: string) => void
  readonly #tape: Tape
  readonly #clock: SlotClock
  readonly #blank: Blank
  readonly #cpu: CpuClock
  #spoken = new Spoken()
  #posts: Parameters<Post>[] = []
  #killed: string | undefined
  private constructor(plan: SlotPlan, cpuMsMax: number, blank: Blank, tape: Tape, clock: SlotClock, onLost: (reason: string) => void) {
    this.#plan = plan
    this.#cpuMsMax = cpuMsMax
    this.#blank = blank
    this.#tape = tape
    this.#clock = clock
    this.#onLost = onLost
    this.#cpu = new CpuClock(blank.isolate)
    const take: Post = (...posted) => {
      this.#spoken.post(...posted)
      this.#posts.push(posted)
    }
    blank.listener.onPost = take
    blank.listener.onLost = onLost
    for (const posted of blank.earlyPosts.splice(0)) take(...posted)
  }

  /**
   * Loads the modules of a plan.
   * @param showing what clocks show meanwhile
   * @throws ModuleError when they cannot be loaded; the isolate is gone then
   */
  static async load(plan: SlotPlan, settings: TapedSettings, showing: Showing, parts: TapedParts) {
    const tape = new Tape()
    // What code inside sees comes from the tape alone.
    const clock = new SlotClock({ monotonic: () => tape.beyond, wall: () => tape.beyond })
    show(tape, clock, showing)
    const { codeCache, readBundle } = parts
    const blank = await makeBlank(plan.memoryMB, codeCache, { seed: settings.seed, clock, tape })
    const slot = new TapedSlot(plan, settings.cpuMs, blank, tape, clock, parts.onLost)
    await specialise(blank, plan, { readBundle: digest => readBundle(digest), servicesOf: () => settings.services, codeCache })
    return { slot, loaded: slot.#entered({ returned: undefined }, slot.#cpu.heldMs) }
  }

  /** Whether it can take entries. */
  get isAlive(): boolean {
    if (this.#killed === undefined && this.#blank.isolate.isDisposed) this.#killed = overMemory(this.#plan)
    return this.#killed === undefined
  }

  /** Has later turns run other stages of the modules that are loaded. */
  runStages(plan: SlotPlan, services: ServiceNames): Promise<void> {
    return link(this.#blank.inside, plan, services)
  }

  /** Puts in an entry. Resolves when all that it has set off is over. */
  async enter(kind: Exclude<EntryKind, 'load'>, values: readonly unknown[], showing: Showing): Promise<Entered> {
    show(this.#tape, this.#clock, showing)
    this.#spoken = new Spoken()
    this.#posts = []
    const fromMs = this.#cpu.heldMs
    let isOver = false
    this.#cpu.run()
    const fromCpuMs = this.#cpu.readMs()
    const looking = setInterval(() => this.#look(fromCpuMs, showing.beyond, () => isOver), limits.slot.watchdogTickMs)
    const outcome = await putIn(this.#blank.inside, kind, values)
    isOver = true
    clearInterval(looking)
    this.#cpu.rest()
    return this.#entered(outcome, this.#cpu.heldMs - fromMs)
  }

  #entered(outcome: Outcome, tookMs: number): Entered {
    const { count, beyond } = this.#tape
    const killed = this.isAlive ? undefined : this.#killed
    return {
      ...this.#spoken.end(outcome),
      posts: this.#posts,
      outcome,
      readings: count,
      shownMs: beyond,
      cpuMs: tookMs * this.#cpu.share,
      tookMs,
      killed,
    }
  }

  /** Lets time go on for code that runs, and ends code that runs for too long. */
  #look(fromCpuMs: number, beyond: number, isOver: () => boolean): void {
    if (!this.isAlive) return
    const usedMs = this.#cpu.readMs() - fromCpuMs
    this.#tape.beyond = beyond + usedMs
    if (usedMs <= this.#cpuMsMax) return
    this.#killed = `it used ${Math.round(usedMs)} ms of CPU in one go, and may use ${this.#cpuMsMax}`
    this.#dispose()
    watchEnd(isOver, () => this.#onLost('code that cannot be stopped'))
  }

  /** Bytes that its heap holds once all garbage is collected. */
  async heapBytes(): Promise<number> {
    await collectGarbage(this.#blank.isolate)
    return (await this.#blank.isolate.getHeapStatistics()).used_heap_size
  }

  /** Frees the isolate. Idempotent. */
  end(): void {
    this.#cpu.end()
    if (!this.#blank.isolate.isDisposed) this.#blank.isolate.dispose()
  }

  #dispose(): void {
    noteKill()
    this.end()
  }
}

function show(tape: Tape, clock: SlotClock, { readings, beyond, wallMinusMonotonic, seed }: Showing): void {
  tape.play(readings.slice(0, limits.capsule.readingsMax), beyond)
  if (seed !== undefined) tape.reseed(seed)
  clock.hold(wallMinusMonotonic)
}

/** What an entry says of the request of that number, if it answers it. */
export function answerIn(
  { posts, outcome }: Entered,
  no: number,
  plan: SlotPlan,
): { answer: CapturedAnswer; stageMs: readonly number[] | undefined } | undefined {
  const returned = Array.isArray(outcome.returned) ? [outcome.returned] : []
  const posted = posts.flatMap(([kind, ...values]) => (kind === 'answers' ? [values] : []))
  for (const values of [...posted, ...returned] as readonly unknown[][]) {
    for (let i = 0; i < values.length; i += ANSWER_STRIDE) {
      const [of, kind, text] = values.slice(i, i + ANSWER_STRIDE)
      if (of !== no || kind === AnswerKind.waiting) continue
      const found = parseAnswer(kind, text, 0, plan)
      if (found === undefined) return { answer: failureOf(parseFailure(String(text))), stageMs: undefined }
      return { answer: { json: found.json, degraded: found.degraded }, stageMs: found.tookMs?.split(',').map(Number) }
    }
  }
  return undefined
}

/** The answer of a request that has failed. */
export function failureOf(thrown: unknown): CapturedAnswer {
  const { code, message } = toBerthError(thrown)
  if (!(thrown instanceof ModuleError)) return { failure: { code, message } }
  return { failure: { code, message, stage: thrown.stage, module: thrown.module } }
}
