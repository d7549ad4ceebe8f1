/**
 * What the keeper asks of its store: entries that change in atomic, numbered, audited commits.
 *
 * `Kinds` maps each kind of entry to the type of its value, which must be JSON. What `commit` has returned survives `kill -9` and power loss.
 * All calls are synchronous: a commit costs one disk sync, a read none.
 */
export interface Store<Kinds> {
  /** Number of the last commit; 0 before the first. */
  readonly revision: number

  /** Undefined when there is none or it was deleted. */
  get<K extends KindOf<Kinds>>(kind: K, key: string): Entry<Kinds[K]> | undefined

  /** The entries whose key starts with `prefix`, in the order of their keys' UTF-8 bytes. */
  list<K extends KindOf<Kinds>>(kind: K, prefix?: string): Entry<Kinds[K]>[]

  /**
   * Throws REVISION_CONFLICT, as `commit` would, when the entry is not at the expected revision; undefined expects nothing.
   */
  expect(kind: KindOf<Kinds>, key: string, expected: Expected): void

  /**
   * Makes all writes or none, together with one row of the audit log and, for a request that was sent with a key, what it came to.
   * @returns the new revision, which every written entry now has.
   * @throws REVISION_CONFLICT when an entry is not at the revision its write expects; `extra` says at which it is and who changed it when.
   * @throws STORE_FULL, or STORE_FAILED when the disk failed: what is on disk is then unknown until the store is opened again.
   */
  commit(writes: readonly Write<Kinds>[], audit: AuditNote, keyed?: KeyedCommit): number

  /** Latest state of every entry changed after `revision`, deleted ones included, ordered by revision. */
  changesSince(revision: number): ChangedEntry<Kinds>[]

  /** At most `limit` audit rows, newest first, of commits before revision `before` (default: of all), of one target (default: of all). */
  audit(limit: number, before?: number, target?: string): AuditRow[]

  /** What the request of this token with this key came to; undefined when none did, or it was forgotten. */
  keyed(who: string, key: string): KeyedRequest | undefined

  /** Keeps the answer to a request that was sent with a key. @throws as `commit` */
  keepAnswer(request: Omit<KeyedRequest, 'at' | 'result'>): void

  /** Forgets the requests with keys that came before a time. @returns how many it forgot */
  forgetKeyed(before: Date): number

  /** Idempotent. */
  close(): void
}

export type KindOf<Kinds> = keyof Kinds & string

/** The revision an entry must be at, or that it must not be there; undefined: whatever is there. */
export type Expected = number | 'absent' | undefined

export interface Entry<Value> {
  readonly key: string
  readonly value: Value
  /** Of the commit that changed it last. */
  readonly revision: number
}

/** An entry after its last change; `value` is null when that deleted it. */
export type ChangedEntry<Kinds> = {
  [K in KindOf<Kinds>]: { readonly kind: K; readonly key: string; readonly value: Kinds[K] | null; readonly revision: number }
}[KindOf<Kinds>]

/** What a commit does to one entry. */
export type Write<Kinds> = {
  [K in KindOf<Kinds>]: {
    readonly kind: K
    readonly key: string
    /** Null deletes. */
    readonly value: Kinds[K] | null
    readonly expect?: Expected
  }
}[KindOf<Kinds>]

/** What a commit says about itself in the audit log. */
export interface AuditNote {
  /** Id of the token that asked for it, or `base`. */
  readonly who: string
  /** The change as a value: its kind, what was wished for and what was found out or made for it, both JSON. */
  readonly kind: string
  readonly payload: unknown
  readonly facts: unknown
  /** What it was done to: the id of a scene, token or cell, or `name@version` of a module. */
  readonly target: string
  /** What happened, for people: verb and noun, such as `set baseline`. */
  readonly action: string
  readonly reason?: string | undefined
  /** What it was done to, as it was and as it became: JSON; null for "nothing". */
  readonly before: unknown
  readonly after: unknown
}

export interface AuditRow extends Omit<AuditNote, 'reason' | 'kind'> {
  readonly revision: number
  /** ISO 8601, UTC. For people: order comes from the revision. */
  readonly at: string
  /** Null in rows that were written before changes were values: payload and facts are null then, too. */
  readonly kind: string | null
  readonly reason?: string
  /** The `Idempotency-Key` that it was sent with. */
  readonly key?: string
}

/** Says in a commit which request made it. */
export interface KeyedCommit {
  readonly key: string
  /** The digest of the request: the same key with another request is a mistake. */
  readonly digest: string
  /** What the commit comes to, JSON, by its revision: enough to answer the request again when its answer was never kept. */
  readonly result: (revision: number) => unknown
}

/** A request that was sent with a key. */
export interface KeyedRequest {
  readonly who: string
  readonly key: string
  readonly digest: string
  /** ISO 8601, UTC. */
  readonly at: string
  /** What its commit came to; undefined when it made none. */
  readonly result?: unknown
  /** The answer, JSON; undefined until it is kept. */
  readonly answer?: unknown
}
