/** One isolate, specialised to one version of a scene. Three things can be asked of it: to call, to drain, to dispose. */
import type ivm from 'isolated-vm'
import { ANSWER_STRIDE, AnswerKind, type LogLine, type Post } from '../inside/protocol.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { type Blank, collectGarbage, noteKill, type Remotes } from './blank.ts'
import { CpuClock } from './cpu-clock.ts'
import { type Entrance, entranceOf } from './entrance.ts'
import { parseAnswer, parseLines } from './from-inside.ts'
import type { Inspector } from './inspector.ts'
import { bodyTooLarge, inWords, type Kill, overMemory, SlotKilled, survivorsOf, type Whereabouts } from './kill.ts'
import { Lookout, type Sight } from './lookout.ts'
import { parseFailure } from './module-error.ts'
import { Outside, type OutsideHost } from './outside.ts'
import { type Pending, pendingOf, type SlotAnswer, type SlotCall } from './slot-call.ts'
import type { SlotClock } from './slot-clock.ts'
import { SlotCursor } from './slot-cursor.ts'
import { SlotSessions } from './slot-sessions.ts'
import { type Turn, Turns } from './slot-turns.ts'
import { link, type SpecialiseParts, specialise } from './specialise.ts'
import { watchEnd } from './watch-end.ts'
import { Watchdog, type WatchedSlot } from './watchdog.ts'

/** What a slot needs of the cell around it. */
export interface SlotHost extends SpecialiseParts, OutsideHost {
  onLog(plan: SlotPlan, requestId: string | undefined, lines: readonly LogLine[]): void
  /** Called when an answer did not fit the schema of the scene, and where: of those that were checked. */
  onMisfit?(plan: SlotPlan, text: string): void
  /** Called when the slot has been killed. `survivors` are its requests that may run again, in the order they came. */
  onKilled(slot: Slot, kill: Kill, survivors: readonly Pending[]): void
  /**
   * Called when the process is lost to code of this version: V8 is in a state that only the end of the process mends. May be called more than once.
   * `where` says where the code is, as far as that is known.
   */
  onLost(plan: SlotPlan, reason: string, where: Whereabouts): void
  /** Called when code of the slot begins to run, and when nothing of it runs any more. */
  onRunning(slot: Slot, running: boolean): void
  /** Called when `watch` has to be called from now on, every `limits.slot.watchdogTickMs` until it returns false. */
  onBusy?(slot: Slot): void
  /** Why the slot of a plan is to take no request at this moment, if there is a reason. When it is missing, there never is one. */
  refusal?(plan: SlotPlan): string | undefined
  /** Until when, by `performance.now()`, a slot of a plan is to have a lookout; it gets none when that is over. When it is missing, none does. */
  lookoutUntil?(plan: SlotPlan): number
}

/** Rejections that no module handled and that are logged in a second. The rest is dropped. */
const UNHANDLED_PER_SECOND = 5
/** How often the report of a turn is asked for whose call has failed. */
const REPORT_ASKED_MAX = 5

export class Slot {
  readonly plan: SlotPlan
  readonly #isolate: ivm.Isolate
  readonly #cursor: SlotCursor
  readonly #clock: SlotClock
  readonly #inside: Remotes
  readonly #entrance: Entrance
  readonly #host: SlotHost
  readonly #outside: Outside
  readonly #sessions: SlotSessions
  readonly #turns: Turns
  /** What one request costs, in milliseconds of CPU: a moving mean. */
  #costMs = 0.1
  /** How long one request in a turn holds up those behind it, in milliseconds: a moving mean. */
  #paceMs = 0
  /** Since when the oldest turn has had the isolate to itself. */
  #turnSince = 0
  readonly #cpu: CpuClock
  /** For how many milliseconds the isolate had been held when the last turn was over. */
  #heldMs: number
  readonly #watchdog: Watchdog
  #lastCallAt = performance.now()
  /** When its garbage was last collected because it was idle. */
  #shrunkAt = -Infinity
  /** While its garbage is collected no turn is sent, and the CPU is on no request's account. */
  #isCollecting = false
  /** Milliseconds of CPU that it had used when that began. */
  #collectingFromMs = 0
  #dead = false
  #drained: (() => void) | undefined
  /** Calls into the isolate that V8 has not come back from. */
  #running = 0
  /** Turns whose reports are asked for. Meanwhile no turn is sent, since the isolate keeps few reports. */
  #asking = 0
  /** Whether `watch` is going to be called, as far as the host was asked to. */
  #isWatched = false
  #settled = 0
  /** While the slot is held no turn is sent, and what runs is on no request's account. */
  #held = false
  /** Requests that it answered to warm up. */
  #warmUps = 0
  readonly #unhandled = { second: 0, count: 0 }

