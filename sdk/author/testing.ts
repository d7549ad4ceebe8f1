/** What `@berth/sdk/testing` does. What it offers, with its types, is in testing-api.ts. */
import { writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { after } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { ErrorCode } from '../../base/kernel/errors.ts'
import type { RehearsalFailure, RehearsalLine, RehearsalPlan, RehearsalRun } from '../../base/wire/rehearsal-messages.ts'
import { type Bundle, bundleModule } from '../bundle/bundle.ts'
import { withSourceMap } from '../bundle/for-debugger.ts'
import { SdkError } from '../sdk-error.ts'
import { withCapsule } from './captured.ts'
import { answerFetch, type Fakes, fakesOf, withCode } from './fakes.ts'
import { COVERAGE_FOLDER, type Counted, isDebugged, Rehearsal, RehearsalError } from './rehearsal-process.ts'
import { type CpuLimit, sceneCpuLimit } from './scene-cpu.ts'
import type { StageError as Failed, LogLine, Ran, RunOptions, SlotOptions, TestSlot, Untyped } from './testing-api.ts'

export { readCapsule } from './captured.ts'
export { featuresOf } from './fakes.ts'

export class StageError extends Error implements Failed {
  readonly code: ErrorCode
  readonly stage: string | undefined
  readonly reason: string | undefined
  readonly details: unknown
  readonly faults: Failed['faults']
  readonly logs: readonly LogLine[]

  constructor(
    { code, message, stage, reason, details, faults, stack, frame, advice }: RehearsalFailure,
    logs: readonly LogLine[],
    sources: string,
    at: Error,
  ) {
    super(message)
    // The error keeps the name of the module's error.
    this.name = /^([A-Z]\w*Error)\b/.exec(stack ?? '')?.[1] ?? 'StageError'
    this.code = code
    this.stage = stage
    this.reason = reason
    this.details = details
    this.faults = faults
    this.logs = logs
    const inSources = (line: string) => line.replace(/(^\s+at (?:.* \()?)[a-z][a-z0-9-]*\/(?=[^()]*:\d+:\d+\)?$)/, `$1${sources}`)
    const frames = (text = '') => (text.split('(<isolated-vm boundary>)')[0] ?? '').split('\n').filter(isFrame)
    const lines = [...(frame === undefined ? [] : ['', frame]), ...(advice === undefined ? [] : ['', advice])]
    this.stack = [`${this.name} [${code}]: ${message}`, ...frames(stack).map(inSources), ...frames(at.stack), ...lines].join('\n')
  }
}

/** Whether a line of a stack is a frame in the module or its test, and not in Berth or Node.js. */
const isFrame = (line: string): boolean => /^\s+at (?!$)/.test(line) && !/berth:\/\/\/|\(?node:/.test(line)

export async function openSlot<Module = Untyped>(folder: string, options: SlotOptions<Module> = {}): Promise<TestSlot<Module>> {
  const at = new Error()
  Error.captureStackTrace(at, openSlot)
  const bundle = await bundled(folder, at)
  const cpuLimit = await sceneCpuLimit(resolve(folder), bundle.manifest.name, DEADLINE_MS)
  const slot = new Rehearsed(folder, bundle, withCapsule(options as SlotOptions, bundle.manifest.services ?? []), cpuLimit, at)
  after(() => slot.close())
  await slot.open()
  return slot as TestSlot<Module>
}

/**
 * Bundles the module. An error gets the code frame in its message, and the stack of the call that opens the slot, because a test runner shows both
 * and the stack inside the bundler helps nobody.
 */
async function bundled(folder: string, at: Error): Promise<Bundle> {
  try {
    return await bundleModule(folder, { forDebugger: isDebugged() })
  } catch (error) {
    if (!(error instanceof SdkError)) throw error
    const lines = [error.message, error.details, error.hint].filter(line => line !== undefined)
    const text = lines.join('\n')
    throw Object.assign(new Error(text), { stack: at.stack?.replace('Error', () => `Error: ${text}`) })
  }
}

const DEADLINE_MS = 1000
const MEMORY_MB = 128

/** A process that has been started, and the promise that the module is loaded in it. */
interface StartedProcess {
  readonly process: Rehearsal
  readonly ready: Promise<Rehearsal>
}

class Rehearsed implements TestSlot {
  readonly logs: LogLine[] = []
  readonly #folder: string
  readonly #bundle: Bundle
  readonly #options: SlotOptions
  readonly #cpuLimit: CpuLimit | undefined
  readonly #fakes: Fakes
  readonly #plan: RehearsalPlan
  readonly #openedAt: Error
  #current: StartedProcess | undefined
  #lastRun = 0
  /** The log lines of the runs under way, by request id. */
  readonly #lines = new Map<string, LogLine[]>()

  constructor(folder: string, bundle: Bundle, options: SlotOptions, cpuLimit: CpuLimit | undefined, openedAt: Error) {
    this.#cpuLimit = cpuLimit
    this.#openedAt = openedAt
    this.#folder = folder
    this.#bundle = bundle
    this.#options = options
    this.#fakes = fakesOf(bundle, (options.services ?? {}) as Fakes)
    this.#plan = planOf(folder, bundle, options, this.#fakes)
  }

  async open(): Promise<void> {
    await this.#process()
  }

  async run(stage: string, input: unknown, options: RunOptions = {}): Promise<Ran<unknown>> {
    const at = new Error()
    Error.captureStackTrace(at, this.run)
    const { stages, name } = this.#bundle.manifest
    if (!stages.includes(stage)) throw new RangeError(`Cannot run "${stage}": the stages of ${name} are ${stages.join(', ')}`)
    const requestId = options.requestId ?? `r${++this.#lastRun}`
    const logs: LogLine[] = []
    this.#lines.set(requestId, logs)
    try {
      const rehearsal = await this.#process()
      const bounds = this.#bounds(options)
      const json = await rehearsal.run({ stage, requestId, unit: options.unit, ...bounds, ...this.#texts(input, options) })
      return { output: JSON.parse(json), logs }
    } catch (error) {
      if (error instanceof RehearsalError) throw new StageError(error.failure, logs, this.#sources, at)
      throw error
    } finally {
      this.#lines.delete(requestId)
    }
  }

  async tick(ms: number): Promise<void> {
    if (this.#plan.now === undefined) throw new Error('Cannot move the clock of this slot: it is not stopped; open the slot with "now"')
    if (!(ms >= 0)) throw new RangeError(`Cannot move the clock by ${ms} ms`)
    await (await this.#process()).tick(ms)
  }

  seed(seed: number): void {
    if (this.#plan.seed === undefined) throw new Error('Cannot start chance anew: it is real; open the slot with "seed"')
    this.#current?.process.seed(seedOf(seed))
  }

  async close(): Promise<void> {
    const closing = this.#current?.process
    this.#current = undefined
    if (closing === undefined) return
    const folder = process.env[COVERAGE_FOLDER]
    if (folder !== undefined && !closing.ended) await this.#writeCoverage(closing, folder)
    closing.close()
  }

  /** The path of the module's folder relative to the working directory, to show in stacks. */
  get #sources(): string {
    const path = relative(process.cwd(), this.#folder)
    return path === '' ? '' : `${path}/`
  }

  #bounds({ deadlineMs }: RunOptions): Pick<RehearsalRun, 'deadlineMs' | 'cpuMs' | 'cpuScene'> {
    const givenMs = deadlineMs ?? this.#options.deadlineMs
    // A deadline that the test sets takes the place of those of the scenes, and so does the CPU that follows from it.
    const limit = this.#options.cpuMs === undefined && givenMs === undefined ? this.#cpuLimit : undefined
    const ms = givenMs ?? DEADLINE_MS
    return { deadlineMs: ms, cpuMs: limit?.ms ?? this.#options.cpuMs ?? ms / 4, cpuScene: limit?.scene }
  }

  #texts(input: unknown, { request, params }: RunOptions): { body: string; input: string | undefined; params: string } {
    const own = jsonOf('the input', input)
    const given = { params: jsonOf('params', { ...this.#options.params, ...params }) }
    return request === undefined
      ? { body: own, input: undefined, ...given }
      : { body: jsonOf('the request', request), input: own, ...given }
  }

  /** The current process, or a new one when that has ended. */
  #process(): Promise<Rehearsal> {
    if (this.#current === undefined || this.#current.process.ended) this.#current = this.#start()
    return this.#current.ready
  }

  #start(): StartedProcess {
    const rehearsal = new Rehearsal({
      answer: (service, method, input) => this.#answer(service, method, input),
      fetch: request => answerFetch(this.#bundle, this.#options.fetch, request),
      onLines: lines => this.#keep(lines),
    })
    const ready = rehearsal.open(this.#plan).then(
      () => rehearsal,
      (error: unknown) => {
        rehearsal.close()
        throw error instanceof RehearsalError ? new StageError(error.failure, this.logs, this.#sources, this.#openedAt) : error
      },
    )
    return { process: rehearsal, ready }
  }

  async #answer(service: string, method: string, input: string): Promise<string> {
    const value = service === '' ? this.#answerCall(method, JSON.parse(input)) : this.#answerService(service, method, JSON.parse(input))
    return JSON.stringify(await value) ?? 'null'
  }

  #answerCall(scene: string, input: unknown): unknown {
    const fake = this.#options.call?.[scene]
    if (fake !== undefined) return fake(input)
    const message = `Cannot call scene "${scene}": this test has no fake for it; give one to openSlot: { call: { "${scene}": input => … } }`
    throw withCode('SCENE_NOT_FOUND', message)
  }

  async #answerService(service: string, method: string, args: unknown[]): Promise<unknown> {
    try {
      return await this.#fakes[service]?.[method]?.(...args)
    } catch (error) {
      if (error instanceof Error && 'code' in error) throw error
      // A base words the errors of services like this.
      throw new Error(`Service call "${service}.${method}" failed: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }

  #keep(lines: readonly RehearsalLine[]): void {
    for (const { requestId, level, message, fields, stack } of lines) {
      const line = { level, message, ...(fields !== undefined && { fields: JSON.parse(fields) }), ...(stack !== undefined && { stack }) }
      this.logs.push(line)
      if (requestId !== undefined) this.#lines.get(requestId)?.push(line)
    }
  }

  async #writeCoverage(rehearsal: Rehearsal, folder: string): Promise<void> {
    const { code, sourceMap } = this.#bundle
    const counted: Counted = { folder: this.#folder, code, sourceMap, functions: await rehearsal.takeCoverage() }
    await writeFile(join(folder, `${process.pid}-${performance.now()}.json`), JSON.stringify(counted))
  }
}

function planOf(folder: string, { manifest, code, sourceMap }: Bundle, options: SlotOptions, fakes: Fakes): RehearsalPlan {
  const { name, version, stages } = manifest
  return {
    name,
    version,
    stages,
    bundle: isDebugged() ? withSourceMap(code, sourceMap, source => pathToFileURL(resolve(folder, source)).href) : code,
    sourceMap,
    scene: options.scene ?? 'test',
    sceneVersion: options.version ?? 'v1',
    services: Object.fromEntries(Object.entries(fakes).map(([service, methods]) => [service, Object.keys(methods)])),
    memoryMB: options.memoryMB ?? MEMORY_MB,
    schemas: options.schemas ?? {},
    now: options.now === undefined ? undefined : timeOf(options.now),
    seed: options.seed === undefined ? undefined : seedOf(options.seed),
    coverage: process.env[COVERAGE_FOLDER] !== undefined,
  }
}

function timeOf(now: number | string | Date): number {
  const time = new Date(now).getTime()
  if (Number.isNaN(time)) throw new RangeError(`Cannot stop the clock at "${now}": that is no time`)
  return time
}

function seedOf(seed: number): number {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`Cannot start chance from ${seed}: it must be a whole number`)
  return seed | 0
}

function jsonOf(what: string, value: unknown): string {
  const json = JSON.stringify(value)
  if (json === undefined) throw new TypeError(`Cannot run the stage: ${what} must be data that JSON can hold`)
  return json
}
