/**
 * One isolate, specialised to one version of a scene. Three things can be asked of it: call, drain, dispose.
 */
import ivm from 'isolated-vm'
import type { Failure, Inside, InsideLimits, LogLine, Post, Step } from '../inside/protocol.ts'
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
  /** JSON of the parameters. */
  readonly params: string
  /** Ids of the scenes under way in this chain of `ctx.call`, this one included, outermost first. */
  readonly chain: readonly string[]
}

/** What a slot needs of the cell around it. */
export interface SlotHost {
  /** Text of a bundle. */
  readBundle(digest: string): Promise<string>
  /** Serves a `ctx.call`: the answer as JSON. */
  callScene(scene: string, input: string, caller: SlotCall): Promise<string>
  onLog(plan: SlotPlan, requestId: string | undefined, lines: readonly LogLine[]): void
  /** The slot killed itself or was killed; `killed` settles its callers before this is called. */
  onKilled(slot: Slot, reason: string): void
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

interface Pending {
  readonly call: SlotCall
  readonly resolve: (answer: string) => void
  readonly reject: (error: BerthError) => void
}

type Remote<K extends keyof Inside> = ivm.Reference<Inside[K]>
/** `install` as the cell calls it: a callback crosses as a function. */
type SetUp = (post: ivm.Callback<Post>, scene: string, version: string, limits: InsideLimits) => Inside
type Remotes = { readonly [K in 'dispatch' | 'abandon' | 'settleCall' | 'fireTimer' | 'probe']: Remote<K> }

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
const byReference = { result: { reference: true } } as const
/** Strings and numbers cross as they are; only a failure, an object, is copied. */
const answerOptions = { result: { copy: true, promise: true } } as const

/** The name a module's script has in stack traces. */
export const scriptName = (module: LockedModule): string => `berth:///${module.name}@${module.version}.js`
const moduleKey = (module: LockedModule): string => `${module.name}@${module.version}`

export class Slot {
  readonly plan: SlotPlan
  readonly #isolate: ivm.Isolate
  readonly #host: SlotHost
  readonly #pending = new Map<number, Pending>()
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Set by the time `load` hands the slot out. */
  #inside!: Remotes
  #lastNo = 0
  #dead = false
  #drained: (() => void) | undefined
  /** Applies that V8 has not come back from. */
  #running = 0
  #settled = 0
  #deaf: Deaf | undefined

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
    const copied = new ivm.ExternalCopy(insideLimits).copyInto()
    const inside = (await setUp.apply(undefined, [post, plan.scene, plan.version, copied], byReference)) as ivm.Reference<Inside>
    const define = await remote(inside, 'define')
    for (const [module, stages] of modulesOf(plan)) await this.#define(context, define, module, stages)
    const steps: Step[] = plan.lock.flatMap(({ stage, modules }) => modules.map(module => ({ stage, module: moduleKey(module) })))
    const link = await remote(inside, 'link')
    await link.apply(undefined, [new ivm.ExternalCopy(steps).copyInto()])
    this.#inside = {
      dispatch: await remote(inside, 'dispatch'),
      abandon: await remote(inside, 'abandon'),
      settleCall: await remote(inside, 'settleCall'),
      fireTimer: await remote(inside, 'fireTimer'),
      probe: await remote(inside, 'probe'),
    }
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
    return this.#pending.size
  }

  /**
   * Runs one request. Any number may be under way; they share the isolate's thread.
   * @returns the answer as JSON
   * @throws BerthError: the module's failure, `SCENE_OVERLOADED`, `DEADLINE_EXCEEDED` or `MODULE_KILLED`
   */
  call(call: SlotCall): Promise<string> {
    if (this.#dead) return Promise.reject(this.#killedError('before it began'))
    if (this.#pending.size >= limits.slotPendingMax) return Promise.reject(this.#overloaded())
    return new Promise((resolve, reject) => {
      const no = ++this.#lastNo
      this.#pending.set(no, { call, resolve, reject })
      this.#running++
      const wallDeadline = Date.now() + call.deadlineAt - performance.now()
      this.#inside.dispatch
        .apply(undefined, [no, call.requestId, call.body, call.unit, wallDeadline, call.params], answerOptions)
        .then(answer => this.#onAnswer(no, answer as string | Failure | undefined))
        .catch((error: unknown) => this.#onApplyFailed(no, error))
    })
  }

  #onAnswer(no: number, answer: string | Failure | undefined): void {
    this.#running--
    const pending = this.#take(no)
    if (pending === undefined || answer === undefined) return
    if (typeof answer === 'string') pending.resolve(answer)
    else pending.reject(new ModuleError(answer))
  }

  /** The isolate ended under the request, or somebody's stray promise rejected while this request was running. */
  #onApplyFailed(no: number, error: unknown): void {
    this.#running--
    if (this.#isolate.isDisposed && !this.#dead) this.kill(`over its memory limit of ${this.plan.memoryMB} MB`)
    const pending = this.#take(no)
    if (pending === undefined) return
    const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
    pending.reject(new ModuleError({ code: 'MODULE_THREW', message: `Unhandled rejection: ${messageOf(error)}`, ...stack }))
  }

  #take(no: number): Pending | undefined {
    const pending = this.#pending.get(no)
    if (pending === undefined) return undefined
    this.#pending.delete(no)
    this.#settled++
    if (this.#pending.size === 0) this.#drained?.()
    return pending
  }

  /** One look of the watchdog: answers what is past its deadline, kills the slot when it no longer listens. */
  watch(now: number): void {
    for (const [no, { call }] of this.#pending) if (now >= call.deadlineAt) this.#expire(no, call)
    if (this.#deaf !== undefined) this.#watchDeaf(this.#deaf, now)
  }

  #expire(no: number, call: SlotCall): void {
    const message = `No answer from scene "${this.plan.scene}" before its deadline`
    this.#take(no)?.reject(
      new BerthError('DEADLINE_EXCEEDED', message, { extra: { chain: call.chain.length > 1 ? call.chain : undefined } }),
    )
    this.#inside.abandon.applyIgnored(undefined, [no])
    if (this.#deaf === undefined) this.#listen()
  }

  #listen(): void {
    this.#deaf = { since: performance.now(), settled: this.#settled, cpuNs: this.#isolate.cpuTime }
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

  /** Ends the isolate at once; what was in it is answered MODULE_KILLED. */
  kill(reason: string): void {
    if (this.#dead) return
    this.#end()
    for (const { reject } of this.#pending.values()) reject(this.#killedError(reason))
    this.#pending.clear()
    this.#drained?.()
    this.#host.onKilled(this, reason)
    // Loops inside V8's builtins outlive a disposal; then the thread is lost and only the end of the cell gets it back.
    if (this.#running > 0)
      setTimeout(() => this.#running > 0 && this.#host.onDoomed(`slot ${this.plan.key} cannot be stopped`), limits.slotStopMsMax)
  }

  /** Resolves when no request is left; deadlines bound it. Give it no new ones. */
  async drain(): Promise<void> {
    if (this.#pending.size > 0) await new Promise<void>(resolve => (this.#drained = resolve))
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
    if (!this.#isolate.isDisposed) this.#isolate.dispose()
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

  readonly #onPost = (kind: string, a: number, b: number | string, c?: string, d?: string): void => {
    if (this.#dead) return
    if (kind === 'timer') this.#startTimer(a, Number(b))
    else if (kind === 'call') this.#callScene(a, Number(b), String(c), String(d))
    else this.#host.onLog(this.plan, this.#pending.get(a)?.call.requestId, JSON.parse(String(b)) as LogLine[])
  }

  #startTimer(no: number, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#inside.fireTimer.applyIgnored(undefined, [no])
    }, delayMs)
    this.#timers.add(timer)
  }

  #callScene(callNo: number, requestNo: number, scene: string, input: string): void {
    const caller = this.#pending.get(requestNo)?.call
    if (caller === undefined) return // Answered meanwhile: the code inside has forgotten the call too.
    const settle = (ok: boolean, text: string) => {
      if (!this.#dead) this.#inside.settleCall.applyIgnored(undefined, [callNo, ok, text])
    }
    this.#host.callScene(scene, input, caller).then(
      answer => settle(true, answer),
      (error: BerthError) => settle(false, JSON.stringify({ code: error.code, message: error.message })),
    )
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
