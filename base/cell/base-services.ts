/**
 * The base services of a cell are started here, and calls from slots are passed on to them. Whatever a service does, each call ends in JSON
 * or in a `BerthError`, at the deadline of its caller at the latest, and counts as under way no longer than that.
 */
import { realpath } from 'node:fs/promises'
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Compile } from 'typebox/compile'
import type { ServiceNames } from '../inside/protocol.ts'
import { type Checker, compileCheck } from '../kernel/check.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { FEATURES, type ServiceEntry } from '../kernel/options.ts'
import { Ticker } from '../kernel/ticker.ts'
import { type BatchedCall, Json, type Method, type RunningService, type Service, type ServiceEnv } from '../services/contract.ts'
import { FeatureTables, startFeatures } from '../services/features.ts'
import type { SlotCall } from '../slot/slot-call.ts'
import { FairPool } from '../traffic/admission.ts'
import type { OfferedService, ServiceFault } from '../wire/messages.ts'

/** What services need of the cell around them. */
export interface ServicesHost {
  /** The data folder, absolute. */
  readonly data: string
  log(service: string, ...line: Parameters<ServiceEnv['log']>): void
  /** Called when a call is over; `code` is `OK` or an error code. */
  count(service: string, method: string, code: string, seconds: number): void
  /** Called when a service throws something other than a `BerthError`. */
  onFailed(service: string, method: string, error: unknown): void
  /** Called when the state of some feature table has changed. */
  onTables(): void
}

/** What a service may know of the request that calls it. */
export type Caller = Pick<SlotCall, 'requestId' | 'unit' | 'deadlineAt' | 'chain' | 'isWarmUp'>

interface RunningMethod {
  readonly service: HostedService
  readonly name: string
  readonly definition: Method
  readonly fits: (args: unknown) => boolean
  readonly describe: Checker<unknown>
  /** Calls that came in this turn of the event loop; for a method that takes batches. */
  readonly batch: Call[]
}

/** A service that has been started, and its calls that are under way, by the scene that calls. */
interface HostedService {
  readonly name: string
  readonly running: RunningService
  readonly methods: ReadonlyMap<string, RunningMethod>
  readonly pending: FairPool
}

export class Services {
  readonly tables: FeatureTables
  readonly #host: ServicesHost
  readonly #hosted = new Map<string, HostedService>()
  /** Calls that are under way. */
  readonly #open = new Set<Call>()
  /** The same by the scene that calls. */
  readonly #pending = new FairPool()
  /** Ticks while calls are under way. */
  readonly #watchdog = new Ticker(limits.slot.watchdogTickMs, () => this.#expire(performance.now()))