  private constructor(plan: SlotPlan, blank: Blank, entrance: Entrance, host: SlotHost) {
    const { isolate, context, inside, cursor, clock, listener, earlyPosts } = blank
    this.plan = plan
    this.#turns = new Turns(this.#bodyCharsMax)
    this.#isolate = isolate
    this.#sessions = new SlotSessions(isolate, context)
    this.#cursor = new SlotCursor(cursor, plan.lock, no => this.#turns.find(no))
    this.#clock = clock
    this.#inside = inside
    this.#entrance = entrance
    this.#host = host
    this.#outside = new Outside({ plan, find: no => this.#turns.find(no), begun: () => this.#turns.begun, enter: this.#enter }, host)
    this.#cpu = new CpuClock(isolate)
    this.#heldMs = this.#cpu.heldMs
    this.#watchdog = new Watchdog(this.#watched(), this.#cpu)
    listener.onPost = this.#onPost
    // Modules may have posted something while they were loaded.
    for (const [kind, ...values] of earlyPosts.splice(0)) this.#onPost(kind, ...values)
    listener.onLost = message => host.onLost(plan, `slot ${plan.key}: ${message}`, this.whereabouts())
  }

  /**
   * Loads a version's modules into a blank, which is gone when that fails.
   * @param through puts something between the slot and its isolate
   * @throws ModuleError saying which module cannot be loaded and why
   */
  static async load(plan: SlotPlan, blank: Blank, host: SlotHost, through = (entrance: Entrance) => entrance): Promise<Slot> {
    blank.listener.onLost = (message, module) => host.onLost(plan, `slot ${plan.key}: ${message}`, { module })
    const until = host.lookoutUntil?.(plan) ?? 0
    const lookout = until <= performance.now() ? undefined : await Lookout.open(blank)
    await specialise(blank, plan, host, lookout)
    const slot = new Slot(plan, blank, through(entranceOf(blank.inside)), host)
    if (lookout === undefined) return slot
    lookout.onOutOfMemory = () => slot.killForMemory(overMemory(plan))
    slot.#sessions.keep(lookout, until)
    return slot
  }

  /** Whether the slot has answered any request, other than to warm up. */
  get hasAnswered(): boolean {
    return this.#settled > this.#warmUps
  }

  /** When the last request came, by `performance.now()`. */
  get lastCallAt(): number {
    return this.#lastCallAt
  }

  /** Requests that have no answer yet. */
  get pending(): number {
    return this.#turns.pending
  }

