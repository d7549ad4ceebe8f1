/**
 * One isolate, specialised to one version of a scene. Three things can be asked of it: call, drain, dispose.
 */
import ivm from 'isolated-vm'
import {
  AnswerKind,
  CALL_STRIDE,
  CURSOR,
  type Failure,
  type Inside,
  type InsideLimits,
  type LogLine,
  type Post,
  type ServiceNames,
  type Step,
} from '../inside/protocol.ts'
import { install } from '../inside/runtime.ts'
import { BerthError, type ErrorCode, errorTable, messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { LockedModule } from '../traffic/schema.ts'
import type { SlotPlan } from '../traffic/table.ts'

/** One request as a slot sees it. */
export interface SlotCall {
  readonly requestId: string
  /** The caller's JSON, not parsed. */
  readonly body: string
  readonly unit: string | undefined
  /** Monotonic, `performance.now()`. */
  readonly deadlineAt: number
  /** Milliseconds of CPU it may use in one go before its slot is killed. */
  readonly cpuMs: number
  /** JSON of the parameters. */
  readonly params: string
  /** Ids of the scenes under way in this chain of `ctx.call`, this one included, outermost first. */
  readonly chain: readonly string[]
}

/** A request on its way through a slot, and through a second one when the first dies under it without its fault. */
export interface Pending {
  readonly call: SlotCall
  readonly resolve: (answer: string) => void
  readonly reject: (error: BerthError) => void
  /** In the slot it is in now; 0 while it waits for a turn. */
  no: number
  /** Answered, or given up. */
  done: boolean
  /** It has had an effect outside the slot, so it must not run again. */
  calledOut: boolean
  /** It was in a slot that was killed, and may be why: it runs with nothing beside it. */
  alone: boolean
}

/** What a slot needs of the cell around it. */
export interface SlotHost {
  /** Text of a bundle. */
  readBundle(digest: string): Promise<string>
  /** Serves a `ctx.call`: the answer as JSON. */
  callScene(scene: string, input: string, caller: SlotCall): Promise<string>
  /** Services that slots may use, each with its methods. */
  readonly services: ServiceNames
  /** Asks a base service: `args` is a JSON array, the answer is JSON. Rejects with a BerthError only. */
  callService(service: string, method: string, args: string, caller: SlotCall): Promise<string>
  onLog(plan: SlotPlan, requestId: string | undefined, lines: readonly LogLine[]): void
  /** The slot is dead; `survivors` are its requests that may run again, in the order they came. */
  onKilled(slot: Slot, reason: string, survivors: readonly Pending[]): void
  /** V8 is in a state that only the end of the process mends. */
  onDoomed(reason: string): void
}

/** An answer that did not come about, with what only the engineer should see. */
export class ModuleError extends BerthError {
  readonly module: string | undefined
  readonly stage: string | undefined
  readonly rawStack: string | undefined

  constructor(failure: Failure) {
    const extra = {
      ...(failure.stage !== undefined && { stage: failure.stage }),
      ...(failure.module !== undefined && { module: failure.module }),
    }
    super(failure.code in errorTable ? (failure.code as ErrorCode) : 'INTERNAL', failure.message, { extra })
    this.module = failure.module
    this.stage = failure.stage
    this.rawStack = failure.stack
  }
}

type Remote<K extends keyof Inside> = ivm.Reference<Inside[K]>
/** `install` as the cell calls it: a callback crosses as a function. */
type SetUp = (post: ivm.Callback<Post>, cursor: SharedArrayBuffer, limits: InsideLimits) => Inside
type Remotes = { readonly [K in 'turn' | 'abandon' | 'settleCalls' | 'fireTimer' | 'probe']: Remote<K> }

/** A request that was seen running, and the CPU time of the isolate then. */
interface Watched {
  readonly no: number
  readonly cpuNs: bigint
}

/** When the probe went in, and what the slot had done by then. */
interface Deaf {
  readonly since: number
  readonly settled: number
  readonly cpuNs: bigint
}

const insideText = `'use strict';(${install.toString()})`
const insideLimits: InsideLimits = {
  resultChars: limits.resultBytesMax,
  requestCalls: limits.requestCallsMax,
  slotTimers: limits.slotTimersMax,
  logLinesPerSecond: limits.slotLogLinesPerSecondMax,
  logLineChars: limits.logLineCharsMax,
}
/** A turn is also bounded in number, so that its arguments and answers are. */
const TURN_REQUESTS_MAX = 64
const TURNS_IN_FLIGHT = 2
const byReference = { result: { reference: true } } as const

/** The name a module's script has in stack traces. */
export const scriptName = (module: LockedModule): string => `berth:///${module.name}@${module.version}.js`
const moduleKey = (module: LockedModule): string => `${module.name}@${module.version}`

export class Slot {
  readonly plan: SlotPlan
  readonly #isolate: ivm.Isolate
  readonly #host: SlotHost
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Written inside, readable here while the isolate runs and after its end. */
  readonly #cursor = new Int32Array(new SharedArrayBuffer(8))
  /** Set by the time `load` hands the slot out. */
  #inside!: Remotes
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
  #cpuNs = 0n
  #settlements: (string | number)[] = []
  #lastNo = 0
  #dead = false
  #drained: (() => void) | undefined
  /** Turns that V8 has not come back from. */
  #running = 0
  #settled = 0
  #deaf: Deaf | undefined
  #watched: Watched | undefined

  private constructor(plan: SlotPlan, host: SlotHost) {
    this.plan = plan
    this.#host = host
    this.#isolate = new ivm.Isolate({
      memoryLimit: plan.memoryMB,
      onCatastrophicError: message => host.onDoomed(`slot ${plan.key}: ${message}`),
    })
  }

  /**
   * Makes an isolate and loads the version's modules into it.
   * @throws BerthError saying which module cannot be loaded and why; the isolate is gone then.
   */
  static async load(plan: SlotPlan, host: SlotHost): Promise<Slot> {
    const slot = new Slot(plan, host)
    try {
      await slot.#specialise()
      return slot
    } catch (error) {
      slot.dispose()
      throw error
    }
  }

  async #specialise(): Promise<void> {
    const { plan } = this
    const context = await this.#isolate.createContext()
    const script = await this.#isolate.compileScript(insideText, { filename: 'berth:///inside.js' })
    const setUp = (await script.run(context, { reference: true })) as ivm.Reference<SetUp>
    const post = new ivm.Callback<Post>(this.#onPost, { ignored: true })
    const cursor = new ivm.ExternalCopy(this.#cursor.buffer).copyInto() as ivm.Copy<SharedArrayBuffer>
    const copied = new ivm.ExternalCopy(insideLimits).copyInto()
    const inside = (await setUp.apply(undefined, [post, cursor, copied], byReference)) as ivm.Reference<Inside>
    const define = await remote(inside, 'define')
    for (const [module, stages] of modulesOf(plan)) await this.#define(context, define, module, stages)
    const steps: Step[] = plan.lock.flatMap(({ stage, modules }) => modules.map(module => ({ stage, module: moduleKey(module) })))
    const link = await remote(inside, 'link')
    await link.apply(undefined, [
      plan.scene,
      plan.version,
      new ivm.ExternalCopy(steps).copyInto(),
      new ivm.ExternalCopy(this.#host.services).copyInto(),
    ])
    this.#inside = {
      turn: await remote(inside, 'turn'),
      abandon: await remote(inside, 'abandon'),
      settleCalls: await remote(inside, 'settleCalls'),
      fireTimer: await remote(inside, 'fireTimer'),
      probe: await remote(inside, 'probe'),
    }
    this.#cpuNs = this.#isolate.cpuTime
  }

  async #define(context: ivm.Context, define: Remote<'define'>, module: LockedModule, stages: readonly string[]): Promise<void> {
    const key = moduleKey(module)
    const code = await this.#host.readBundle(module.bundle)
    let script: ivm.Script
    try {
      script = await this.#isolate.compileScript(code, { filename: scriptName(module) })
    } catch (error) {
      throw compileFailure(key, messageOf(error))
    }
    let exports: ivm.Reference<unknown>
    try {
      exports = (await script.run(context, { reference: true, timeout: limits.moduleLoadMsMax })) as ivm.Reference<unknown>
    } catch (error) {
      throw this.#loadFailure(key, error)
    }
    const stageNames = new ivm.ExternalCopy([...stages]).copyInto()
    const failure = (await define.apply(undefined, [key, stageNames, exports.derefInto()], { result: { copy: true } })) as
      | Failure
      | undefined
    exports.release()
    if (failure !== undefined) throw new ModuleError(failure)
  }

  #loadFailure(module: string, error: unknown): ModuleError {
    const message = messageOf(error)
    if (this.#isolate.isDisposed || message === 'Script execution timed out.') {
      const why = this.#isolate.isDisposed
        ? `over its memory limit of ${this.plan.memoryMB} MB`
        : `still running after ${limits.moduleLoadMsMax} ms`
      return new ModuleError({ code: 'MODULE_LOAD_KILLED', message: `Cannot load module "${module}": its top level was ${why}`, module })
    }
    const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
    return new ModuleError({ code: 'MODULE_LOAD_THREW', message: `Cannot load module "${module}": it threw: ${message}`, module, ...stack })
  }

  /** Requests that have no answer yet. */
  get pending(): number {
    let sum = this.#queue.length + this.#waiting.size
    for (const turn of this.#turns) sum += turn.length
    return sum
  }

  /** Nanoseconds of CPU that the isolate has used since it was made; it stays what it was when the isolate has ended. */
  get cpuNs(): bigint {
    return this.#isolate.isDisposed ? this.#cpuNs : this.#isolate.cpuTime
  }

  /** Milliseconds of CPU that the requests which wait for the isolate's thread are expected to use. */
  get backlogMs(): number {
    let requests = this.#queue.length
    for (const turn of this.#turns) requests += turn.length
    return requests * this.#costMs
  }

  /**
   * Runs one request. Any number may be under way; they share the isolate's thread.
   * @returns the answer as JSON
   * @throws BerthError: the module's failure, `SCENE_OVERLOADED`, `DEADLINE_EXCEEDED` or `MODULE_KILLED`
   */
  call(call: SlotCall): Promise<string> {
    if (this.pending >= limits.slotPendingMax) return Promise.reject(this.#overloaded())
    return new Promise((resolve, reject) => this.adopt({ call, resolve, reject, no: 0, done: false, calledOut: false, alone: false }))
  }

  /** Takes over a request that another slot died under. */
  adopt(pending: Pending): void {
    if (this.#dead) {
      pending.done = true
      pending.reject(this.#killedError('before it began'))
      return
    }
    this.#queue.push(pending)
    this.#pump()
  }

  // ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends what waits, as much as fits in a turn. A second turn is sent while the first runs, so that the isolate need not wait for us. */
  #pump(): void {
    while (this.#queue.length > 0 && this.#turns.length < TURNS_IN_FLIGHT && !this.#dead) {
      const turn = this.#takeTurn()
      if (turn.length === 0) return
      this.#send(turn)
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
    const size = Math.max(1, Math.min(TURN_REQUESTS_MAX, Math.floor(limits.turnCpuMs / this.#costMs)))
    const alone = this.#queue.findIndex(pending => pending.alone)
    return this.#queue.splice(0, alone < 0 ? size : Math.min(size, alone))
  }

  #send(turn: Pending[]): void {
    const wallMinusMonotonic = Date.now() - performance.now()
    const values: (string | number)[] = []
    for (const pending of turn) {
      const { requestId, body, unit = '', deadlineAt, params } = pending.call
      pending.no = ++this.#lastNo
      values.push(pending.no, requestId, body, unit, deadlineAt + wallMinusMonotonic, params)
    }
    this.#turns.push(turn)
    this.#running++
    this.#inside.turn.apply(undefined, values).then(
      () => this.#running--,
      (error: unknown) => this.#onTurnFailed(error),
    )
  }

  /** Answers are posted, not returned: then a promise that somebody in the module forgot, and that rejects in this turn, costs nobody an answer. */
  #onTurnFailed(error: unknown): void {
    this.#running--
    if (this.#dead) return
    if (this.#isolate.isDisposed) this.kill(`over its memory limit of ${this.plan.memoryMB} MB`)
    else this.#logStray(error)
  }

  #logStray(error: unknown): void {
    const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
    const line: LogLine = { level: 'error', module: undefined, message: `Unhandled rejection: ${messageOf(error)}`, ...stack }
    this.#host.onLog(this.plan, undefined, [line])
  }

  #onAnswers(values: readonly (string | number)[]): void {
    const turn = this.#turns[0]?.[0]?.no === values[0] ? this.#turns.shift() : undefined
    for (let i = 0; i < values.length; i += 3) {
      const no = values[i] as number
      const pending = turn === undefined ? this.#waiting.get(no) : turn[i / 3]
      if (pending !== undefined) this.#onAnswer(pending, values[i + 1] as number, values[i + 2] as string)
    }
    if (turn !== undefined) this.#learnCost(turn.length)
    if (this.#queue.length > 0) this.#pump()
    if (this.#drained !== undefined && this.pending === 0) this.#drained()
  }

  #onAnswer(pending: Pending, kind: number, text: string): void {
    if (kind === AnswerKind.waiting) {
      if (!pending.done) this.#waiting.set(pending.no, pending)
      return
    }
    this.#waiting.delete(pending.no)
    this.#settled++
    if (pending.done) return
    pending.done = true
    if (kind === AnswerKind.ok) pending.resolve(text)
    else pending.reject(new ModuleError(JSON.parse(text) as Failure))
  }

  #learnCost(requests: number): void {
    const cpuNs = this.#isolate.cpuTime
    const costMs = Number(cpuNs - this.#cpuNs) / 1e6 / requests
    this.#cpuNs = cpuNs
    this.#costMs += (costMs - this.#costMs) / 8
  }

  // ── the watchdog ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One look of the watchdog: answers what is past its deadline, kills the slot when a request uses too much or it no longer listens. */
  watch(now: number): void {
    if (this.#queue.length > 0) this.#queue = this.#queue.filter(pending => !this.#expire(pending, now))
    for (const turn of this.#turns) for (const pending of turn) this.#expire(pending, now)
    for (const [no, pending] of this.#waiting) {
      if (!this.#expire(pending, now)) continue
      this.#waiting.delete(no)
      this.#inside.abandon.applyIgnored(undefined, [no])
      this.#listen()
    }
    this.#pump()
    this.#watchRunning(now)
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
      this.#watched = current && { no: current.no, cpuNs: this.#isolate.cpuTime }
      return
    }
    const usedMs = Number(this.#isolate.cpuTime - this.#watched.cpuNs) / 1e6
    if (usedMs > current.call.cpuMs) this.kill(`a request used more than ${current.call.cpuMs} ms of CPU`)
    else if (current.done && now > current.call.deadlineAt + limits.slotDeafMsMax && usedMs > limits.slotDeafMsMax / 2) {
      this.kill('stuck past the deadline of a request')
    }
  }

  /** Asks for a sign of life, to tell code that loops after an `await` from code that waits. */
  #listen(): void {
    if (this.#deaf !== undefined) return
    this.#deaf = { since: performance.now(), settled: this.#settled, cpuNs: this.#isolate.cpuTime }
    this.#probe()
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
    if (deaf.settled !== this.#settled) {
      this.#deaf = { since: now, settled: this.#settled, cpuNs: this.#isolate.cpuTime }
      return
    }
    const burntMs = Number(this.#isolate.cpuTime - deaf.cpuNs) / 1e6
    if (now - deaf.since >= limits.slotDeafMsMax && burntMs >= limits.slotDeafMsMax / 2) this.kill('stuck past the deadline of a request')
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
    // Loops inside V8's builtins outlive a disposal; then the thread is lost and only the end of the cell gets it back.
    if (this.#running > 0)
      setTimeout(() => this.#running > 0 && this.#host.onDoomed(`slot ${this.plan.key} cannot be stopped`), limits.slotStopMsMax)
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
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    if (this.#isolate.isDisposed) return
    this.#cpuNs = this.#isolate.cpuTime
    this.#isolate.dispose()
  }

  #killedError(reason: string): BerthError {
    const message = `The slot of scene "${this.plan.scene}" version "${this.plan.version}" was killed: ${reason}`
    return new BerthError('MODULE_KILLED', message, { retryAfterSeconds: 1 })
  }

  #overloaded(): BerthError {
    const message = `Cannot serve scene "${this.plan.scene}": ${limits.slotPendingMax} requests are in its slot already`
    return new BerthError('SCENE_OVERLOADED', message, { retryAfterSeconds: 1 })
  }

  // ── what comes out of the isolate ────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #onPost = (kind: string, ...values: (string | number)[]): void => {
    if (this.#dead) return
    if (kind === 'answers') this.#onAnswers(values)
    else if (kind === 'timer') this.#startTimer(Number(values[0]), Number(values[1]))
    else if (kind === 'calls') this.#onCalls(values)
    else this.#host.onLog(this.plan, this.#find(Number(values[0]))?.call.requestId, JSON.parse(String(values[1])) as LogLine[])
  }

  #find(no: number): Pending | undefined {
    return this.#waiting.get(no) ?? this.#turns.flat().find(pending => pending.no === no)
  }

  #startTimer(no: number, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#inside.fireTimer.applyIgnored(undefined, [no])
    }, delayMs)
    this.#timers.add(timer)
  }

  #onCalls(values: readonly (string | number)[]): void {
    for (let i = 0; i < values.length; i += CALL_STRIDE) {
      const caller = this.#find(values[i + 1] as number)
      // Answered meanwhile: the code inside has forgotten the call too.
      if (caller !== undefined && !caller.done)
        this.#onCall(caller, values[i] as number, ...(values.slice(i + 2, i + 5) as [string, string, string]))
    }
  }

  #onCall(caller: Pending, callNo: number, service: string, method: string, input: string): void {
    const asked = service === '' ? this.#callScene(caller, method, input) : this.#host.callService(service, method, input, caller.call)
    asked.then(
      answer => this.#settleCall(callNo, 1, answer),
      (error: BerthError) => this.#settleCall(callNo, 0, JSON.stringify({ code: error.code, message: error.message })),
    )
  }

  #callScene(caller: Pending, scene: string, input: string): Promise<string> {
    caller.calledOut = true
    return this.#host.callScene(scene, input, caller.call)
  }

  /** Settlements of one turn of our event loop go in together. */
  #settleCall(callNo: number, answered: 0 | 1, text: string): void {
    this.#settlements.push(callNo, answered, text)
    if (this.#settlements.length === 3) setImmediate(() => this.#sendSettlements())
  }

  #sendSettlements(): void {
    const values = this.#settlements
    this.#settlements = []
    if (!this.#dead) this.#inside.settleCalls.applyIgnored(undefined, values)
  }
}

async function remote<K extends keyof Inside>(inside: ivm.Reference<Inside>, name: K): Promise<Remote<K>> {
  return (await inside.get(name, { reference: true })) as Remote<K>
}

/** Each module of a plan once, with every stage it is bound to. */
function modulesOf(plan: SlotPlan): Map<LockedModule, string[]> {
  const byKey = new Map<string, LockedModule>()
  const found = new Map<LockedModule, string[]>()
  for (const { stage, modules } of plan.lock) {
    for (const module of modules) {
      const first = byKey.get(moduleKey(module)) ?? module
      byKey.set(moduleKey(module), first)
      found.set(first, [...(found.get(first) ?? []), stage])
    }
  }
  return found
}

function compileFailure(module: string, message: string): ModuleError {
  const awaits = /\bawait\b/.test(message)
  const code = awaits ? 'MODULE_LOAD_AWAITS' : 'BUNDLE_INVALID'
  const why = awaits ? 'it awaits at its top level' : `it is not a classic script: ${message}`
  return new ModuleError({ code, message: `Cannot load module "${module}": ${why}`, module })
}
