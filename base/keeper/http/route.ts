/** Routes of the control API are rows. A row says what one may ask, with which right, what the route takes and gives, and what it calls. */
import type { Readable } from 'node:stream'
import type { Static, TObject, TSchema } from 'typebox'
import type { Shape } from '../../contract/shape.ts'
import type { Guesses } from '../../kernel/guesses.ts'
import type { Logger } from '../../kernel/log.ts'
import type { Blobs } from '../../store/blobs.ts'
import type { Right } from '../../traffic/schema.ts'
import type { Actor, Book } from '../book/book.ts'
import type { Explainer } from '../book/explainer.ts'
import type { Token } from '../book/token-book.ts'
import type { Capsules } from '../capsules/capsules.ts'
import type { Cells } from '../cells/cells.ts'
import type { Validators } from '../cells/validators.ts'
import type { Vitals } from '../cells/vitals.ts'
import type { BaseDriver } from '../driver/base-driver.ts'
import type { CapsuleDriver } from '../driver/capsule-driver.ts'
import type { FeatureDriver } from '../driver/feature-driver.ts'
import type { SceneDriver } from '../driver/scene-driver.ts'
import type { Gate } from '../gate.ts'
import type { Logs } from '../logs/logs.ts'
import type { Upgrades } from '../upgrades.ts'

/** The parts of the keeper that routes call. */
export interface RouteParts {
  readonly book: Book
  readonly driver: SceneDriver
  readonly baseDriver: BaseDriver
  readonly featureDriver: FeatureDriver
  readonly capsuleDriver: CapsuleDriver
  readonly explainer: Explainer
  readonly blobs: Blobs
  readonly vitals: Vitals
  readonly logs: Logs
  readonly capsules: Capsules
  readonly validators: Validators
  readonly cells: Cells
  readonly guesses: Guesses
  /** What changes wait for. */
  readonly changes: Gate
  readonly upgrades: Upgrades
  readonly log: Logger
}

/** A body of a request: in which forms it may come, and its value once it has been read. */
export interface Body<S extends TSchema = TSchema, Checked extends boolean = boolean> {
  readonly types: readonly BodyType[]
  readonly schema: S
  /**
   * Whether the body is checked against the schema before the route runs. If not, the schema is only for readers, and the route gets the
   * body as it came.
   */
  readonly checked: Checked
  /** For bytes, which a route gets as a stream, only for readers. @default limits.control.bodyBytesMax */
  readonly bytesMax?: number
}
export type BodyType = 'application/json' | 'text/plain' | 'application/octet-stream'

export const json = <S extends TSchema>(schema: S): Body<S, true> => ({ types: ['application/json'], schema, checked: true })

/** All that a request may consist of besides its method and path. Parts that a row does not name are ignored. */
interface Takes {
  readonly params?: TObject
  readonly query?: TObject
  readonly headers?: TObject
  readonly body?: Body
}

/** An answer that is not JSON, or not only JSON, by content type. */
interface Contents<S extends TSchema = TSchema> {
  readonly description: string
  readonly contents: Readonly<Record<string, S>>
}
/** Answers by status. */
type Gives = Readonly<Record<number, TSchema | Contents>>

type Part<S> = S extends TSchema ? Static<S> : undefined

export interface RouteRequest<T extends Takes = Takes> {
  readonly params: Part<T['params']>
  readonly query: Part<T['query']>
  readonly headers: Part<T['headers']>
  readonly body: T['body'] extends Body<infer S, infer Checked> ? (Checked extends true ? Static<S> : unknown) : undefined
  /** The token of whoever asks. */
  readonly token: Token
  /** The key of a write that was sent with an `Idempotency-Key`. */
  readonly keyed: Actor['keyed']
  /** The header `Accept`, as it came. */
  readonly accept: string
  /** Aborts when the connection closes, at the latest after the answer. */
  readonly gone: () => AbortSignal
}

/** All that a route does to its answer. A body that is text or a stream is sent as it is; any other is sent as JSON. */
export interface Answer<Status extends number = number, Value = unknown> {
  readonly status: Status
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Value
}

export const answer = <Status extends number, Value>(
  status: Status,
  body: Value,
  headers: Readonly<Record<string, string>> = {},
): Answer<Status, Value> => ({ status, headers, body })

export const ok = <Value>(body: Value, headers?: Readonly<Record<string, string>>): Answer<200, Value> => answer(200, body, headers)

type Given<G> = G extends Contents<infer S> ? string | Readable | Shape<S> : G extends TSchema ? Shape<G> : never
type AnswerIn<G extends Gives> = { [Status in keyof G & number]: Answer<Status, Given<G[Status]>> }[keyof G & number]

export interface Route<T extends Takes = Takes, G extends Gives = Gives> {
  /** Names the operation in the OpenAPI document. */
  readonly operation: string
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  /** The right that a token must have; `anyone` needs no token. */
  readonly right: Right | 'anyone'
  readonly about: string
  readonly details?: string
  /**
   * False for a route that may be repeated without harm whatever its method is; it takes no `Idempotency-Key`.
   * @default whether the method writes
   */
  readonly write?: false
  /** Whether the answer holds a secret, which is never kept on disk. */
  readonly secret?: true
  /** Whether answers have the revision as their ETag. @default whether the route takes `If-Match` */
  readonly etag?: true
  readonly takes: T
  readonly gives: G
  run(request: RouteRequest<T>, parts: RouteParts): AnswerIn<G> | Promise<AnswerIn<G>>
}

/** Lets TypeScript check a row: `run` sees what the row takes, and answers what it gives. */
export const route = <T extends Takes, G extends Gives>(row: Route<T, G>): Route => row as Route

export const isWrite = ({ method, write }: Route): boolean => write !== false && method !== 'GET' && method !== 'HEAD'
