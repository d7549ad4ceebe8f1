/**
 * The contract of base services. A base service is trusted code that an operator lists in the config file. It runs in every cell, and modules call
 * it as `await ctx.services.NAME.METHOD(...args)`. Its file is an ES module whose default export is a `Service`.
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
/** Starts the service in one cell. When it throws or rejects, the cell does not start. */
export type Service = (options: ServiceOptions, env: ServiceEnv) => RunningService | Promise<RunningService>

/** The value of `options` in the config file, `{}` when there is none. The service has to check it. */
export type ServiceOptions = Readonly<Record<string, unknown>>

export interface ServiceEnv {
  /** Absolute path of the data folder. A cell may read the folder `features` in it, and little else. */
  readonly data: string
  /** Writes to the log of the base. */
  log(level: 'info' | 'warn' | 'error', message: string, fields?: Readonly<Record<string, unknown>>): void
}

export interface RunningService {
  /** Methods by name; names are JavaScript identifiers. */
  readonly methods: Readonly<Record<string, Method>>
  /** Names what the service cannot offer as it should at present, for the metrics and the status of the base; `features` names broken tables. */
  faults?(): Iterable<string>
  /** Called once, when the cell retires and all calls have ended. */
  stop?(): void | Promise<void>
}

/** A method has exactly one of `handler` and `batch`. Arguments are checked against `input` before either is called. */
export interface Method {
  /** JSON Schema of the list of arguments, for example a TypeBox tuple. */
  readonly input: object
  /** JSON Schema of what it answers, for those who call it: `sdk types` makes its type from it. Answers are not checked against it. */
  readonly output?: object
  handler?(args: unknown, call: ServiceCall): unknown
  batch?(calls: readonly BatchedCall<unknown>[]): readonly unknown[] | Promise<readonly unknown[]>
}

/** A call, with the request for which the module makes it. */
export interface ServiceCall {
  readonly scene: string
  readonly requestId: string
  readonly unit: string | undefined
  /** Milliseconds until the deadline of the request, after which nobody waits for the answer any more. */
  deadlineMs(): number
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

export interface BatchedCall<Args> extends ServiceCall {
  readonly args: Args
}

/**
 * The values that fit a JSON Schema, as far as its type says which: of a literal schema, or of one that is made with TypeBox. What it leaves open is
 * `unknown`. The library itself is not imported, because then its types would have to be installed wherever this file is read.
 */
export type Fitting<Schema> = Schema extends { readonly const: infer Value }
  ? Value
  : Schema extends { readonly enum: readonly (infer Value)[] } | { readonly anyOf: readonly { readonly const: infer Value }[] }
    ? Value
    : Schema extends { readonly anyOf: readonly (infer Part)[] }
      ? Fitting<Part>
      : Schema extends { readonly type: keyof Scalars }
        ? Scalars[Schema['type']]
        : Schema extends { readonly type: 'array'; readonly items: infer Items }
          ? Items extends readonly unknown[]
            ? { -readonly [Index in keyof Items]: Fitting<Items[Index]> }
            : Fitting<Items>[]
          : Schema extends { readonly type: 'object'; readonly properties: infer Members; readonly required?: readonly (infer Name)[] }
            ? { [Key in keyof Members & Name]: Fitting<Members[Key]> } & { [Key in Exclude<keyof Members, Name>]?: Fitting<Members[Key]> }
            : unknown

interface Scalars {
  string: string
  number: number
  integer: number
  boolean: boolean
  null: null
}

/** Returns its argument. It only gives the function its types. */
export const defineService = (service: Service): Service => service

/**
 * A method whose handler runs once for every call of a module.
 * @param handler returns data that JSON can hold, where `undefined` counts as null. When it throws, the module gets `SERVICE_FAILED` with the message.
 * @param output as `output` of a method
 */
export function method<const Input extends object>(
  input: Input,
  handler: (args: Fitting<Input>, call: ServiceCall) => unknown,
  output?: object,
): Method {
  return { input, handler, ...(output && { output }) }
}

/**
 * A method that runs once for all calls that the slots of a cell make in one turn of the event loop.
 * @param batch returns one result for each call, in the same order. An `Error` among the results fails only its own call.
 * @param output as `output` of a method
 */
export function batched<const Input extends object>(
  input: Input,
  batch: (calls: readonly BatchedCall<Fitting<Input>>[]) => readonly unknown[] | Promise<readonly unknown[]>,
  output?: object,
): Method {
  return { input, batch, ...(output && { output }) }
}

const JSON_TEXT = Symbol.for('berth.json')

/** A result that is JSON text already: it is passed to the module unchanged and unchecked. */
export class Json {
  readonly text: string

  /** A service may have imported another copy of this file than its base, and what it makes is known all the same. */
  static [Symbol.hasInstance](value: unknown): value is Json {
    return typeof value === 'object' && value !== null && JSON_TEXT in value
  }

  constructor(text: string) {
    this.text = text
  }

  get [JSON_TEXT](): true {
    return true
  }
}