  /** Nanoseconds of CPU that the isolate has used since it was made. After its end this does not change any more. */
  get cpuNs(): bigint {
    return BigInt(Math.round(this.#cpu.readMs() * 1e6))
  }

  /** Milliseconds for which a thread has held the isolate, as of now. Times `cpuShare` that is about the CPU it has used. */
  get heldMs(): number {
    return this.#cpu.heldMs
  }

  /** The part of the time for which isolates are held that is CPU, of late. */
  get cpuShare(): number {
    return this.#cpu.share
  }

  /** Milliseconds of CPU that the requests which wait for the isolate's thread are expected to use. */
  get backlogMs(): number {
    return this.#turns.waitingForThread * this.#costMs
  }

  /** Milliseconds until these requests are expected to be answered. This is more than their CPU when the machine has other things to do. */
  get waitMs(): number {
    return this.#turns.waitingForThread * Math.max(this.#costMs, this.#paceMs)
  }

  /**
   * Runs one request. Any number may be under way; they share the isolate's thread.
   * @throws BerthError: the module's failure, `SCENE_OVERLOADED`, `DEADLINE_EXCEEDED` or `MODULE_KILLED`
   */
  call(call: SlotCall): Promise<SlotAnswer> {
    return new Promise((resolve, reject) => this.begin(pendingOf(call, { resolve, reject })))
  }

  /**
   * Runs one request, as `call` does, and says by its methods what comes of it.
   * @throws SCENE_OVERLOADED, BODY_TOO_LARGE; then the slot has not taken it
   */
  begin(pending: Pending): void {
    this.#lastCallAt = performance.now()
    if (this.pending >= limits.slot.pendingMax) throw this.#overloaded(`${limits.slot.pendingMax} requests are in its slot already`)
    const { length } = pending.call.body
    if (length > this.#bodyCharsMax) throw bodyTooLarge(this.plan, length)
    const refusal = this.#host.refusal?.(this.plan)
    if (refusal !== undefined) throw this.#overloaded(refusal)
    pending.calledAt = this.#lastCallAt
    this.adopt(pending)
  }

  /** Takes over a request whose slot was killed before it was answered. */
  adopt(pending: Pending): void {
    if (this.#dead) {
      pending.done = true
      pending.reject(new SlotKilled(this.plan, { reason: 'before it began', where: this.whereabouts(), sight: undefined }))
      return
    }
    this.#turns.push(pending)
    this.#beWatched()
    // The queue is not sent at once, so that other requests that arrive in this turn of the event loop go in with it. To wake the isolate's
    // thread costs as much as to pass the text of five requests.
    if (this.#turns.queued === 1) setImmediate(this.#pumpLater)
  }

  /** Has requests run other stages of the modules that the slot has, as a rehearsal does. Drain the slot first. */
  async runStages({ lock, schemas }: Pick<SlotPlan, 'lock' | 'schemas'>): Promise<void> {
    const plan = { ...this.plan, lock, ...(schemas !== undefined && { schemas }) }
    await link(this.#inside, plan, this.#host.servicesOf(plan))
    this.#cursor.lock = lock
  }

  /**
   * From now on requests only warm the slot up: what they ask for is passed on to `outside`, and what the code says is dropped. Give the slot no other requests
   * until `endWarmUp`.
   */
  beginWarmUp(outside: OutsideHost): void {
    this.#cursor.isWarmingUp = true
    this.#outside.passTo(outside)
  }

  /** To be called when no request is left. */
  endWarmUp(): void {
    this.#cursor.isWarmingUp = false
    this.#warmUps = this.#settled
    this.#outside.passTo(this.#host)
  }

  // ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #pumpLater = (): void => this.#pump()

  /** Sends the requests that wait, as many as fit in a turn. A second turn is sent while the first runs, so that the isolate need not wait for this thread. */
  #pump(): void {
    while (!this.#dead && !this.#held && !this.#isCollecting && this.#asking === 0) {
      const now = performance.now()
      const isFirst = this.#turns.noneSent
      const turn = this.#turns.next(Math.floor(limits.slot.turnCpuMs / this.#costMs), now)
      if (turn === undefined) return
      if (isFirst) this.#turnSince = now
      this.#send(turn, now)
    }
  }

  #send(turn: Turn, now: number): void {
    if (!this.#alive()) return
    this.#beginRunning()
    this.#entrance.turn(turn.firstNo, this.#valuesOf(turn, now)).then(
      report => this.#onReport(turn, report),
      (error: unknown) => this.#onTurnFailed(turn, error),
    )
  }

  #valuesOf({ requests }: Turn, now: number): (string | number)[] {
    // There is a difference only in a rehearsal whose clock stands still.
    const insideMinusHere = this.#clock.write() - now
    const values: (string | number)[] = []
    let last = ''
    for (const { call } of requests as readonly Pending[]) {
      const { requestId, body, unit = '', deadlineAt, params, bucket = -1 } = call
      values.push(requestId, body, unit, deadlineAt + insideMinusHere, params === last ? '' : params, bucket)
      last = params
    }
    return values
  }

  /** What is not in the report was posted before it. When an answer is missing after that, a module has broken the code that sends them. */
  #onReport(turn: Turn, report: unknown): void {
    this.#comeBack()
    if (!this.#alive()) return
    if (Array.isArray(report)) this.#onAnswers(report)
    if (this.#turns.end(turn)) {
      this.#learnCost(turn.size)
      this.#goOn()
    } else this.kill('a module has broken the code that runs it')
  }

  /**
   * V8 fails the call of a turn when a promise rejects in it that a module has forgotten to handle. That costs no request its answer: the report is asked for.
   * V8 may fail that call too, for what rejects after a turn, such as in a callback of a `FinalizationRegistry`.
   */
  #onTurnFailed(turn: Turn, error: unknown, asked = 0): void {
    if (this.#alive()) this.#logUnhandled(error)
    if (!this.#alive() || asked === REPORT_ASKED_MAX) {
      this.#onReport(turn, undefined)
      return
    }
    this.#asking++
    const onAsked = (then: () => void) => {
      this.#asking--
      then()
    }
    this.#entrance.reportOf(turn.firstNo).then(
      report => onAsked(() => this.#onReport(turn, report)),
      (next: unknown) => onAsked(() => this.#onTurnFailed(turn, next, asked + 1)),
    )
  }

  #logUnhandled(error: unknown): void {
    if (this.#cursor.isWarmingUp) return
    const second = Math.floor(performance.now() / 1000)
    if (this.#unhandled.second !== second) Object.assign(this.#unhandled, { second, count: 0 })
    if (++this.#unhandled.count > UNHANDLED_PER_SECOND) return
    const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
    const line: LogLine = { level: 'error', module: undefined, message: `Unhandled rejection: ${messageOf(error)}`, ...stack }
    this.#host.onLog(this.plan, undefined, [line])
  }

  /** Whether the isolate is there to be called. If it has ended by itself, out of memory, the slot is killed here. */
  #alive(): boolean {
    if (!this.#dead && this.#isolate.isDisposed) this.killForMemory(overMemory(this.plan))
    return !this.#dead
  }

  #onAnswers(values: readonly (string | number)[]): void {
    for (let i = 0; i < values.length; i += ANSWER_STRIDE) {
      this.#onAnswer(values[i] as number, values[i + 1] as number, values[i + 2] as string)
    }
  }

  #onAnswer(no: number, kind: number, text: string): void {
    if (kind === AnswerKind.waiting) {
      if (this.#turns.wait(no) !== undefined) this.#entrance.abandon(no)
      return
    }
    const pending = this.#turns.answer(no)
    if (pending === undefined) return
    this.#settled++
    if (pending.done) return
    pending.done = true
    const answer = parseAnswer(kind, text, pending.sentAt - pending.calledAt, this.plan)
    if (answer !== undefined) pending.resolve(answer)
    else pending.reject(parseFailure(text))
  }

  /** Sends what waits, and says so when nothing is left. */
  #goOn(): void {
    this.#pump()
    this.#noteDrained()
  }

  #noteDrained(): void {
    if (this.#drained !== undefined && this.#hasNothingToDo) this.#drained()
  }

  /** Whether it has no request, and no turn is in the isolate. */
  get #hasNothingToDo(): boolean {
    return this.pending === 0 && this.#turns.noneSent
  }

  #learnCost(requests: number): void {
    const { heldMs, share } = this.#cpu
    const costMs = ((heldMs - this.#heldMs) * share) / requests
    this.#heldMs = heldMs
    this.#costMs += (costMs - this.#costMs) / 8
    const now = performance.now()
    this.#paceMs += ((now - this.#turnSince) / requests - this.#paceMs) / 8
    this.#turnSince = now
  }

  // ── the watchdog ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What the watchdog reads. */
  #watched(): WatchedSlot {
    return {
      current: () => this.#cursor.current(),
      run: () => this.#cursor.run,
      isRunning: () => this.#running > 0,
      settled: () => this.#settled,
      pending: () => this.pending,
      waiting: () => this.#turns.waiting,
      leftMs: () => this.#cursor.leftMs(() => this.#clock.write()),
      probe: () => this.#entrance.probe(),
    }
  }

  #beWatched(): void {
    if (this.#isWatched) return
    this.#isWatched = true
    this.#host.onBusy?.(this)
  }

  /**
   * Answers what is past its deadline, and kills the slot when the watchdog finds that it has to. To be called every `limits.slot.watchdogTickMs` while
   * the slot is busy.
   * @returns whether it has to be called again before the slot calls `onBusy`
   */
  watch(now: number): boolean {
    this.#look(now)
    this.#isWatched = !this.#dead && !this.#isIdle()
    return this.#isWatched
  }

  /** Whether nothing of the slot runs or waits, and the end of what ran last has been seen by all who have to see it. */
  #isIdle(): boolean {
    const isQuiet = this.pending === 0 && this.#running === 0 && !this.#held
    return isQuiet && this.#watchdog.isAtRest && !this.#cpu.isOpen && !this.#sessions.isTimed
  }

  #look(now: number): void {
    if (!this.#alive()) return
    if (this.#running > 0) this.#clock.write()
    this.#expireAll(now)
    if (this.#isCollecting) this.#lookAtCollection()
    if (this.#dead || this.#held || this.#isCollecting) return
    this.#pump()
    this.#sessions.watch(now)
    const reason = this.#watchdog.look(now)
    if (reason !== undefined) this.kill(reason)
    else this.#noteDrained()
  }

  #expireAll(now: number): void {
    this.#turns.expire(
      pending => this.#expire(pending, now),
      no => {
        this.#entrance.abandon(no)
        // The slot may be stuck in code that loops after the request's `await`.
        this.#watchdog.expectSign(limits.slot.unresponsiveMsMax / 2)
      },
    )
  }

  /** Whether the request has been answered by now. A request past its deadline is answered here. */
  #expire(pending: Pending, now: number): boolean {
    if (pending.done) return true
    const { deadlineAt, chain } = pending.call
    if (now < deadlineAt) return false
    // Where a request is that waits is not known.
    const where = pending === this.#cursor.current() ? this.whereabouts() : undefined
    pending.done = true
    const extra = { ...(chain.length > 1 && { chain }), ...where }
    const still = where === undefined ? '' : `: its code was still running${inWords(where)}`
    pending.reject(new BerthError('DEADLINE_EXCEEDED', `No answer from scene "${this.plan.scene}" before its deadline${still}`, { extra }))
    return true
  }

  /**
   * Ends the isolate, after a look at its code if the slot has a lookout. The request whose body is being parsed is answered BODY_TOO_LARGE, and one whose body
   * is being checked REQUEST_INVALID. The request whose code runs at that moment is answered MODULE_KILLED. Requests that had not begun run again in the next
   * slot. Requests that had begun, and had no effect outside, run again once, each alone, since any of them may be the cause. All others are answered
   * MODULE_KILLED.
   */
  kill(reason: string): void {
    this.#kill(reason, false)
  }

  /** As `kill`, for memory that the slot takes. */
  killForMemory(reason: string): void {
    this.#kill(reason, true)
  }

  #kill(reason: string, isForMemory: boolean): void {
    if (this.#dead) return
    const suspects = this.#cursor.suspects()
    const blame = suspects.reading === undefined && suspects.checking === undefined ? 'module' : 'caller'
    const sight = this.#running === 0 ? undefined : this.#sessions.look()
    const kill: Kill = { reason, blame, isForMemory, where: this.whereabouts(), sight }
    this.#end(sight)
    const survivors = survivorsOf(kill, this.plan, this.#turns.takeAll(), suspects)
    this.#drained?.()
    this.#host.onKilled(this, kill, survivors)
  }

  /** Resolves when no request is left; deadlines bound how long that takes. Give the slot no new ones. */
  async drain(): Promise<void> {
    if (!this.#hasNothingToDo) await new Promise<void>(resolve => (this.#drained = resolve))
  }

  /**
   * Frees the isolate. Idempotent. Drain the slot first, unless its requests may be lost.
   * @param aside frees it on another thread, as a big heap takes tens of milliseconds. The process must not end at once then: it would crash
   */
  dispose(aside = false): void {
    if (this.#dead) return
    // Whichever thread uses an isolate last frees it.
    if (aside && this.#alive()) this.#entrance.probe().catch(() => undefined)
    if (!this.#dead) this.#end()
  }

  /** @param sight what is to be known before the isolate ends */
  #end(sight?: Promise<Sight>): void {
    this.#dead = true
    this.#outside.end()
    this.#cpu.end()
    if (this.#sessions.hasLostThread) {
      const reason = `slot ${this.plan.key} ran out of memory while it was profiled or watched, and its thread is lost`
      this.#host.onLost(this.plan, reason, this.whereabouts())
    }
    this.#sessions.end(sight)
    if (this.#running === 0) return
    noteKill()
    watchEnd(
      () => this.#running === 0,
      () => this.#host.onLost(this.plan, `slot ${this.plan.key} cannot be stopped`, this.whereabouts()),
    )
  }

  /** See `SlotCursor`. */
  whereabouts(): Whereabouts {
    return this.#cursor.whereabouts()
  }

  // ── profiles ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether the slot was killed or disposed of. */
  get hasEnded(): boolean {
    return this.#dead
  }

  /** Whether code of the slot runs, as far as is known here. */
  get isRunning(): boolean {
    return this.#running > 0
  }

  /** Sends no turn until `release`: requests wait, up to their deadlines. Turns that were sent go on, and the watchdog does not look at them. */
  hold(): void {
    this.#held = true
  }

  release(): void {
    if (!this.#held) return
    this.#held = false
    this.#watchdog.startAfresh()
    this.#pump()
  }

  /**
   * Opens V8's inspector. Hold the slot, and wait until nothing runs in it.
   * @throws PROFILE_FAILED when the slot has ended; PROFILE_BUSY while another session is open, or is being closed in an isolate that does not answer
   */
  inspect(onNotification?: (text: string) => void): Inspector {
    if (!this.#alive()) throw new BerthError('PROFILE_FAILED', 'Cannot profile the slot: it has ended meanwhile')
    return this.#sessions.inspect(onNotification)
  }

  /** Whether its heap has been shrunk since the last request came. */
  get isShrunk(): boolean {
    return this.#shrunkAt >= this.#lastCallAt
  }

  /**
   * Collects all garbage of the slot, and gives back what its heap does not need: some milliseconds of CPU, for which a request that comes meanwhile waits. Does
   * nothing when its heap is large, code of the slot runs, or a blank is being made.
   */
  shrink(): void {
    if (!this.#alive() || this.#running > 0) return
    this.#shrunkAt = performance.now()
    // To collect, this thread enters the isolate, and would stand still for as long as code runs there that nobody has called, such as the callback of a
    // `FinalizationRegistry`. So it enters only right after the isolate has answered. If it does not answer, the watchdog sees to it.
    this.#beginRunning()
    this.#isolate.getHeapStatistics().then(
      ({ used_heap_size }) => {
        this.#comeBack()
        if (used_heap_size <= limits.slot.shrinkBytesMax) this.#collect()
      },
      // It has ended meanwhile.
      () => this.#comeBack(),
    )
  }

  #collect(): void {
    if (!this.#alive() || this.#running > 0 || this.#held || !this.#hasNothingToDo) return
    try {
      const collected = collectGarbage(this.#isolate)
      if (collected === undefined) {
        // It is tried again.
        this.#shrunkAt = -Infinity
        return
      }
      this.#isCollecting = true
      this.#collectingFromMs = this.#cpu.readMs()
      this.#beginRunning()
      const done = () => this.#onCollected()
      collected.then(done, done)
    } catch {
      // Its heap is full. The next request will say so.
    }
  }

  #lookAtCollection(): void {
    const usedMs = this.#cpu.readMs() - this.#collectingFromMs
    if (usedMs > limits.slot.idleCpuMsMax)
      this.kill(`code that ran on while its garbage was collected used ${Math.round(usedMs)} ms of CPU`)
  }

  #onCollected(): void {
    this.#isCollecting = false
    this.#comeBack()
    if (this.#dead) return
    this.#heldMs = this.#cpu.heldMs
    if (this.#held) return
    this.#watchdog.startAfresh()
    this.#pump()
  }

  /** Bytes of the slot's heap. Resolves once nothing else runs in the isolate. */
  async heapBytes(): Promise<number> {
    return (await this.#isolate.getHeapStatistics()).used_heap_size
  }

  get #bodyCharsMax(): number {
    return this.plan.memoryMB * 1024 ** 2 * limits.slot.bodyMemoryShare
  }

  #overloaded(why: string): BerthError {
    const message = `Cannot serve scene "${this.plan.scene}": ${why}`
    return new BerthError('SCENE_OVERLOADED', message, { retryAfterSeconds: 1 })
  }

  // ── posts of the isolate ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Posts come with every turn. A `switch` takes them four times as fast as a table with the same rows, and the compiler checks that it is
   * complete, too.
   */
  readonly #onPost: Post = (kind, ...posted) => {
    if (this.#dead) return
    // All values but the body of a fetch are texts and numbers.
    const values = posted as (string | number)[]
    switch (kind) {
      case 'answers':
        this.#onAnswers(values)
        return this.#goOn()
      case 'calls':
        return this.#outside.call(values)
      case 'timer':
        return this.#outside.startTimer(Number(values[0]), Number(values[1]))
      case 'fetch':
        return this.#outside.fetch(...(posted as [number, number, number, string, string, (string | ArrayBuffer)?]))
      case 'unfetch':
        return this.#outside.abortFetch(Number(values[0]))
      case 'log':
        return this.#onLog(Number(values[0]), parseLines(values[1]))
      case 'misfit':
        return this.#onMisfit(String(values[0]))
      case 'broken':
        return this.kill('a module has changed a built-in for good')
      default:
        this.#onUnknownPost(kind)
    }
  }

  #onLog(requestNo: number, lines: LogLine[] | undefined): void {
    if (lines === undefined) this.kill('a module has broken the code that runs it: it posts lines that are none')
    else this.#host.onLog(this.plan, this.#turns.find(requestNo)?.call.requestId, lines)
  }

  #onMisfit(text: string): void {
    if (!this.#cursor.isWarmingUp) this.#host.onMisfit?.(this.plan, text.slice(0, limits.log.lineCharsMax))
  }

  /** A kind that the compiler does not know of. It comes only when a module has broken the code that posts. */
  #onUnknownPost(kind: never): void {
    this.kill(`a module has broken the code that runs it: it posts ${JSON.stringify(String(kind).slice(0, 20))}`)
  }

  #beginRunning(): void {
    this.#beWatched()
    if (this.#running++ > 0) return
    this.#cpu.run()
    this.#host.onRunning(this, true)
  }

  #comeBack(): void {
    if (--this.#running > 0) return
    this.#cpu.rest()
    this.#host.onRunning(this, false)
  }

  /** Runs code inside the isolate that no turn belongs to, such as a timer. */
  readonly #enter = (run: (entrance: Entrance) => Promise<unknown>): void => {
    if (!this.#alive()) return
    this.#clock.write()
    this.#beginRunning()
    run(this.#entrance).then(
      () => this.#comeBack(),
      (error: unknown) => {
        this.#comeBack()
        if (this.#alive()) this.#logUnhandled(error)
      },
    )
  }
}
