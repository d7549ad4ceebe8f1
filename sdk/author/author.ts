/**
 * The types that modules are written against. This file has types only, so nothing of it is in a bundle.
 *
 * @example
 * import type { Stage } from '@berth/sdk'
 * type Uses = { params: { topK: number }; services: 'features' }
 * export const rank: Stage<Candidate[], Ranked[], Uses> = async (candidates, ctx) => …
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Writes log lines with structured fields. The lines leave the slot with the answer, and appear in the log of the base. */
export interface StageLog {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/**
 * The services that modules may list under `berth.services`. Every base has `features`. "sdk types" declares the others of your base; or do it yourself:
 * `declare module '@berth/sdk' { interface Services { readonly geo: { lookup(address: string): Promise<Place> } } }`
 */
export interface Services {
  readonly features: Features
}

/** The feature tables of your base, each with its row. "sdk types" adds them; without any, every name is accepted. */
// biome-ignore lint/suspicious/noEmptyInterface: declarations add its members
export interface FeatureTables {}

/** The scenes of your base, each with its input and output, for `ctx.call`. "sdk types" adds them; without any, every name is accepted. */
// biome-ignore lint/suspicious/noEmptyInterface: declarations add its members
export interface KnownScenes {}

/** A name that may be in the list: one of it, or one that is not known before it runs. While the list is empty, any name is accepted. */
type Listed<Name, List> = [List] extends [never]
  ? Name
  : string extends Name
    ? Name
    : [Extract<List, Name>] extends [never]
      ? Spelled<List>
      : Name
/** The same names, which the compiler writes out in its errors. */
type Spelled<List> = `${List & string}`

/** Read-only tables with a key, uploaded with `sdk features put` or put into the folder of the base. One call sees one state of its table. */
export interface Features {
  /** The row with this key, with all members of its line, so also `key` (of a CSV file, its first column); null when the table has none. */
  get<Table extends keyof FeatureTables>(table: Table, key: string | number): Promise<FeatureTables[Table] | null>
  get<Row = unknown, Table extends string = string>(table: Listed<Table, keyof FeatureTables>, key: string | number): Promise<Row | null>
  /** One row for each key, in the order of the keys, null where the table has none. At most 10,000 keys. */
  getMany<Table extends keyof FeatureTables>(table: Table, keys: readonly (string | number)[]): Promise<(FeatureTables[Table] | null)[]>
  getMany<Row = unknown, Table extends string = string>(
    table: Listed<Table, keyof FeatureTables>,
    keys: readonly (string | number)[],
  ): Promise<(Row | null)[]>
  /** The sha256 of the file in hex, which changes with the contents of the table. */
  version<Table extends string>(table: Listed<Table, keyof FeatureTables>): Promise<string>
}

/** What package.json says about a module. It has members only while the types of the module are checked, which adds them. */
export interface Manifest {
  readonly name?: string
}

/** Services that a module may use. While its types are checked, these are the ones that it lists under `berth.services` in package.json. */
type ServiceName = Manifest extends { readonly services: infer Name } ? Name & keyof Services : keyof Services

/** What a stage uses of the scene and the base around it. What it does not declare, the compiler does not let it use. */
export interface Uses {
  /** The params that it reads. A scene may set any value, so check what a wrong value would break. */
  readonly params?: object
  /** Names of base services, as under `berth.services` in package.json: `'features' | 'geo'`. */
  readonly services?: ServiceName
  /** The caller's input, for a stage that is not the first. */
  readonly request?: unknown
}

/** Read-only at every depth. */
export type Frozen<T> = T extends (...values: never[]) => unknown ? T : T extends object ? { readonly [Key in keyof T]: Frozen<T[Key]> } : T

/** The second argument of a stage, beside its input. */
// This is not an interface with the parameter `U`, because the compiler compares such interfaces by `U` alone, and would accept a context that
// lacks a service.
export type StageContext<U extends Uses = Uses> = Context<
  U extends { readonly params: infer Params } ? Params : Record<string, unknown>,
  U extends { readonly services: infer Name extends keyof Services } ? Name : never,
  U extends { readonly request: infer Request } ? Request : unknown
>

type InputOf<Scene> = Scene extends { readonly input: infer Input } ? Input : unknown
type OutputOf<Scene> = Scene extends { readonly output: infer Output } ? Output : unknown
/** The other signature is for listed scenes, whose input has to fit. */
type Unlisted<Scene extends string> = Scene extends keyof KnownScenes ? never : Listed<Scene, keyof KnownScenes>

export interface Context<Params, Name extends keyof Services, Request> {
  /** The caller's input, deeply frozen, the same for every stage. It is parsed again on first use, so prefer the input of the stage. */
  readonly request: Frozen<Request>
  readonly scene: string
  readonly version: string
  /** Undefined when the caller sent no unit id. */
  readonly unit: string | undefined
  /** The bucket of the unit, 0 to 9999, if a code experiment or a cutover chose the version by it. */
  readonly bucket: number | undefined
  readonly requestId: string
  /** Parameters of the scene, deeply frozen. */
  readonly params: Frozen<Params>
  readonly log: StageLog
  /**
   * Ends the request with the status 422 and blames its caller, whatever `onFailure` says: use it for what the caller can mend. The caller gets `code` as
   * `reason`, the message and the details, which are JSON of at most 8,192 characters. It works by throwing an error, so code that catches the error goes on.
   * Write `return ctx.reject(…)`: the compiler knows then that the stage ends there.
   * @param code a name in capitals, such as `ITEMS_EMPTY`
   */
  reject(code: string, message: string, details?: unknown): never
  /** Milliseconds until the deadline, when the request is answered 504; negative afterwards. */
  deadlineMs(): number
  /**
   * Calls another scene of the same base, in the same process. The call has what is left of the deadline of this request.
   * @throws an Error with `code` (such as `SCENE_NOT_FOUND`, `CALL_CYCLE`, `DEADLINE_EXCEEDED`) when that scene fails. When that scene refuses the input, the
   * code is `REQUEST_REJECTED`, with the `reason` and the `details` that its stage gave, or `REQUEST_INVALID`, with the `faults`. A stage that lets such an
   * error through is to blame for it, and not its own caller
   */
  call<Output = unknown, Scene extends string = string>(scene: Unlisted<Scene>, input: unknown): Promise<Output>
  call<Scene extends Spelled<keyof KnownScenes>>(scene: Scene, input: InputOf<KnownScenes[Scene]>): Promise<OutputOf<KnownScenes[Scene]>>
  /**
   * The base services that the module lists under `berth.services` in package.json, and no others:
   * `await ctx.services.features.getMany('items', ids)`. A call has what is left of the deadline of this request.
   * @throws an Error with `code` (such as `SERVICE_INPUT_INVALID`, `SERVICE_FAILED`, `FEATURES_NOT_FOUND`) when there is no answer
   */
  readonly services: Pick<Services, Name>
  /**
   * `fetch` with the deadline and the trace of this request. The global `fetch` knows these only until the stage first awaits. It reaches the hosts
   * that the modules of the group list under `berth.fetch` in package.json. Bodies are strings, bytes or `URLSearchParams`; there are no streams.
   * @throws a TypeError with `code`: `FETCH_FORBIDDEN`, `FETCH_FAILED`, `FETCH_TOO_LARGE`, `FETCH_OVERLOADED` or `DEADLINE_EXCEEDED`
   */
  readonly fetch: (input: string | URL | globalThis.Request, init?: RequestInit) => Promise<Response>
}

/**
 * One step of a module group. The first stage gets the caller's input, and each further stage gets what the one before it returned. What the last
 * stage returns is the answer.
 */
export type Stage<Input = unknown, Output = unknown, U extends Uses = Uses> = (
  input: Input,
  ctx: StageContext<U>,
) => Output | Promise<Output>
