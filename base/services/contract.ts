/**
 * What a base service is: trusted code that an operator lists in the config, run in every cell, called by modules as
 * `await ctx.services.NAME.METHOD(...args)`. Its file is an ES module whose default export is a `Service`.
 *
 * @example
 * export default defineService((options, env) => {
 *   const places = openPlaces(options)
 *   return {
 *     methods: { lookup: method(Type.Tuple([Type.String()]), ([address]) => places.find(address)) },
 *     stop: () => places.close(),
 *   }
 * })
 */
import type { Static, TSchema } from 'typebox'

/** Makes the service of one cell. What it throws or rejects with keeps the cell from starting. */
export type Service = (options: ServiceOptions, env: ServiceEnv) => RunningService | Promise<RunningService>

/** What the config says under `options`, `{}` when it says nothing. Checking it is the service's part. */
export type ServiceOptions = Readonly<Record<string, unknown>>

export interface ServiceEnv {
  /** The data folder of the base, absolute. A cell may read `features` in it and little else. */
  readonly data: string
  /** Writes to the log of the base. */
  log(level: 'info' | 'warn' | 'error', message: string, fields?: Readonly<Record<string, unknown>>): void
}

export interface RunningService {
  /** By name: identifiers. */
  readonly methods: Readonly<Record<string, Method>>
  /** Called once, when the cell retires and no call is under way any more. */
  stop?(): void | Promise<void>
}

/** Exactly one of `handler` and `batch`. Arguments fit `input` by the time either sees them. */
export interface Method {
  /** JSON Schema of the list of arguments, a TypeBox tuple for example. */
  readonly input: TSchema
  handler?(args: unknown, call: ServiceCall): unknown
  batch?(calls: readonly BatchedCall<unknown>[]): readonly unknown[] | Promise<readonly unknown[]>
}

/** The request on whose behalf a module calls. */
export interface ServiceCall {
  readonly scene: string
  readonly requestId: string
  readonly unit: string | undefined
  /** Milliseconds until nobody waits for the answer any more. */
  deadlineMs(): number
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

export interface BatchedCall<Args> extends ServiceCall {
  readonly args: Args
}

/** Says nothing at run time: it gives the function its types. */
export const defineService = (service: Service): Service => service

/**
 * A method that is called once for every call of a module.
 * @param handler returns data that JSON can hold, `undefined` counting as null; what it throws reaches the module as `SERVICE_FAILED`, message only.
 */
export function method<Input extends TSchema>(input: Input, handler: (args: Static<Input>, call: ServiceCall) => unknown): Method {
  return { input, handler }
}

/**
 * A method that is called once for all calls that cells' slots make in one turn of the event loop.
 * @param batch returns one result a call, in their order; an `Error` among them fails its call alone.
 */
export function batched<Input extends TSchema>(
  input: Input,
  batch: (calls: readonly BatchedCall<Static<Input>>[]) => readonly unknown[] | Promise<readonly unknown[]>,
): Method {
  return { input, batch }
}

/** A result that is JSON already: it goes to the module as it is, and nobody checks it. */
export class Json {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}
