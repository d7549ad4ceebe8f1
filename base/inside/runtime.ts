/**
 * The code that runs inside every isolate, around the modules. The cell takes the text of `install` (types are stripped to blanks) and
 * compiles it there, so it may use nothing from outside its own body.
 */
import type { Failure, Inside, InsideLimits, LogLine, Post, ServiceNames, Step } from './protocol.ts'

/** Sets up the globals of a slot and returns the functions the cell calls. Runs once per isolate, before any module. */
export function install(post: Post, cursorMemory: SharedArrayBuffer, limits: InsideLimits): Inside {
  interface Request {
    readonly no: number
    readonly id: string
    readonly body: string
    readonly unit: string | undefined
    readonly deadlineAt: number
    readonly params: unknown
    done: boolean
    lines: LogLine[] | undefined
    calls: number
  }

  interface BoundStep extends Step {
    readonly run: (input: unknown, ctx: Context) => unknown
  }

  interface OpenCall {
    readonly request: Request
    readonly resolve: (value: unknown) => void
    readonly reject: (reason: Error) => void
  }

  const { parse, stringify } = JSON
  const { freeze } = Object
  const { now } = Date
  const cursor = new Int32Array(cursorMemory)
  // Their values in `CURSOR` and `AnswerKind`: nothing from outside this function is there where it runs.
  const [started, running] = [0, 1]
  const [ok, failed, waiting] = [0, 1, 2]
  const stride = 6
  const callStride = 5
  const modules = new Map<string, Readonly<Record<string, unknown>>>()
  /** Only requests whose stages went async are in here. */
  const open = new Map<number, Request>()
  const calls = new Map<number, OpenCall>()
  const timers = new Map<number, () => void>()
  /** Answers of requests that went async, posted together. */
  let outbox: (string | number)[] = []
  /** What requests ask of the cell, posted together. */
  let callbox: (string | number)[] = []
  let services: ServiceNames = {}
  let scene = ''
  let version = ''
  let steps: readonly BoundStep[] = []
  let lastCall = 0
  let lastTimer = 0

  // Memory outside the heap limit, and shared memory: nothing an algorithm needs, everything an attacker wants.
  for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics']) Reflect.deleteProperty(globalThis, name)

  // ── logging ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  let logSecond = 0
  let logged = 0
  let dropped = 0

  function logLine(level: LogLine['level'], module: string | undefined, message: string, fields?: unknown): LogLine | undefined {
    const second = Math.floor(now() / 1000)
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
    if (fields instanceof Error) return { stack: textOf(fields.stack) }
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
    if (line === undefined) return
    if (request.done) postLines(request.no, [line])
    else if (request.lines === undefined) request.lines = [line]
    else request.lines.push(line)
  }

  /** The step whose synchronous part is running, for naming the module of a log line. */
  let current: BoundStep | undefined

  function consoleMethod(level: LogLine['level']): (...values: unknown[]) => void {
    return (...values) => {
      const line = logLine(level, current?.module, values.map(textOf).join(' '))
      if (line !== undefined) postLines(0, [line])
    }
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

  function messageOf(thrown: unknown): string {
    try {
      return String(thrown instanceof Error ? thrown.message : thrown).slice(0, limits.logLineChars)
    } catch {
      return '[unprintable]'
    }
  }

  // ── globals ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  function setTimeout(run: (...values: unknown[]) => void, delayMs: unknown = 0, ...values: unknown[]): number {
    if (typeof run !== 'function') throw new TypeError('setTimeout takes a function')
    if (timers.size >= limits.slotTimers) throw new RangeError(`setTimeout: ${limits.slotTimers} timers are open in this slot already`)
    const no = ++lastTimer
    timers.set(no, () => run(...values))
    const delay = Number(delayMs)
    post('timer', no, delay > 0 ? Math.min(delay, 2 ** 31 - 1) : 0)
    return no
  }

  function clearTimeout(no: number): void {
    timers.delete(no)
  }

  function fireTimer(no: number): void {
    const run = timers.get(no)
    if (run === undefined) return
    timers.delete(no)
    try {
      run()
    } catch (error) {
      consoleMethod('error')('A timer threw:', error)
    }
  }

  const globals = {
    setTimeout,
    clearTimeout,
    queueMicrotask: (run: () => void) => {
      Promise.resolve()
        .then(run)
        .catch(error => consoleMethod('error')('A microtask threw:', error))
    },
    console: {
      log: consoleMethod('info'),
      info: consoleMethod('info'),
      debug: consoleMethod('debug'),
      warn: consoleMethod('warn'),
      error: consoleMethod('error'),
    },
  }
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false })
  }

  // ── what a stage sees ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  function deepFreeze<T>(value: T): T {
    if (typeof value !== 'object' || value === null) return value
    for (const member of Object.values(value)) deepFreeze(member)
    return freeze(value)
  }

  class Context {
    readonly #request: Request
    #input: unknown
    #services: Services | undefined

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
      return ask(this.#request, '', String(callee), input)
    }

    get services(): unknown {
      this.#services ??= servicesFor(this.#request)
      return this.#services
    }
  }

  type Services = Readonly<Record<string, Readonly<Record<string, (...values: unknown[]) => Promise<unknown>>>>>

  function servicesFor(request: Request): Services {
    const methodsOf = (service: string, methods: readonly string[]) =>
      freeze(Object.fromEntries(methods.map(method => [method, (...values: unknown[]) => ask(request, service, method, values)])))
    return freeze(Object.fromEntries(Object.entries(services).map(([service, methods]) => [service, methodsOf(service, methods)])))
  }

  /** Asks the cell for something. What is asked in one go leaves together. */
  function ask(request: Request, service: string, method: string, input: unknown): Promise<unknown> {
    const what = service === '' ? 'ctx.call' : `ctx.services.${service}.${method}`
    return new Promise((resolve, reject) => {
      if (request.done) throw new Error(`${what}: the request has been answered already`)
      if (request.calls >= limits.requestCalls)
        throw new RangeError(`${what}: ${limits.requestCalls} calls are open in this request already`)
      const json = stringify(input)
      if (json === undefined) throw new TypeError(`${what}: the input must be data that JSON can hold`)
      request.calls++
      calls.set(++lastCall, { request, resolve, reject })
      callbox.push(lastCall, request.no, service, method, json)
      if (callbox.length === callStride && cursor[running] === 0) Promise.resolve().then(flushCalls)
    })
  }

  function flushCalls(): void {
    const values = callbox
    callbox = []
    if (values.length > 0) post('calls', ...values)
  }

  function settleCalls(...values: (string | number)[]): void {
    for (let i = 0; i < values.length; i += 3) settleCall(values[i] as number, values[i + 1] === 1, values[i + 2] as string)
  }

  function settleCall(callNo: number, answered: boolean, text: string): void {
    const call = calls.get(callNo)
    if (call === undefined) return
    calls.delete(callNo)
    call.request.calls--
    const value = parse(text) as { code: string; message: string }
    if (answered) call.resolve(value)
    else call.reject(Object.assign(new Error(value.message), { code: value.code }))
  }

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

  function link(sceneId: string, versionId: string, wanted: readonly Step[], offered: ServiceNames): void {
    services = offered
    scene = sceneId
    version = versionId
    steps = wanted.map(({ stage, module }) => ({ stage, module, run: modules.get(module)?.[stage] as BoundStep['run'] }))
  }

  let paramsText = '{}'
  let params: unknown = freeze({})

  function turn(...values: (string | number)[]): void {
    const answers: (string | number)[] = []
    for (let i = 0; i < values.length; i += stride) {
      const request = begin(values, i)
      const answer = start(request)
      if (answer === undefined) {
        open.set(request.no, request)
        answers.push(request.no, waiting, '')
      } else pushAnswer(answers, request, answer)
    }
    // Calls first: whoever hears that a request waits has heard what for.
    flushCalls()
    post('answers', ...answers)
  }

  function begin(values: readonly (string | number)[], i: number): Request {
    const unit = values[i + 3] as string
    return {
      no: values[i] as number,
      id: values[i + 1] as string,
      body: values[i + 2] as string,
      unit: unit === '' ? undefined : unit,
      deadlineAt: values[i + 4] as number,
      params: paramsOf(values[i + 5] as string),
      done: false,
      lines: undefined,
      calls: 0,
    }
  }

  function paramsOf(json: string): unknown {
    if (json !== paramsText) {
      params = deepFreeze(parse(json))
      paramsText = json
    }
    return params
  }

  function start(request: Request): string | Failure | undefined {
    let input: unknown
    try {
      input = parse(request.body)
    } catch (error) {
      return { code: 'BODY_MALFORMED', message: `Cannot read the body: ${messageOf(error)}` }
    }
    cursor[started] = request.no
    cursor[running] = 1
    const answer = runSteps(request, new Context(request), 0, input)
    cursor[running] = 0
    return answer
  }

  /** Runs the steps from `index` on. Undefined when one went async: the rest follows when it settles. */
  function runSteps(request: Request, ctx: Context, index: number, input: unknown): string | Failure | undefined {
    let value = input
    for (let i = index; i < steps.length; i++) {
      const step = steps[i] as BoundStep
      const { run } = step
      let promise: Promise<unknown> | undefined
      try {
        current = step
        value = run(value, ctx)
        if (isThenable(value)) promise = Promise.resolve(value)
      } catch (error) {
        return threw(step, error)
      } finally {
        current = undefined
      }
      if (promise !== undefined) {
        continueLater(request, ctx, i, step, promise)
        return undefined
      }
      const fault = faultIn(step, value)
      if (fault !== undefined) return fault
    }
    return toJson(value)
  }

  function continueLater(request: Request, ctx: Context, index: number, step: BoundStep, promise: Promise<unknown>): void {
    promise.then(
      value => {
        // Its caller has gone: do not spend the slot's time on the remaining stages.
        if (request.done) return
        const answer = faultIn(step, value) ?? runSteps(request, ctx, index + 1, value)
        if (answer !== undefined) settle(request, answer)
      },
      error => settle(request, threw(step, error)),
    )
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
    if (typeof answer === 'string') answers.push(request.no, ok, answer)
    else answers.push(request.no, failed, stringify(answer))
  }

  function abandon(no: number): void {
    const request = open.get(no)
    if (request === undefined) return
    open.delete(no)
    request.done = true
    if (request.lines !== undefined) postLines(no, request.lines)
    for (const [callNo, call] of calls) if (call.request === request) calls.delete(callNo)
  }

  function isThenable(value: unknown): boolean {
    return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
  }

  function threw(step: BoundStep, error: unknown): Failure {
    const stack = error instanceof Error ? { stack: textOf(error.stack) } : {}
    return { code: 'MODULE_THREW', message: messageOf(error), stage: step.stage, module: step.module, ...stack }
  }

  function faultIn(step: BoundStep, value: unknown): Failure | undefined {
    const type = typeof value
    if (type === 'object' || type === 'string' || type === 'number' || type === 'boolean') return undefined
    const code = type === 'undefined' ? 'RESULT_UNDEFINED' : type === 'bigint' ? 'RESULT_BIGINT' : 'RESULT_NOT_DATA'
    const message = `Stage "${step.stage}" of module "${step.module}" returned ${kindOf(value)}`
    return { code, message, stage: step.stage, module: step.module }
  }

  function toJson(value: unknown): string | Failure {
    const last = steps[steps.length - 1] as BoundStep
    const where = { stage: last.stage, module: last.module }
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
    if (error instanceof RangeError) {
      const tooLarge = message.includes('string length')
      return { code: tooLarge ? 'RESULT_TOO_LARGE' : 'RESULT_TOO_DEEP', message: `The answer cannot become JSON: ${message}`, ...where }
    }
    if (error instanceof TypeError && message.startsWith('Converting circular')) return { code: 'RESULT_CYCLE', message, ...where }
    if (error instanceof TypeError && message.includes('BigInt')) return { code: 'RESULT_BIGINT', message, ...where }
    return { code: 'MODULE_THREW', message, ...where, ...(error instanceof Error && { stack: textOf(error.stack) }) }
  }

  function kindOf(value: unknown): string {
    if (value === null) return 'null'
    if (value === undefined) return 'undefined'
    return `a ${typeof value}`
  }

  return { define, link, turn, abandon, settleCalls, fireTimer, probe: () => undefined }
}
