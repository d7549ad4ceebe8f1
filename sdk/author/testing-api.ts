/**
 * Runs the stages of a module from its `node:test` files. They run in a slot like that of a base, with the same built-ins, the same `ctx` and the
 * same limits, in a separate process. `sdk test` runs such files.
 *
 * @example
 * const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, { params: { topK: 3 } })
 *
 * test('the best comes first', async () => {
 *   const { output } = await slot.run('rank', [{ id: 1 }, { id: 2 }], { unit: 'u1' })
 *   assert.equal(output[0].id, 2)
 * })
 */
// This file is what the compiler reads in the place of testing.ts, which implements it: it imports nothing of the bundler and the base, so that to check a
// small module is to check a few files.
import type { Context, Json, Services, StageContext } from '@berth/sdk'
import type { ErrorCode } from '../../base/kernel/errors.ts'

/** A fake of a base service, with a function for each method; a method without one fails. Arguments and results pass as JSON, as on a base. */
export type Fake<Service> = {
  readonly [Method in keyof Service]?: Service[Method] extends (...args: infer Args) => unknown ? (...args: Args) => unknown : never
}

export type FetchFake = (request: Request) => Response | Promise<Response>

/**
 * A fake of the service `features` whose tables have these rows, by table and key. Each row has its key as the member `key`, as in a table of a base.
 * @throws TypeError for a row that no table of a base could have
 */
