/**
 * One isolate, specialised to one version of a scene. Three things can be asked of it: call, drain, dispose.
 */
import type ivm from 'isolated-vm'
import { AnswerKind, CURSOR, type LogLine, type Posted } from '../inside/protocol.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { Blank, Remotes } from './blank.ts'
import { Inspector } from './inspector.ts'
import { parseFailure } from './module-error.ts'
import { Outside, type OutsideHost } from './outside.ts'
import type { Pending, SlotAnswer, SlotCall } from './slot-call.ts'
import { type SpecialiseParts, specialise } from './specialise.ts'

/** What a slot needs of the cell around it. */
export interface SlotHost extends SpecialiseParts, OutsideHost {
  onLog(plan: SlotPlan, requestId: string | undefined, lines: readonly LogLine[]): void
  /** The slot is dead; `survivors` are its requests that may run again, in the order they came. */
  onKilled(slot: Slot, reason: string, survivors: readonly Pending[]): void
  /** V8 is in a state that only the end of the process mends. */
  onDoomed(reason: string): void
  /** Code of the slot begins to run, or has come back. */
  onRunning(slot: Slot, running: boolean): void
}

/** CPU times read together: what was used since then is at most what either has grown by. */
interface CpuMark {
  /** Of the isolate. It is told with the time in which other things had the processor of its thread. */
  readonly isolateNs: bigint
  /** Of all threads of this process. */
  readonly processUs: number
}

/** A request that was seen running, and the CPU times then. */
interface Watched {
  readonly no: number
  readonly cpu: CpuMark
}

/** When the probe went in, and what the slot had done by then. */
interface Deaf {
  readonly since: number
  readonly settled: number
  readonly cpu: CpuMark
  /** Milliseconds of CPU it may burn without a sign. */
  readonly burntMsMax: number
}

/** A turn is also bounded in number, so that its arguments and answers are. */
const TURN_REQUESTS_MAX = 64
const TURNS_IN_FLIGHT = 2
/** Stray rejections of a slot that are logged in a second. */
const STRAYS_PER_SECOND = 5
export class Slot {
  readonly plan: SlotPlan
  readonly #isolate: ivm.Isolate
  readonly #context: ivm.Context
  readonly #cursor: Float64Array
  readonly #inside: Remotes
  readonly #host: SlotHost
  readonly #outside: Outside
  /** Waiting for a turn. */
  #queue: Pending[] = []
  /** In turns that have not posted their answers yet, oldest first. */
  readonly #turns: Pending[][] = []
  /** Waiting for something outside the isolate. */
  readonly #waiting = new Map<number, Pending>()
  /** The request that has the slot to itself. */
  #alone: Pending | undefined
  /** What one request costs, in milliseconds of CPU: a moving mean. */
  #costMs = 0.1
  /** How long one request in a turn holds up those behind it, in milliseconds: a moving mean. */
  #paceMs = 0
  /** When the oldest turn had the isolate to itself. */
  #turnSince = 0
  #cpuNs: bigint
  #lastCpuNs: bigint
  #lastNo = 0
  #lastCallAt = performance.now()
  #dead = false
  #drained: (() => void) | undefined
  /** Calls into the isolate that V8 has not come back from. */
  #running = 0
  #settled = 0
  #deaf: Deaf | undefined
  #watched: Watched | undefined
  /** No turn is sent, and what runs is no request's. */
  #held = false
  #inspector: Inspector | undefined
  readonly #strays = { second: 0, count: 0 }

