/**
 * The types a module is written against. Type-only: nothing of it is in a bundle.
 *
 * @example
 * import type { Stage } from '#sdk/author'
 * type Uses = { params: { topK: number }; services: 'features' }
 * export const rank: Stage<Candidate[], Ranked[], Uses> = async (candidates, ctx) => …
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Logs with structured fields; the lines leave with the answer and appear in the log of the base. */
export interface StageLog {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/**
 * What modules may list under `berth.services`. Every base has `features`; what yours offers besides, add in a file of the module:
 * `declare module '#sdk/author' { interface Services { readonly geo: { lookup(address: string): Promise<Place> } } }`
 */
export interface Services {
  readonly features: Features
}

/** Read-only tables by key, from files that whoever runs the base puts there. A call sees one state of its table throughout. */
export interface Features {
  /** The row, its member `key` included; null when the table has none. */
  get<Row = unknown>(table: string, key: string | number): Promise<Row | null>
  /** One row a key, in the order of the keys, null where the table has none. Up to 10,000 keys. */
  getMany<Row = unknown>(table: string, keys: readonly (string | number)[]): Promise<(Row | null)[]>
  /** Changes with the contents of the table: sha256 of its file, hex. */
  version(table: string): Promise<string>
}

/** What a stage takes from the scene and the base around it; what is left out, it does without. */
export interface Uses {
  /** The params it reads. Scenes are free in what they set: check what a wrong value would break. */
  readonly params?: object
  /** Base services, as under `berth.services` in package.json: `'features' | 'geo'`. */
  readonly services?: keyof Services
  /** The caller's input, for a stage that is not the first. */
  readonly request?: unknown
}

/** As deep as it goes, nothing of it can be written to. */
export type Frozen<T> = T extends (...values: never[]) => unknown ? T : T extends object ? { readonly [Key in keyof T]: Frozen<T[Key]> } : T

/** What a stage gets beside its input. */
// Not an interface of `U`: the compiler would judge those by `U` alone, and let a context pass that lacks a service.
export type StageContext<U extends Uses = Uses> = Context<
  U extends { readonly params: infer Params } ? Params : Record<string, unknown>,
  U extends { readonly services: infer Name extends keyof Services } ? Name : never,
  U extends { readonly request: infer Request } ? Request : unknown
>

export interface Context<Params, Name extends keyof Services, Request> {
  /** The caller's input, deeply frozen, the same for every stage. Parsed again on first use: take the stage's input where that will do. */
  readonly request: Frozen<Request>
  readonly scene: string
  readonly version: string
  /** Undefined when the caller sent no unit id. */
  readonly unit: string | undefined
  /** 0 to 9999, where a code experiment or a cutover chose the version by it. */
  readonly bucket: number | undefined
  readonly requestId: string
  /** Parameters of the scene, deeply frozen. */
  readonly params: Frozen<Params>
  readonly log: StageLog
  /** Milliseconds until the request is answered 504 without you; negative once it has been. */
  deadlineMs(): number
  /**
   * Calls another scene of the same base, in process, within what is left of this request's deadline.
   * @throws an Error with `code` (such as `SCENE_NOT_FOUND`, `CALL_CYCLE`, `DEADLINE_EXCEEDED`) when that scene fails.
   */
  call<Output = unknown>(scene: string, input: unknown): Promise<Output>
  /**
   * The base services that the module lists under `berth.services` in package.json, and those only:
   * `await ctx.services.features.getMany('items', ids)`. Bounded like `call`.
   * @throws an Error with `code` (such as `SERVICE_INPUT_INVALID`, `SERVICE_FAILED`, `FEATURES_NOT_FOUND`) when there is no answer.
   */
  readonly services: Pick<Services, Name>
  /**
   * `fetch`, on behalf of this request: with its deadline and its trace. The global one knows those only until the stage first awaits. Hosts
   * are those that the modules of the group list under `berth.fetch` in package.json; bodies are texts, bytes or `URLSearchParams`, whole.
   * @throws a TypeError with `code`: `FETCH_FORBIDDEN`, `FETCH_FAILED`, `FETCH_TOO_LARGE`, `FETCH_OVERLOADED` or `DEADLINE_EXCEEDED`.
   */
  readonly fetch: (input: string | URL | globalThis.Request, init?: RequestInit) => Promise<Response>
}

/**
 * One step of a module group. The first stage gets the caller's input, each next one what the one before returned; the last one's value is
 * the answer.
 */
export type Stage<Input = unknown, Output = unknown, U extends Uses = Uses> = (
  input: Input,
  ctx: StageContext<U>,
) => Output | Promise<Output>