export declare function featuresOf(tables: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Fake<Services['features']>

type AnyStage = (input: never, ctx: never) => unknown
/** The exports of a module that are stages. */
export type Stages<Module> = { readonly [Name in keyof Module as Module[Name] extends AnyStage ? Name : never]: Module[Name] }
type ContextOf<Run> = Run extends (input: never, ctx: infer Ctx) => unknown ? Ctx : never
type ParamsOf<Run> = ContextOf<Run> extends Context<infer Params, infer _Name, infer _Request> ? Params : never
type ServicesOf<Run> = ContextOf<Run> extends Context<infer _Params, infer Name, infer _Request> ? Name : never
type RequestOf<Run> = ContextOf<Run> extends Context<infer _Params, infer _Name, infer Request> ? Request : never
/** The params that the stages of a module read together. A stage that declares no params may read any. */
type AllParams<Module> = Spread<{ [Name in keyof Stages<Module>]: Declared<ParamsOf<Stages<Module>[Name]>> }[keyof Stages<Module>]>
type Declared<Params> = string extends keyof Params ? (params: unknown) => void : (params: Params) => void
type Spread<Takers> = [Takers] extends [(params: infer Params) => void]
  ? unknown extends Params
    ? Record<string, unknown>
    : Params
  : never
type AllServices<Module> = { [Name in keyof Stages<Module>]: ServicesOf<Stages<Module>[Name]> }[keyof Stages<Module>]
type ServiceFakes<Module, Name extends keyof Services = AllServices<Module>> = string extends keyof Module
  ? Readonly<Record<string, Readonly<Record<string, (...args: never[]) => unknown>>>>
  : [Name] extends [never]
    ? Readonly<Record<string, never>>
    : { readonly [Key in Name]?: Fake<Services[Key]> }
type InputOf<Run> = Run extends (input: infer Input, ctx: never) => unknown ? Input : never
type OutputOf<Run> = Run extends (input: never, ctx: never) => infer Output ? Awaited<Output> : never

/** The type of a module that is not given: it has any stage, with any input. */
export type Untyped = Readonly<Record<string, (input: unknown, ctx: StageContext) => unknown>>

/** A captured request, as `sdk capsule export` has written it to a file. */
export interface CapturedRequest<Body = unknown> {
  /** The input of the first stage. */
  readonly body: Body
  readonly unit: string | undefined
  /** What the scene answered, undefined when it failed. */
  readonly answer: unknown
  readonly failure: { readonly code: string; readonly message: string } | undefined
  /** When it came in. */
  readonly at: Date
  /** What the stages saw as `ctx.params`. */
  readonly params: Readonly<Record<string, unknown>>
  readonly scene: string
  readonly version: string
  /**
   * Fakes that give equal questions their recorded replies, in their order, and begin again after the last one. What was not asked then has no reply, and
   * fails.
   */
  readonly services: Readonly<Record<string, Readonly<Record<string, (...args: unknown[]) => unknown>>>>
  readonly call: Readonly<Record<string, (input: unknown) => unknown>>
  readonly fetch: FetchFake
}

export interface SlotOptions<Module = Untyped> {
  /** Takes params, scene, version and the fakes from a captured request; what is given beside it takes their place. */
  readonly capsule?: CapturedRequest
  /** `ctx.params`, unless a run gives other values. @default {} */
  readonly params?: AllParams<Module>
  /** One fake for each service that the module declares. Without one, `features` has no tables. */
  readonly services?: ServiceFakes<Module>
  /** Answers to `ctx.call`, by scene. */
  readonly call?: Readonly<Record<string, (input: unknown) => unknown>>
  /** Answers to `fetch`, for the hosts that the module declares. */
  readonly fetch?: FetchFake
  /** Stops every clock of the slot at this time; `tick` moves the clocks on. */
  readonly now?: number | string | Date
  /** Makes `Math.random` and `crypto` repeatable; a whole number. */
  readonly seed?: number
  /**
   * The `schemas` of a scene file. The request is checked that the first stage of the module gets, or that a run gives as `request`, and the answer of its
   * last stage: leave out what other modules of the scene take or make.
   */
  readonly schemas?: { readonly request?: Readonly<Record<string, Json>>; readonly answer?: Readonly<Record<string, Json>> }
  /** Milliseconds a run may take, by the clock of the machine. @default 1000, the default of a scene */
  readonly deadlineMs?: number
  /** Milliseconds of CPU a run may use in one go. @default the lowest limit of the scenes that have the module, in `scenes` or `fixtures/scenes` above it; else a quarter of the deadline */
  readonly cpuMs?: number
  /** @default 128 */
  readonly memoryMB?: number
  /** `ctx.scene` and `ctx.version`. @default 'test' and 'v1' */
  readonly scene?: string
  readonly version?: string
}

export interface RunOptions<Run = Untyped[string]> {
  readonly unit?: string | undefined
  /** Params for this run. Each overrides the one of the same name of the slot. */
  readonly params?: Partial<ParamsOf<Run>>
  /** The caller's input, when the stage is not the first. @default the input of the stage */
  readonly request?: RequestOf<Run>
  readonly requestId?: string
  readonly deadlineMs?: number
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields?: unknown
  /** The stack of a logged error, with the lines of the sources. */
  readonly stack?: string
}

export interface Ran<Output> {
  /** What the stage returned, turned into JSON and back, as a caller would get it. */
  readonly output: Output
  /** What the run wrote with `ctx.log`. */
  readonly logs: readonly LogLine[]
}

export interface TestSlot<Module = Untyped> {
  /**
   * Runs one stage. Runs of one stage may overlap, as requests do; runs of different stages wait for each other.
   * When the slot is killed, the next run gets a new slot, in which the state that the module kept is lost.
   * @throws StageError
   */
  run<Name extends keyof Stages<Module> & string>(
    stage: Name,
    input: InputOf<Stages<Module>[Name]>,
    options?: RunOptions<Stages<Module>[Name]>,
  ): Promise<Ran<OutputOf<Stages<Module>[Name]>>>
  /** Everything that was logged so far, including by `console` and while the module was loaded. */
  readonly logs: readonly LogLine[]
  /** Moves the stopped clock on, and runs the timers that become due, in their order. Only for slots with `now`. */
  tick(ms: number): Promise<void>
  /** Starts `Math.random` and `crypto` anew from this seed at the next run. Only for slots with `seed`. */
  seed(seed: number): void
  /** Ends the process of the slot. This happens by itself when the test or the file that opened the slot ends. Idempotent. */
  close(): Promise<void>
}

/** A run that failed. The message is that of the module's error, and the stack starts in the module's sources. */
export interface StageError extends Error {
  /** The code that a base would answer with, such as `MODULE_THREW`, `MODULE_KILLED` or `DEADLINE_EXCEEDED`; see docs/errors.md. */
  readonly code: ErrorCode
  readonly stage: string | undefined
  /** With `REQUEST_REJECTED`: the code and the details that the stage gave to `ctx.reject`. */
  readonly reason: string | undefined
  readonly details: unknown
  /** With `REQUEST_INVALID` and `RESULT_UNFIT`: JSON pointers, and what the schema expects there. */
  readonly faults: readonly { readonly pointer: string; readonly expected: string }[] | undefined
  readonly logs: readonly LogLine[]
}

/** For `instanceof`; only a slot makes such errors. */
export declare const StageError: abstract new (...values: never) => StageError

/**
 * Reads an exported capsule, a request that a base has captured, to run stages with it. Chance is drawn anew, and clocks run on unless the slot stops them.
 * Nothing checks that the body has the type that it is said to have.
 * @param file its path
 * @throws Error whose message says what is wrong with the file
 */
export declare function readCapsule<Body = unknown>(file: string): Promise<CapturedRequest<Body>>

/**
 * Bundles the module in `folder` and loads it into a slot.
 * @throws Error whose message says what is wrong with the module or the fakes
 */
export declare function openSlot<Module = Untyped>(folder: string, options?: SlotOptions<Module>): Promise<TestSlot<Module>>