  private constructor(plan: SlotPlan, { isolate, context, cursor, listener, earlyPosts }: Blank, inside: Remotes, host: SlotHost) {
    this.plan = plan
    this.#isolate = isolate
    this.#context = context
    this.#cursor = cursor
    this.#inside = inside
    this.#host = host
    const asking = { plan, find: this.#find, begun: this.#begun, enter: this.#enter }
    this.#outside = new Outside(asking, host)
    this.#cpuNs = isolate.cpuTime
    this.#lastCpuNs = this.#cpuNs
    listener.onPost = this.#onPost
    // What modules have posted while they were loaded.
    for (const [kind, ...values] of earlyPosts.splice(0)) this.#onPost(kind, ...values)
    listener.onLost = message => host.onDoomed(`slot ${plan.key}: ${message}`)
  }

  /**
   * Loads a version's modules into a blank, which is gone when that fails.
   * @throws ModuleError saying which module cannot be loaded and why
   */
  static async load(plan: SlotPlan, blank: Blank, host: SlotHost): Promise<Slot> {
    blank.listener.onLost = message => host.onDoomed(`slot ${plan.key}: ${message}`)
    return new Slot(plan, blank, await specialise(blank, plan, host), host)
  }

  /** Whether any request has been answered by it. */
  get hasAnswered(): boolean {
    return this.#settled > 0
  }

  /** When the last request came, by `performance.now()`. */
  get lastCallAt(): number {
    return this.#lastCallAt
  }

  /** Requests that have no answer yet. */
  get pending(): number {
    let sum = this.#queue.length + this.#waiting.size
    for (const turn of this.#turns) sum += turn.length
    return sum
  }

  /** Nanoseconds of CPU that the isolate has used since it was made; it stays what it was when the isolate has ended. */
  get cpuNs(): bigint {
    return this.#readCpu()
  }

  /** Milliseconds of CPU that the requests which wait for the isolate's thread are expected to use. */
  get backlogMs(): number {
    return this.#waitingForThread * this.#costMs
  }

  /** Milliseconds until they are expected to be through: more than the CPU, when the machine has other things to do. */
  get waitMs(): number {
    return this.#waitingForThread * Math.max(this.#costMs, this.#paceMs)
  }

  get #waitingForThread(): number {
    let requests = this.#queue.length
    for (const turn of this.#turns) requests += turn.length
    return requests
  }

  /**
   * Runs one request. Any number may be under way; they share the isolate's thread.
   * @throws BerthError: the module's failure, `SCENE_OVERLOADED`, `DEADLINE_EXCEEDED` or `MODULE_KILLED`
   */
  call(call: SlotCall): Promise<SlotAnswer> {
    this.#lastCallAt = performance.now()
    if (this.pending >= limits.slot.pendingMax) return Promise.reject(this.#overloaded())
    const calledAt = this.#lastCallAt
    return new Promise((resolve, reject) =>
      this.adopt({ call, resolve, reject, no: 0, calledAt, sentAt: calledAt, done: false, calledOut: false, alone: false }),
    )
  }

  /** Takes over a request that another slot died under. */
  adopt(pending: Pending): void {
    if (this.#dead) {
      pending.done = true
      pending.reject(this.#killedError('before it began'))
      return
    }
    this.#queue.push(pending)
    // Not at once: what else arrives in this turn of the event loop goes in with it. Waking the isolate's thread costs as much as five requests' text.
    if (this.#queue.length === 1) setImmediate(this.#pumpLater)
  }

  // ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #pumpLater = (): void => this.#pump()

  /** Sends what waits, as much as fits in a turn. A second turn is sent while the first runs, so that the isolate need not wait for us. */
  #pump(): void {
    while (this.#queue.length > 0 && this.#turns.length < TURNS_IN_FLIGHT && !this.#dead && !this.#held) {
      const turn = this.#takeTurn()
      if (turn.length === 0 || !this.#send(turn)) return
    }
  }

  #takeTurn(): Pending[] {
    if (this.#alone !== undefined && !this.#alone.done) return []
    this.#alone = undefined
    if (this.#queue[0]?.alone) {
      if (this.#turns.length + this.#waiting.size > 0) return []
      this.#alone = this.#queue[0]
      return this.#queue.splice(0, 1)
    }
    const size = Math.max(1, Math.min(TURN_REQUESTS_MAX, Math.floor(limits.slot.turnCpuMs / this.#costMs)))
    const alone = this.#queue.findIndex(pending => pending.alone)
    return this.#queue.splice(0, alone < 0 ? size : Math.min(size, alone))
  }

  /** False when the isolate turned out to be gone; then the turn has been seen to. */
  #send(turn: Pending[]): boolean {
    const sentAt = performance.now()
    const wallMinusMonotonic = Date.now() - sentAt
    const values: [firstNo: number, ...(string | number)[]] = [this.#lastNo + 1]
    for (const pending of turn) {
      const { requestId, body, unit = '', deadlineAt, params, bucket = -1 } = pending.call
      pending.no = ++this.#lastNo
      pending.sentAt = sentAt
      values.push(requestId, body, unit, deadlineAt + wallMinusMonotonic, params, bucket)
    }
    if (this.#turns.length === 0) this.#turnSince = sentAt
    this.#turns.push(turn)
    if (!this.#alive()) return false
    this.#begin()
    this.#inside.turn.apply(undefined, values).then(
      () => this.#onTurnOver(turn),
      (error: unknown) => this.#onTurnOver(turn, error),
    )
    return true
  }

  /**
   * Answers are posted, not returned: then a promise that somebody in the module forgot, and that rejects in this turn, costs nobody an answer.
   * They were posted before the turn was over, so a turn without them is one whose code around the module has been broken.
   */
  #onTurnOver(turn: Pending[], error?: unknown): void {
    this.#comeBack()
    if (!this.#alive()) return
    if (error !== undefined) this.#logStray(error)
    setImmediate(() => {
      if (this.#turns.includes(turn)) this.kill('a module has broken the code that runs it')
    })
  }

  #logStray(error: unknown): void {
    const second = Math.floor(performance.now() / 1000)
    if (this.#strays.second !== second) Object.assign(this.#strays, { second, count: 0 })
    if (++this.#strays.count > STRAYS_PER_SECOND) return
    const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
    const line: LogLine = { level: 'error', module: undefined, message: `Unhandled rejection: ${messageOf(error)}`, ...stack }
    this.#host.onLog(this.plan, undefined, [line])
  }

  /** Whether the isolate is there to talk to. One that ended by itself, out of memory, is seen to first. */
  #alive(): boolean {
    if (!this.#dead && this.#isolate.isDisposed) this.kill(`over its memory limit of ${this.plan.memoryMB} MB`)
    return !this.#dead
  }

  #onAnswers(values: readonly (string | number)[]): void {
    const turn = this.#turns[0]?.[0]?.no === values[0] ? this.#turns.shift() : undefined
    for (let i = 0; i < values.length; i += 3) {
      const no = values[i] as number
      const pending = turn === undefined ? this.#waiting.get(no) : turn[i / 3]
      if (pending !== undefined) this.#onAnswer(pending, values[i + 1] as number, values[i + 2] as string)
    }
    if (turn !== undefined && this.#alive()) this.#learnCost(turn.length)
    if (this.#queue.length > 0) this.#pump()
    if (this.#drained !== undefined && this.pending === 0) this.#drained()
  }

  #onAnswer(pending: Pending, kind: number, text: string): void {
    if (kind === AnswerKind.waiting) {
      if (pending.done) this.#inside.abandon.applyIgnored(undefined, [pending.no])
      else this.#waiting.set(pending.no, pending)
      return
    }
    this.#waiting.delete(pending.no)
    this.#settled++
    if (pending.done) return
    pending.done = true
    const queueMs = pending.sentAt - pending.calledAt
    if (kind === AnswerKind.ok) pending.resolve({ json: text, degraded: undefined, tookMs: undefined, queueMs })
    else if (kind === AnswerKind.noted) pending.resolve(splitNotes(text, queueMs))
    else pending.reject(parseFailure(text))
  }

  /** CPU time of the isolate. One out of memory ends on its own thread, at any moment: then it is what was read last. */
  #readCpu(): bigint {
    try {
      this.#lastCpuNs = this.#isolate.cpuTime
    } catch {
      // Whoever asks next whether it is alive sees to it.
    }
    return this.#lastCpuNs
  }

  #markCpu(): CpuMark {
    return { isolateNs: this.#readCpu(), processUs: processCpuUs() }
  }

  /** Milliseconds of CPU used since then, at most. A machine that was busy with others has not let a request use any. */
  #usedMs(since: CpuMark): number {
    return Math.min(Number(this.#readCpu() - since.isolateNs) / 1e6, (processCpuUs() - since.processUs) / 1e3)
  }

  #learnCost(requests: number): void {
    const cpuNs = this.#readCpu()
    const costMs = Number(cpuNs - this.#cpuNs) / 1e6 / requests
    this.#cpuNs = cpuNs
    this.#costMs += (costMs - this.#costMs) / 8
    const now = performance.now()
    this.#paceMs += ((now - this.#turnSince) / requests - this.#paceMs) / 8
    this.#turnSince = now
  }

  // ── the watchdog ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One look of the watchdog: answers what is past its deadline, kills the slot when a request uses too much or it no longer listens. */
  watch(now: number): void {
    if (!this.#alive()) return
    if (this.#queue.length > 0) this.#queue = this.#queue.filter(pending => !this.#expire(pending, now))
    for (const turn of this.#turns) for (const pending of turn) this.#expire(pending, now)
    for (const [no, pending] of this.#waiting) {
      if (!this.#expire(pending, now)) continue
      this.#waiting.delete(no)
      this.#inside.abandon.applyIgnored(undefined, [no])
      this.#listen(limits.slot.deafMsMax / 2)
    }
    if (this.#held) return
    this.#pump()
    this.#watchRunning(now)
    if (this.#dead) return
    // A timer, or what an answered request left behind, may loop, also in front of turns that were sent.
    if (this.#running > 0 && this.#current() === undefined) this.#listen(this.#cpuMsOfWaiting())
    if (this.#deaf !== undefined) this.#watchDeaf(this.#deaf, now)
    if (this.#drained !== undefined && this.pending === 0) this.#drained()
  }

  #expire(pending: Pending, now: number): boolean {
    if (pending.done) return true
    const { deadlineAt, chain } = pending.call
    if (now < deadlineAt) return false
    pending.done = true
    const extra = chain.length > 1 ? { chain } : {}
    pending.reject(new BerthError('DEADLINE_EXCEEDED', `No answer from scene "${this.plan.scene}" before its deadline`, { extra }))
    return true
  }

  /** The request whose synchronous code runs now, by the cursor. */
  #current(): Pending | undefined {
    if (this.#cursor[CURSOR.running] !== 1) return undefined
    const no = this.#cursor[CURSOR.started]
    return this.#turns[0]?.find(pending => pending.no === no)
  }

  #watchRunning(now: number): void {
    const current = this.#current()
    if (current === undefined || this.#watched?.no !== current.no) {
      this.#watched = current && { no: current.no, cpu: this.#markCpu() }
      return
    }
    const usedMs = this.#usedMs(this.#watched.cpu)
    if (usedMs > current.call.cpuMs) this.kill(`a request used more than ${current.call.cpuMs} ms of CPU`)
    else if (current.done && now > current.call.deadlineAt + limits.slot.deafMsMax && usedMs > limits.slot.deafMsMax / 2) {
      this.kill('stuck past the deadline of a request')
    }
  }

  /** Asks for a sign of life, to tell code that loops after an `await` or in a timer from code that waits. */
  #listen(burntMsMax: number): void {
    if (this.#deaf !== undefined) {
      if (burntMsMax < this.#deaf.burntMsMax) this.#deaf = { ...this.#deaf, burntMsMax }
      return
    }
    this.#deaf = { since: performance.now(), settled: this.#settled, cpu: this.#markCpu(), burntMsMax }
    this.#probe()
  }

  #cpuMsOfWaiting(): number {
    let most: number = limits.slot.idleCpuMsMax
    for (const { call } of this.#waiting.values()) most = Math.max(most, call.cpuMs)
    return most
  }

  #probe(): void {
    this.#inside.probe.apply(undefined, []).then(
      () => {
        this.#deaf = undefined
      },
      () => undefined, // Disposed: whoever did that has seen to the rest.
    )
  }

  /** Deaf is a slot that has burnt CPU for a while without settling anything, not one that waits its turn on a busy machine. */
  #watchDeaf(deaf: Deaf, now: number): void {
    // A request that is seen running has bounds of its own.
    if (deaf.settled !== this.#settled || this.#current() !== undefined) {
      this.#deaf = { ...deaf, since: now, settled: this.#settled, cpu: this.#markCpu() }
      return
    }
    if (now - deaf.since >= limits.slot.deafMsMax && this.#usedMs(deaf.cpu) >= deaf.burntMsMax)
      this.kill('stuck in code that no request is seen to run')
  }

  /**
   * Ends the isolate at once. The culprit, where it is known, is answered MODULE_KILLED. Requests that had not begun run again in the next
   * slot; those that had begun but had no effect outside run again once, each alone, since any of them may be the culprit; the rest are answered
   * MODULE_KILLED.
   */
  kill(reason: string): void {
    if (this.#dead) return
    const culprit = this.#current()
    const started = this.#cursor[CURSOR.started] ?? 0
    this.#end()
    const survivors: Pending[] = []
    for (const pending of [...this.#waiting.values(), ...this.#turns.flat(), ...this.#queue]) {
      if (pending.done) continue
      const begun = pending.no > 0 && pending.no <= started
      if (pending === culprit || (begun && (pending.alone || pending.calledOut))) {
        pending.done = true
        pending.reject(this.#killedError(reason))
      } else survivors.push(Object.assign(pending, { no: 0, alone: begun || pending.alone }))
    }
    this.#queue = []
    this.#turns.length = 0
    this.#waiting.clear()
    this.#drained?.()
    this.#host.onKilled(this, reason, survivors)
  }

  /** Resolves when no request is left; deadlines bound it. Give it no new ones. */
  async drain(): Promise<void> {
    if (this.pending > 0) await new Promise<void>(resolve => (this.#drained = resolve))
  }

  /** Frees the isolate. Idempotent. Drain it first, unless its requests may be lost. */
  dispose(): void {
    if (!this.#dead) this.#end()
  }

  #end(): void {
    this.#dead = true
    this.#deaf = undefined
    this.#outside.end()
    this.#lastCpuNs = this.#readCpu()
    this.#endIsolate()
    if (this.#running === 0) return
    // Loops inside V8's builtins outlive a disposal; then the thread is lost and only the end of the cell gets it back.
    const doom = () => this.#running > 0 && this.#host.onDoomed(`slot ${this.plan.key} cannot be stopped`)
    setTimeout(doom, limits.slot.stopMsMax)
  }

  #endIsolate(): void {
    const inspector = this.#inspector
    if (inspector?.isBereft) {
      this.#host.onDoomed(`slot ${this.plan.key} ran out of memory while it was profiled, and its thread is lost`)
    }
    const dispose = () => {
      if (!this.#isolate.isDisposed) this.#isolate.dispose()
    }
    if (inspector === undefined) dispose()
    else inspector.close().then(dispose)
  }

  // ── being looked at ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether it was killed or disposed of. */
  get hasEnded(): boolean {
    return this.#dead
  }

  /** Whether code of it runs, as far as is known here. */
  get isRunning(): boolean {
    return this.#running > 0
  }

  /** Sends no turn until `release`: requests wait, up to their deadlines, and the watchdog leaves what runs alone. What is sent goes on. */
  hold(): void {
    this.#held = true
  }

  release(): void {
    if (!this.#held) return
    this.#held = false
    // What ran meanwhile is on no request's account.
    this.#watched = undefined
    if (this.#deaf !== undefined) this.#deaf = { ...this.#deaf, since: performance.now(), cpu: this.#markCpu() }
    this.#pump()
  }

  /**
   * Opens V8's inspector. Hold the slot, and wait until nothing runs in it.
   * @throws PROFILE_FAILED when it has ended; PROFILE_BUSY while another is open, or on its way out of an isolate that does not answer
   */
  inspect(onNotification?: (text: string) => void): Inspector {
    if (!this.#alive()) throw new BerthError('PROFILE_FAILED', 'Cannot profile the slot: it has ended meanwhile')
    if (this.#inspector?.isOpen) throw new BerthError('PROFILE_BUSY', 'Cannot profile the slot: the last profile of it is not over')
    this.#inspector = new Inspector(this.#isolate, this.#context, onNotification)
    return this.#inspector
  }

  /** Bytes of its heap. Waits for what runs in it. */
  async heapBytes(): Promise<number> {
    return (await this.#isolate.getHeapStatistics()).used_heap_size
  }

  #killedError(reason: string): BerthError {
    const message = `The slot of scene "${this.plan.scene}" version "${this.plan.version}" was killed: ${reason}`
    return new BerthError('MODULE_KILLED', message, { retryAfterSeconds: 1 })
  }

  #overloaded(): BerthError {
    const message = `Cannot serve scene "${this.plan.scene}": ${limits.slot.pendingMax} requests are in its slot already`
    return new BerthError('SCENE_OVERLOADED', message, { retryAfterSeconds: 1 })
  }

  // ── what comes out of the isolate ────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #onPost = (kind: string, ...posted: Posted[]): void => {
    if (this.#dead) return
    // All but the body of a fetch is text and numbers.
    const values = posted as (string | number)[]
    if (kind === 'fetch') this.#outside.fetch(...(posted as [number, number, number, string, string, (string | ArrayBuffer)?]))
    else if (kind === 'answers') this.#onAnswers(values)
    else if (kind === 'timer') this.#outside.startTimer(Number(values[0]), Number(values[1]))
    else if (kind === 'broken') this.kill('a module has changed a built-in for good')
    else if (kind === 'calls') this.#outside.call(values)
    else if (kind === 'unfetch') this.#outside.abortFetch(Number(values[0]))
    else this.#host.onLog(this.plan, this.#find(Number(values[0]))?.call.requestId, JSON.parse(String(values[1])) as LogLine[])
  }

  readonly #find = (no: number): Pending | undefined => {
    const waiting = this.#waiting.get(no)
    if (waiting !== undefined) return waiting
    // Those of a turn are numbered without a gap.
    for (const turn of this.#turns) {
      const found = turn[no - (turn[0]?.no ?? 0)]
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Requests that have been sent into the isolate. */
  readonly #begun = (): Pending[] => [...this.#waiting.values(), ...this.#turns.flat()]

  #begin(): void {
    this.#running++
    this.#host.onRunning(this, true)
  }

  #comeBack(): void {
    if (--this.#running === 0) this.#host.onRunning(this, false)
  }

  /** Runs code inside that no request waits for directly. */
  readonly #enter = (run: (inside: Remotes) => Promise<unknown>): void => {
    if (!this.#alive()) return
    this.#begin()
    run(this.#inside).then(
      () => this.#comeBack(),
      (error: unknown) => {
        this.#comeBack()
        if (this.#alive()) this.#logStray(error)
      },
    )
  }
}

function splitNotes(text: string, queueMs: number): SlotAnswer {
  const at = text.indexOf('\n')
  const [degraded, tookMs] = text.slice(0, at).split(' ')
  return { json: text.slice(at + 1), degraded: degraded || undefined, tookMs: tookMs || undefined, queueMs }
}

/** Of all threads, in microseconds. */
function processCpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
