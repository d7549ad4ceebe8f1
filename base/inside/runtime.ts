/**
 * The code that runs inside every isolate, around the modules. The cell takes the text of `install` (types are stripped to blanks) and
 * compiles it there, so it may use nothing from outside its own body.
 */
import type { installCalls, Services } from './calls.ts'
import type { Globals, GlobalsBridge, GlobalsLimits } from './globals.ts'
import type { Failure, Inside, InsideLimits, LogLine, Post, ServiceNames, StagePlan } from './protocol.ts'

/** Sets up the globals of a slot and returns the functions the cell calls. Runs once per isolate, before any module. */
export function install(
  setUpGlobals: (bridge: GlobalsBridge, limits: GlobalsLimits) => Globals,
  setUpCalls: typeof installCalls,
  post: Post,
  cursorMemory: SharedArrayBuffer,
  limits: InsideLimits,
  seed: string,
  partNames: readonly string[],
  ...partTexts: string[]
): Inside {
  interface Request {
    readonly no: number
    readonly id: string
    readonly body: string
    readonly unit: string | undefined
    readonly deadlineAt: number
    readonly params: unknown
    readonly bucket: number | undefined
    done: boolean
    lines: LogLine[] | undefined
    /** Names of the stages that had no part in the answer, or less than all. */
    degraded: string[] | undefined
    /** Milliseconds that each stage took, once one took any. */
    tookMs: number[] | undefined
    calls: number
  }

  /** A module bound to a stage. */
  interface Step {
    readonly stage: string
    readonly module: string
    readonly run: (input: unknown, ctx: Context) => unknown
  }

  interface Stage extends Omit<StagePlan, 'modules' | 'merge' | 'fallbackModule'> {
    readonly steps: readonly Step[]
    readonly merge: Step | undefined
    readonly fallbackStep: Step | undefined
    /** What stands for the result when the stage is skipped and there is no input to pass on. */
    readonly first: boolean
  }

  /** A failure on its way through a group; no module can make one. */
  class Fault {
    readonly failure: Failure
    constructor(failure: Failure) {
      this.failure = failure
    }
  }

  const { parse, stringify } = JSON
  const { freeze, values: objectValues } = Object
  const { floor } = Math
  const { now } = Date
  const cursor = new Float64Array(cursorMemory)
  // Their values in `CURSOR` and `AnswerKind`: nothing from outside this function is there where it runs.
  const [started, running] = [0, 1]
  const [ok, failed, waiting, noted] = [0, 1, 2, 3]
  const stride = 6
  const modules = new Map<string, Readonly<Record<string, unknown>>>()
  /** Only requests whose stages went async are in here. */
  const open = new Map<number, Request>()
  /** Answers of requests that went async, posted together. */
  let outbox: (string | number)[] = []
  let scene = ''
  let version = ''
  let stages: readonly Stage[] = []

  // ── logging ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  let logSecond = 0
  let logged = 0
  let dropped = 0

  function logLine(level: LogLine['level'], module: string | undefined, message: string, fields?: unknown): LogLine | undefined {
    const second = floor(now() / 1000)
    if (second !== logSecond) {
      logSecond = second
      logged = 0
    }
    if (++logged > limits.logLinesPerSecond) {
      dropped++
      return undefined
    }
    const line = { level, module, message: message.slice(0, limits.logLineChars), ...fieldsOf(fields), ...(dropped > 0 && { dropped }) }
    dropped = 0
    return line
  }

  function fieldsOf(fields: unknown): { fields?: string; stack?: string } {
    if (fields === undefined) return {}
    const stack = stackOf(fields)
    if (stack.stack !== undefined) return stack
    try {
      return { fields: stringify(fields)?.slice(0, limits.logLineChars) ?? '' }
    } catch (error) {
      return { fields: stringify({ unprintable: messageOf(error) }) }
    }
  }

  function postLines(requestNo: number, lines: readonly LogLine[]): void {
    post('log', requestNo, stringify(lines))
  }

  /** Logs that belong to a request leave with its answer, in one message. */
  function logFor(request: Request, level: LogLine['level'], message: unknown, fields: unknown): void {
    const line = logLine(level, current?.module, textOf(message), fields)
    if (line !== undefined) keepLine(request, line)
  }

  function keepLine(request: Request, line: LogLine): void {
    if (request.done) postLines(request.no, [line])
    else if (request.lines === undefined) request.lines = [line]
    else request.lines.push(line)
  }

  /** The step whose synchronous part is running, for naming the module of a log line, and the request it runs for. */
  let current: Step | undefined
  let served: Request | undefined

  /** A line of `console`, which belongs to no request. */
  function logText(level: LogLine['level'], text: string): void {
    const line = logLine(level, current?.module, text)
    if (line !== undefined) postLines(0, [line])
  }

  function textOf(value: unknown): string {
    if (typeof value === 'string') return value
    try {
      if (value instanceof Error) return String(value.stack ?? value.message)
      return typeof value === 'object' && value !== null ? (stringify(value) ?? String(value)) : String(value)
    } catch {
      // A value whose own conversion throws still gets a line.
      return '[unprintable]'
    }
  }

  /** Whatever was thrown may run code of the module when it is looked at. */
  function stackOf(thrown: unknown): { stack?: string } {
    try {
      return thrown instanceof Error ? { stack: `${thrown.stack}`.slice(0, limits.logLineChars) } : {}
    } catch {
      return {}
    }
  }

  function messageOf(thrown: unknown): string {
    try {
      return String(thrown instanceof Error ? thrown.message : thrown).slice(0, limits.logLineChars)
    } catch {
      return '[unprintable]'
    }
  }

  const globals = setUpGlobals(
    {
      startTimer: (no, delayMs) => post('timer', no, delayMs),
      log: logText,
      load: part => partTexts[partNames.indexOf(part)] as string,
      fetch: (...request) => calls.fetch(...request),
      seed,
    },
    { slotTimers: limits.slotTimers },
  )
  const { setTimeout, clearTimeout } = globalThis
  const calls = setUpCalls(post, limits, { running: () => served, open: () => open.values() }, () => cursor[running] === 1)

  // ── what a stage sees ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Without recursion: what comes from JSON may be nested deeper than the stack. */
  function deepFreeze(root: unknown): unknown {
    const left = [root]
    for (let value = left.pop(); left.length > 0 || value !== undefined; value = left.pop()) {
      if (typeof value !== 'object' || value === null) continue
      freeze(value)
      for (const member of objectValues(value)) if (typeof member === 'object' && member !== null) left.push(member)
    }
    return root
  }

  let requestOf: (ctx: Context) => Request

  class Context {
    readonly #request: Request
    #input: unknown
    #services: Services | undefined

    static {
      requestOf = ctx => ctx.#request
    }

    constructor(request: Request) {
      this.#request = request
    }

    get request(): unknown {
      // Parsed apart from the first stage's input, which that stage may change, and only for who asks: most stages do not.
      this.#input ??= deepFreeze(parse(this.#request.body))
      return this.#input
    }

    get scene(): string {
      return scene
    }

    get version(): string {
      return version
    }

    get unit(): string | undefined {
      return this.#request.unit
    }

    get bucket(): number | undefined {
      return this.#request.bucket
    }

    get requestId(): string {
      return this.#request.id
    }

    get params(): unknown {
      return this.#request.params
    }

    get log() {
      const request = this.#request
      return {
        debug: (message: unknown, fields?: unknown) => logFor(request, 'debug', message, fields),
        info: (message: unknown, fields?: unknown) => logFor(request, 'info', message, fields),
        warn: (message: unknown, fields?: unknown) => logFor(request, 'warn', message, fields),
        error: (message: unknown, fields?: unknown) => logFor(request, 'error', message, fields),
      }
    }

    deadlineMs(): number {
      return this.#request.deadlineAt - now()
    }

    call(callee: unknown, input: unknown): Promise<unknown> {
      return calls.ask(this.#request, '', String(callee), input)
    }

    get services(): unknown {
      this.#services ??= calls.servicesFor(this.#request)
      return this.#services
    }

    get fetch(): (input: unknown, init?: unknown) => Promise<unknown> {
      const request = this.#request
      return (input, init) => globals.fetchFor(request, input, init)
    }
  }

  // Else a module could make contexts of its own, or change what others and later requests see.
  Reflect.deleteProperty(Context.prototype, 'constructor')
  freeze(Context.prototype)

  // ── modules and requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  function define(module: string, stages: readonly string[], exports: unknown): Failure | undefined {
    const found = typeof exports === 'object' && exports !== null ? (exports as Readonly<Record<string, unknown>>) : {}
    const names = Object.keys(found)
    if (names.length === 0) return { code: 'MODULE_EXPORTS_NOTHING', message: `Cannot load module "${module}": it exports nothing`, module }
    for (const stage of stages) {
      if (!names.includes(stage)) {
        const message = `Cannot load module "${module}": it does not export "${stage}", only ${names.join(', ')}`
        return { code: 'MODULE_EXPORT_MISSING', message, module, stage }
      }
      if (typeof found[stage] !== 'function') {
        const message = `Cannot load module "${module}": its export "${stage}" is not a function but ${kindOf(found[stage])}`
        return { code: 'MODULE_EXPORT_NOT_FUNCTION', message, module, stage }
      }
    }
    modules.set(module, found)
    return undefined
  }

  function link(sceneId: string, versionId: string, plans: readonly StagePlan[], services: ServiceNames): void {
    calls.offer(services)
    scene = sceneId
    version = versionId
    stages = plans.map(({ modules: keys, merge, fallbackModule, ...plan }, i) => {
      const bind = (module: string): Step => ({ stage: plan.stage, module, run: modules.get(module)?.[plan.stage] as Step['run'] })
      const optional = (module: string | undefined) => (module === undefined ? undefined : bind(module))
      return { ...plan, first: i === 0, steps: keys.map(bind), merge: optional(merge), fallbackStep: optional(fallbackModule) }
    })
  }

  let paramsText = '{}'
  let params: unknown = freeze({})
  /** By their text: experiments give requests a few combinations in turn. */
  const knownParams = new Map<string, unknown>()

  function turn(firstNo: number, ...values: (string | number)[]): void {
    const answers: (string | number)[] = []
    for (let i = 0; i < values.length; i += stride) {
      const request = begin(firstNo + i / stride, values, i)
      const answer = startSafely(request)
      if (answer === undefined) {
        open.set(request.no, request)
        answers.push(request.no, waiting, '')
      } else pushAnswer(answers, request, answer)
    }
    // Calls first: whoever hears that a request waits has heard what for.
    calls.flush()
    post('answers', ...answers)
    mend()
  }

  /** `RegExp.prototype` cannot be frozen without making every regular expression slow: what was done to it is undone instead. */
  function mend(): void {
    const mended = globals.mendRegExp()
    if (mended === undefined) return
    logText('warn', `RegExp.prototype was changed and has been mended: ${mended.changed.join(', ')}`)
    if (!mended.complete) post('broken')
  }

  /** One request must not take the answers of its turn with it, whatever it has done to the code here. */
  function startSafely(request: Request): string | Failure | undefined {
    try {
      return start(request)
    } catch (error) {
      return brokenBy(error)
    }
  }

  /** To look at what a module has returned may run its code again: a proxy's. */
  const brokenBy = (error: unknown): Failure => ({ code: 'MODULE_THREW', message: messageOf(error) })

  function begin(no: number, values: readonly (string | number)[], i: number): Request {
    const unit = values[i + 2] as string
    const bucket = values[i + 5] as number
    return {
      no,
      id: values[i] as string,
      body: values[i + 1] as string,
      unit: unit === '' ? undefined : unit,
      deadlineAt: values[i + 3] as number,
      params: paramsOf(values[i + 4] as string),
      bucket: bucket < 0 ? undefined : bucket,
      done: false,
      lines: undefined,
      degraded: undefined,
      tookMs: undefined,
      calls: 0,
    }
  }

  function paramsOf(json: string): unknown {
    if (json === paramsText) return params
    params = knownParams.get(json)
    if (params === undefined) {
      if (knownParams.size >= limits.paramsKept) knownParams.clear()
      params = deepFreeze(parse(json))
      knownParams.set(json, params)
    }
    paramsText = json
    return params
  }

  function start(request: Request): string | Failure | undefined {
    if (request.deadlineAt <= now()) return { code: 'DEADLINE_EXCEEDED', message: 'Its deadline passed before it began' }
    let input: unknown
    try {
      input = parse(request.body)
    } catch (error) {
      return { code: 'BODY_MALFORMED', message: `Cannot read the body: ${messageOf(error)}` }
    }
    cursor[started] = request.no
    cursor[running] = 1
    try {
      return runStages(request, new Context(request), 0, input)
    } finally {
      cursor[running] = 0
    }
  }

  // Values here are a module's result, a Fault, or a promise of one of these, which rejects only when a result cannot be looked at. Whatever
  // can go without a promise does.

  /** Runs the stages from `index` on. Undefined when one went async: the rest follows when it settles. */
  function runStages(request: Request, ctx: Context, index: number, input: unknown): string | Failure | undefined {
    let value = input
    let beganAt = now()
    for (let i = index; i < stages.length; i++) {
      value = runStage(request, ctx, stages[i] as Stage, value)
      if (value instanceof Promise) {
        value.then(
          result => continueAfter(request, ctx, i, beganAt, result),
          error => settle(request, brokenBy(error)),
        )
        return undefined
      }
      if (value instanceof Fault) return value.failure
      beganAt = markTime(request, i, beganAt)
    }
    return toJson(value)
  }

  /** Returns when the stage ended, which is when the next one begins. */
  function markTime(request: Request, index: number, beganAt: number): number {
    const endedAt = now()
    if (endedAt > beganAt) {
      request.tookMs ??= stages.map(() => 0)
      request.tookMs[index] = endedAt - beganAt
    }
    return endedAt
  }

  function continueAfter(request: Request, ctx: Context, index: number, beganAt: number, result: unknown): void {
    // Its caller has gone: do not spend the slot's time on the remaining stages.
    if (request.done) return
    markTime(request, index, beganAt)
    try {
      const answer = result instanceof Fault ? result.failure : runStages(request, ctx, index + 1, result)
      if (answer !== undefined) settle(request, answer)
    } catch (error) {
      settle(request, brokenBy(error))
    }
  }

  function runStage(request: Request, ctx: Context, stage: Stage, input: unknown): unknown {
    const result = stage.parallel ? runParallel(request, ctx, stage, input) : runSequence(ctx, stage.steps, 0, input)
    if (result instanceof Promise) {
      // The modules of a parallel stage are bounded one by one: those in time still count.
      const bounded = stage.parallel ? result : withinDeadline(stage, result)
      return bounded.then(settled => orInstead(request, ctx, stage, input, settled))
    }
    return orInstead(request, ctx, stage, input, result)
  }

  function runSequence(ctx: Context, steps: readonly Step[], index: number, input: unknown): unknown {
    let value = input
    for (let i = index; i < steps.length; i++) {
      value = runStep(ctx, steps[i] as Step, value)
      if (value instanceof Fault) return value
      if (value instanceof Promise) return value.then(result => (result instanceof Fault ? result : runSequence(ctx, steps, i + 1, result)))
    }
    return value
  }

  function runParallel(request: Request, ctx: Context, stage: Stage, input: unknown): unknown {
    const results = stage.steps.map(step => runStep(ctx, step, input))
    if (!results.some(result => result instanceof Promise)) return merge(request, ctx, stage, results)
    const bounded = results.map(result => (result instanceof Promise ? withinDeadline(stage, result) : result))
    return Promise.all(bounded).then(settled => merge(request, ctx, stage, settled))
  }

  /** One result of a parallel stage's. With `skip`, modules that failed are left out, unless all did. */
  function merge(request: Request, ctx: Context, stage: Stage, results: readonly unknown[]): unknown {
    const faults = results.filter(result => result instanceof Fault)
    const fine = results.filter(result => !(result instanceof Fault))
    if (faults.length > 0 && (stage.onFailure !== 'skip' || fine.length === 0)) return faults[0]
    for (const { failure } of faults) markDegraded(request, stage, failure)
    if (stage.merge !== undefined) return runStep(ctx, stage.merge, fine)
    const other = fine.find(result => !Array.isArray(result))
    if (other === undefined) return fine.flat()
    const message = `Stage "${stage.stage}" cannot join the results of its modules: one returned ${kindOf(other)}, not a list`
    return new Fault({ code: 'RESULT_NOT_LIST', message, stage: stage.stage })
  }

  function runStep(ctx: Context, step: Step, input: unknown): unknown {
    const { run } = step
    try {
      current = step
      served = requestOf(ctx)
      const value = run(input, ctx)
      if (!isThenable(value)) return orFault(step, value)
      // Made anew: what a module's own promise has for a `then` is called by the engine, where nothing of ours can be broken by it.
      return new Promise<unknown>(resolve => resolve(value)).then(
        settled => orFault(step, settled),
        error => threw(step, error),
      )
    } catch (error) {
      return threw(step, error)
    } finally {
      current = undefined
      served = undefined
    }
  }

  /** What a failed stage gives all the same, if the scene says so. */
  function orInstead(request: Request, ctx: Context, stage: Stage, input: unknown, result: unknown): unknown {
    if (!(result instanceof Fault) || stage.onFailure === 'fail') return result
    markDegraded(request, stage, result.failure)
    if (stage.onFailure === 'skip') return stage.first ? [] : input
    return stage.fallbackStep === undefined ? parse(stage.fallbackValue as string) : runStep(ctx, stage.fallbackStep, input)
  }

  function markDegraded(request: Request, { stage, onFailure }: Stage, { message, module, stack }: Failure): void {
    request.degraded ??= []
    if (!request.degraded.includes(stage)) request.degraded.push(stage)
    const line = logLine('warn', module, `Stage "${stage}" failed (${onFailure}): ${message}`)
    if (line !== undefined) keepLine(request, stack === undefined ? line : { ...line, stack })
  }

  function withinDeadline({ stage, deadlineMs }: Stage, result: Promise<unknown>): Promise<unknown> {
    if (deadlineMs === undefined) return result
    return new Promise((resolve, reject) => {
      const message = `Stage "${stage}" had no result after ${deadlineMs} ms`
      const timer = setTimeout(() => resolve(new Fault({ code: 'DEADLINE_EXCEEDED', message, stage })), deadlineMs)
      result.then(value => {
        clearTimeout(timer)
        resolve(value)
      }, reject)
    })
  }

  function settle(request: Request, answer: string | Failure): void {
    if (request.done) return
    open.delete(request.no)
    pushAnswer(outbox, request, answer)
    // The first of a batch sends it, once the microtasks that are due have run.
    if (outbox.length === 3) Promise.resolve().then(flushOutbox)
  }

  function flushOutbox(): void {
    const answers = outbox
    outbox = []
    post('answers', ...answers)
  }

  function pushAnswer(answers: (string | number)[], request: Request, answer: string | Failure): void {
    request.done = true
    if (request.lines !== undefined) postLines(request.no, request.lines)
    if (typeof answer !== 'string') answers.push(request.no, failed, stringify(answer))
    else if (request.degraded === undefined && request.tookMs === undefined) answers.push(request.no, ok, answer)
    else answers.push(request.no, noted, `${request.degraded?.join(',') ?? ''} ${request.tookMs?.join(',') ?? ''}\n${answer}`)
  }

  function abandon(no: number): void {
    const request = open.get(no)
    if (request === undefined) return
    open.delete(no)
    request.done = true
    if (request.lines !== undefined) postLines(no, request.lines)
    calls.forget(request)
  }

  function isThenable(value: unknown): boolean {
    return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
  }

  function threw({ stage, module }: Step, error: unknown): Fault {
    const code = calls.codeOf(error) ?? 'MODULE_THREW'
    return new Fault({ code, message: messageOf(error), stage, module, ...stackOf(error) })
  }

  function orFault(step: Step, value: unknown): unknown {
    const type = typeof value
    if (type === 'object' || type === 'string' || type === 'number' || type === 'boolean') return value
    const code = type === 'undefined' ? 'RESULT_UNDEFINED' : type === 'bigint' ? 'RESULT_BIGINT' : 'RESULT_NOT_DATA'
    const message = `Stage "${step.stage}" of module "${step.module}" returned ${kindOf(value)}`
    return new Fault({ code, message, stage: step.stage, module: step.module })
  }

  function toJson(value: unknown): string | Failure {
    const { stage, steps } = stages[stages.length - 1] as Stage
    const where = { stage, module: (steps[steps.length - 1] as Step).module }
    let json: string | undefined
    try {
      json = stringify(value)
    } catch (error) {
      return unserialisable(error, where)
    }
    // An object whose toJSON returns undefined.
    if (json === undefined) return { code: 'RESULT_UNDEFINED', message: 'The answer turns into undefined as JSON', ...where }
    if (json.length <= limits.resultChars) return json
    const message = `The answer has ${json.length} characters of JSON, over the limit of ${limits.resultChars}`
    return { code: 'RESULT_TOO_LARGE', message, ...where }
  }

  function unserialisable(error: unknown, where: { stage: string; module: string }): Failure {
    const message = messageOf(error)
    const name = nameOf(error)
    if (name === 'RangeError') {
      const tooLarge = message.includes('string length')
      return { code: tooLarge ? 'RESULT_TOO_LARGE' : 'RESULT_TOO_DEEP', message: `The answer cannot become JSON: ${message}`, ...where }
    }
    if (name === 'TypeError' && message.startsWith('Converting circular')) return { code: 'RESULT_CYCLE', message, ...where }
    if (name === 'TypeError' && message.includes('BigInt')) return { code: 'RESULT_BIGINT', message, ...where }
    return { code: 'MODULE_THREW', message, ...where, ...stackOf(error) }
  }

  function nameOf(thrown: unknown): string {
    try {
      return thrown instanceof Error ? thrown.name : ''
    } catch {
      return ''
    }
  }

  function kindOf(value: unknown): string {
    if (value === null) return 'null'
    if (value === undefined) return 'undefined'
    return `a ${typeof value}`
  }

  const { settleCalls, settleFetch } = calls
  return { define, link, turn, abandon, settleCalls, settleFetch, fireTimer: globals.fireTimer, probe: () => undefined }
}
