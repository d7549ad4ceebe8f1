/**
 * The interface of the keeper's store: entries that change in atomic, numbered, audited commits.
 *
 * `Kinds` maps each kind of entry to the type of its value, which must be JSON. Once `commit` has returned, its writes survive `kill -9` and power
 * loss. All calls are synchronous; a commit costs one sync of the disk, and a read none.
 */
export interface Store<Kinds> {
  /** Number of the last commit; 0 before the first. */
  readonly revision: number

  /** Whether no other process can read the store until it is closed, because the disk had no room when it was opened. */
  readonly isAlone: boolean

  /** The entry with this key; undefined when there is none or it was deleted. */
  get<K extends KindOf<Kinds>>(kind: K, key: string): Entry<Kinds[K]> | undefined

  /** The entries whose key starts with `prefix`, in the order of their keys' UTF-8 bytes. */
  list<K extends KindOf<Kinds>>(kind: K, prefix?: string): Entry<Kinds[K]>[]

  /**
   * Checks the revision of an entry as `commit` does.
   * @throws REVISION_CONFLICT when the entry is not at the expected revision
   */
  expect(kind: KindOf<Kinds>, key: string, expected: Expected): void

  /**
   * Makes all writes or none, together with one row of the audit log and, for a request that was sent with a key, the result of the commit.
   * @returns the new revision, which every written entry now has
   * @throws REVISION_CONFLICT when an entry is not at the revision that its write expects; `extra` has the revision, and who changed the entry when
   * @throws STORE_FULL
   * @throws STORE_FAILED when the disk failed; whether the commit is on disk is then unknown until the store is opened again
   */
  commit(writes: readonly Write<Kinds>[], audit: AuditNote, keyed?: KeyedCommit): number

  /** The latest state of every entry that has changed after `revision`, including deleted ones, ordered by revision. */
  changesSince(revision: number): ChangedEntry<Kinds>[]

  /** At most `limit` audit rows, newest first, of commits before revision `before` (default: of all), of one target (default: of all). */
  audit(limit: number, before?: number, target?: string): AuditRow[]

  /** The request of this token with this key; undefined when there was none, or it was forgotten. */
  keyed(who: string, key: string): KeyedRequest | undefined

  /** Keeps the answer to a request that was sent with a key. @throws the errors of `commit` */
  keepAnswer(request: Omit<KeyedRequest, 'at' | 'result'>): void

  /** Forgets the requests with keys that came before a time. @returns how many it forgot */
  forgetKeyed(before: Date): number

  /** Bytes on the disk, and how many of them hold nothing: they are filled before the store grows. */
  size(): { readonly bytes: number; readonly freeBytes: number }

  /** Gives some of the bytes that hold nothing back to the disk, so few that nobody waits for it. A store of a Berth that did not do so keeps them. */
  giveBack(): void

  /** Closes the store. Idempotent. */
  close(): void
}

export type KindOf<Kinds> = keyof Kinds & string

/** The revision that an entry must have; `absent` when it must not exist; undefined when it does not matter. */
export type Expected = number | 'absent' | undefined

export interface Entry<Value> {
  readonly key: string
  readonly value: Value
  /** Revision of the commit that changed it last. */
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
    /** Null deletes the entry. */
    readonly value: Kinds[K] | null
    readonly expect?: Expected
  }
}[KindOf<Kinds>]

/** The row of a commit in the audit log, as the caller gives it. */
export interface AuditNote {
  /** Id of the token that asked for it, or `base`. */
  readonly who: string
  /** The change as a value: its kind, what the actor asked for, and what the keeper found out or made for it; the last two are JSON. */
  readonly kind: string
  readonly payload: unknown
  readonly facts: unknown
  /** What was changed: the id of a scene, token or cell, `name@version` of a module, or the name of a feature table. */
  readonly target: string
  /** What happened, for people: verb and noun, such as `set baseline`. */
  readonly action: string
  readonly reason?: string | undefined
  /** The state of the target before and after the change, as JSON; null when there is nothing to say. */
  readonly before: unknown
  readonly after: unknown
}

export interface AuditRow extends Omit<AuditNote, 'reason' | 'kind'> {
  readonly revision: number
  /** ISO 8601, UTC. It is for people; rows are ordered by revision. */
  readonly at: string
  /** Null in rows of data folders of format 1, which have no payload and facts either. */
  readonly kind: string | null
  readonly reason?: string
  /** The `Idempotency-Key` of the request. */
  readonly key?: string
}

/** The request that makes a commit, when it was sent with a key. */
export interface KeyedCommit {
  readonly key: string
  /** The digest of the request, to notice when the same key is used for another request. */
  readonly digest: string
  /** The result of the commit as JSON, made from its revision. It is enough to answer the request again if its answer was not kept. */
  readonly result: (revision: number) => unknown
}

/** A request that was sent with a key. */
export interface KeyedRequest {
  readonly who: string
  readonly key: string
  readonly digest: string
  /** ISO 8601, UTC. */
  readonly at: string
  /** The result of its commit, as JSON; undefined when it made none. */
  readonly result?: unknown
  /** The answer as JSON; undefined until it is kept. */
  readonly answer?: unknown
}