  constructor(host: ServicesHost) {
    this.#host = host
    this.tables = new FeatureTables(host.data, this.#logOf(FEATURES), () => host.onTables())
  }

  /**
   * Starts `features` and the services that the operator lists.
   * @throws SERVICE_START_FAILED naming the service and why; the process has to end then
   */
  async start(entries: readonly ServiceEntry[]): Promise<void> {
    const starting = entries.map(async ({ name, file, options }) => this.#start(name, () => loadService(file, this.#host.data), options))
    const startsFeatures = async (): Promise<Service> => () => startFeatures(this.tables)
    const started = await Promise.all([this.#start(FEATURES, startsFeatures, {}), ...starting])
    for (const service of started) this.#hosted.set(service.name, service)
  }

  /**
   * The services of these names, with their methods.
   * @throws SERVICE_NOT_OFFERED
   */
  named(names: Iterable<string>): ServiceNames {
    const found: Record<string, readonly string[]> = {}
    for (const name of names) {
      const hosted = this.#hosted.get(name)
      if (hosted === undefined)
        throw new BerthError('SERVICE_NOT_OFFERED', `Cannot give a module service "${name}": this base does not offer it`)
      found[name] = [...hosted.methods.keys()]
    }
    return found
  }

  /**
   * Asks a service.
   * @param input JSON of the list of arguments
   * @returns JSON of the answer
   * @throws BerthError SERVICE_NOT_FOUND, SERVICE_INPUT_INVALID, SERVICE_OVERLOADED, SERVICE_FAILED, SERVICE_RESULT_TOO_LARGE,
   * DEADLINE_EXCEEDED, and the errors of `features`
   */
  call(service: string, name: string, input: string, caller: Caller): Promise<string> {
    return new Promise((resolve, reject) => {
      const method = this.#hosted.get(service)?.methods.get(name)
      if (method === undefined) {
        reject(new BerthError('SERVICE_NOT_FOUND', `Cannot call "${service}.${name}": this base has no such service or method`))
        return
      }
      const call = new Call(method, caller, resolve, reject)
      try {
        this.#admit(call)
        call.args = readArguments(method, input)
      } catch (error) {
        this.#fail(call, error)
        return
      }
      if (method.definition.batch === undefined) this.#run(call)
      else this.#join(call)
    })
  }

  /** Every service, with what its methods take and answer. */
  offered(): OfferedService[] {
    return [...this.#hosted.values()].map(({ name, methods }) => ({
      name,
      methods: [...methods.values()].map(({ name, definition: { input, output } }) => ({ name, input, ...(output && { output }) })),
    }))
  }

  /** What services cannot offer at present, by their own account. */
  faults(): ServiceFault[] {
    return [...this.#hosted.values()].flatMap(service => this.#faultsOf(service))
  }

  /** A service that throws here offers no account of itself, and must not take the metrics of the cell with it. */
  #faultsOf({ name: service, running }: HostedService): ServiceFault[] {
    try {
      return [...(running.faults?.() ?? [])].map(name => ({ service, name: String(name) }))
    } catch (error) {
      return [{ service, name: `faults() threw: ${messageOf(error)}` }]
    }
  }

  /** Stops every service, each within `limits.services.stopMsMax`. What they throw is logged. */
  async stop(): Promise<void> {
    this.#watchdog.stop()
    const stops = [...this.#hosted.values()].map(async ({ name, running }) => {
      try {
        await within(limits.services.stopMsMax, Promise.resolve(running.stop?.()))
      } catch (error) {
        this.#host.log(name, 'error', `service did not stop: ${messageOf(error)}`)
      }
    })
    await Promise.all(stops)
  }

  async #start(name: string, load: () => Promise<Service>, options: Readonly<Record<string, unknown>>): Promise<HostedService> {
    try {
      const starting = load().then(service => service(options, { data: this.#host.data, log: this.#logOf(name) }))
      return hostedService(name, await within(limits.services.startMsMax, starting))
    } catch (error) {
      throw new BerthError('SERVICE_START_FAILED', `Cannot start service "${name}": ${messageOf(error)}`, { cause: error })
    }
  }

  #logOf(name: string): ServiceEnv['log'] {
    return (...line) => this.#host.log(name, ...line)
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #admit({ method: { service, name }, startedAt, deadlineAt, scene }: Call): void {
    const action = `Cannot call "${service.name}.${name}"`
    if (startedAt >= deadlineAt) throw new BerthError('DEADLINE_EXCEEDED', `${action}: the deadline of the request has passed`)
    const { callsPerServiceMax, callsMax } = limits.services
    const isFull = !service.pending.mayTake(scene, callsPerServiceMax)
    if (!isFull && this.#pending.mayTake(scene, callsMax)) return
    const [pool, calls] = isFull ? [service.pending, 'calls of it'] : [this.#pending, 'calls of services']
    const counts = `${pool.taken} ${calls} are under way already, ${pool.heldBy(scene)} of them of scene "${scene}"`
    throw new BerthError('SERVICE_OVERLOADED', `${action}: ${counts}`, { retryAfterSeconds: 1 })
  }

  /** A call whose handler answers at once never counts as under way. */
  #run(call: Call): void {
    let value: unknown
    try {
      value = call.method.definition.handler?.(call.args, call)
    } catch (error) {
      this.#fail(call, error)
      return
    }
    if (!isThenable(value)) {
      this.#answer(call, value)
      return
    }
    this.#hold(call)
    value.then(
      answer => this.#answer(call, answer),
      (error: unknown) => this.#fail(call, error),
    )
  }

  #join(call: Call): void {
    this.#hold(call)
    const { batch } = call.method
    batch.push(call)
    if (batch.length === 1) setImmediate(() => this.#runBatch(call.method, batch.splice(0)))
  }

  async #runBatch({ definition }: RunningMethod, taken: readonly Call[]): Promise<void> {
    const calls = taken.filter(call => !call.done)
    if (calls.length === 0) return
    try {
      const answers = (await definition.batch?.(calls)) ?? []
      if (answers.length !== calls.length) throw new Error(`${answers.length} answers to ${calls.length} calls`)
      for (const [i, call] of calls.entries()) {
        if (answers[i] instanceof Error) this.#fail(call, answers[i])
        else this.#answer(call, answers[i])
      }
    } catch (error) {
      for (const call of calls) this.#fail(call, error)
    }
  }

  #hold(call: Call): void {
    this.#open.add(call)
    this.#watchdog.start()
    this.#pending.take(call.scene)
    call.method.service.pending.take(call.scene)
  }

  #answer(call: Call, value: unknown): void {
    if (call.done) return
    let text: string
    try {
      text = value instanceof Json ? value.text : (JSON.stringify(value) ?? 'null')
    } catch (error) {
      this.#fail(call, error)
      return
    }
    if (text.length > limits.services.resultCharsMax) {
      const sizes = `its result has ${text.length} characters of JSON, the limit is ${limits.services.resultCharsMax}`
      this.#fail(call, new BerthError('SERVICE_RESULT_TOO_LARGE', `Cannot call "${nameOf(call)}": ${sizes}`))
      return
    }
    this.#close(call, 'OK')
    call.resolve(text)
  }

  /** The operator of a service finds what it throws in the log. The module gets only the message. */
  #fail(call: Call, thrown: unknown): void {
    if (call.done) return
    const known = thrown instanceof BerthError
    if (!known) this.#host.onFailed(call.method.service.name, call.method.name, thrown)
    const error = known ? thrown : new BerthError('SERVICE_FAILED', `Service call "${nameOf(call)}" failed: ${messageOf(thrown)}`)
    this.#close(call, error.code)
    call.reject(error)
  }

  #close(call: Call, code: string): void {
    call.done = true
    if (this.#open.delete(call)) {
      this.#pending.give(call.scene)
      call.method.service.pending.give(call.scene)
    }
    if (!call.isWarmUp) this.#host.count(call.method.service.name, call.method.name, code, (performance.now() - call.startedAt) / 1000)
  }

  /** @returns whether calls are left */
  #expire(now: number): boolean {
    for (const call of this.#open) {
      if (now < call.deadlineAt) continue
      this.#fail(call, new BerthError('DEADLINE_EXCEEDED', `No answer of "${nameOf(call)}" before the deadline of the request`))
      call.abort()
    }
    return this.#open.size > 0
  }
}

class Call implements BatchedCall<unknown> {
  readonly method: RunningMethod
  readonly resolve: (text: string) => void
  readonly reject: (error: BerthError) => void
  readonly startedAt = performance.now()
  readonly deadlineAt: number
  readonly scene: string
  readonly requestId: string
  readonly unit: string | undefined
  readonly isWarmUp: boolean
  args: unknown
  done = false
  #aborter: AbortController | undefined

  constructor(method: RunningMethod, caller: Caller, resolve: (text: string) => void, reject: (error: BerthError) => void) {
    this.method = method
    this.resolve = resolve
    this.reject = reject
    this.deadlineAt = caller.deadlineAt
    this.scene = caller.chain.at(-1) ?? ''
    this.requestId = caller.requestId
    this.unit = caller.unit
    this.isWarmUp = caller.isWarmUp === true
  }

  deadlineMs(): number {
    return this.deadlineAt - performance.now()
  }

  /** The signal is made when a service asks for it, because most do not. */
  get signal(): AbortSignal {
    this.#aborter ??= new AbortController()
    if (this.deadlineMs() <= 0) this.abort()
    return this.#aborter.signal
  }

  abort(): void {
    this.#aborter?.abort(new BerthError('DEADLINE_EXCEEDED', 'The deadline of the request has passed'))
  }
}

const nameOf = ({ method }: Call): string => `${method.service.name}.${method.name}`

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

function readArguments({ service, name, fits, describe }: RunningMethod, input: string): unknown {
  const refuse = (why: string) => new BerthError('SERVICE_INPUT_INVALID', `Cannot call "${service.name}.${name}": ${why}`)
  if (input.length > limits.calls.charsMax) {
    throw refuse(`its arguments have ${input.length} characters of JSON, the limit is ${limits.calls.charsMax}`)
  }
  let args: unknown
  try {
    args = JSON.parse(input)
  } catch (error) {
    throw refuse(`its arguments are not JSON: ${messageOf(error)}`)
  }
  if (fits(args)) return args
  throw refuse(`of its list of arguments ${describe(args).faults?.join('; ')}`)
}

// ── loading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function loadService(file: string, data: string): Promise<Service> {
  const path = await realpath(file)
  // A cell may read the whole folder of a service. If the data folder were in it, the cell could read the secrets of the base.
  for (const folder of [dirname(file), dirname(path)]) {
    if (holds(folder, resolve(data))) throw new Error(`its folder "${folder}" holds the data folder; give services a folder of their own`)
  }
  const module = (await import(pathToFileURL(path).href)) as { readonly default?: unknown }
  if (typeof module.default === 'function') return module.default as Service
  throw new Error(`the default export of "${path}" is not a function`)
}

function holds(folder: string, other: string): boolean {
  const way = relative(folder, other)
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

function hostedService(name: string, running: RunningService): HostedService {
  if (typeof running?.methods !== 'object' || running.methods === null) throw new Error('it has not returned { methods }')
  const methods = new Map<string, RunningMethod>()
  const hosted: HostedService = { name, running, methods, pending: new FairPool() }
  for (const [method, definition] of Object.entries(running.methods)) methods.set(method, runningMethod(hosted, method, definition))
  if (methods.size === 0) throw new Error('it has no methods')
  return hosted
}

const METHOD_NAME = /^[a-zA-Z][A-Za-z0-9]{0,63}$/

function runningMethod(service: HostedService, name: string, definition: Method): RunningMethod {
  if (!METHOD_NAME.test(name)) throw new Error(`its method ${JSON.stringify(name)} is not named by letters and digits`)
  if ((definition.handler === undefined) === (definition.batch === undefined)) {
    throw new Error(`its method "${name}" must have either a handler or a batch`)
  }
  if (typeof definition.input !== 'object') throw new Error(`its method "${name}" has no schema of its arguments under "input"`)
  const compiled = Compile(definition.input)
  const fits = (args: unknown) => compiled.Check(args)
  return { service, name, definition, fits, describe: compileCheck(definition.input), batch: [] }
}

async function within<T>(msMax: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took more than ${msMax} ms`)), msMax)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
