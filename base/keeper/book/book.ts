/** What a base knows: its modules, scenes, versions, feature tables and tokens, the changes that made them, and the table that cells get of them. */
import type { AuditedChange, BaseFacts, BasePayloads, ChangeKind, LostCell, ScenePayloads } from '../../change/change.ts'
import { warnUnproven } from '../../change/lock.ts'
import { type ModuleRecord, moduleKey, type Records } from '../../change/records.ts'
import type { KeptScene, SceneRecordKind } from '../../change/scene-state.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { BaseStore } from '../../store/base-store.ts'
import type { AuditNote, Expected, KeyedCommit, KeyedRequest, Write } from '../../store/store.ts'
import type { LockedModule, VersionRecord } from '../../traffic/schema.ts'
import { lockedModules } from '../../traffic/table.ts'
import { FeatureBook } from './feature-book.ts'
import { ModuleBook } from './module-book.ts'
import { SceneBook } from './scene-book.ts'
import { TableBuilder } from './table-builder.ts'
import { TokenBook } from './token-book.ts'
import { Names } from './token-labels.ts'

/** Who asks for a change, and what the audit log keeps of that. */
export interface Actor {
  /** Id of a token, or `base`. */
  readonly who: string
  readonly reason?: string | undefined
  /** The `Idempotency-Key` of the request, and the digest of the request. */
  readonly keyed?: Pick<KeyedRequest, 'key' | 'digest'> | undefined
}

/** A commit, as it is logged. */
export interface Commit extends Actor {
  readonly whoLabel: string
  readonly kind: ChangeKind
  readonly action: string
  readonly target: string
  readonly revision: number
}

/** The part of a scene that a write may expect to be at a revision: one of its records, or its parameters, which are in two of them. */
export type ScenePart = SceneRecordKind | 'params'

type Note = Omit<AuditNote, 'who' | 'reason' | 'kind'> & { readonly kind: ChangeKind }

/** A change that is not of a scene, and what it does. */
export interface BaseNote<K extends keyof BasePayloads> {
  readonly kind: K
  readonly payload: BasePayloads[K]
  readonly facts: BaseFacts[K]
  readonly target: string
  /** What happened, for people. @default the kind */
  readonly action?: string
  readonly before: unknown
  readonly after: unknown
}

export class Book {
  readonly features: FeatureBook
  readonly modules: ModuleBook
  readonly scenes: SceneBook
  readonly tokens: TokenBook
  readonly tables: TableBuilder
  readonly names: Names
  readonly now: () => Date
  readonly #store: BaseStore
  readonly #onCommit: (done: Commit) => void

  /** @param onCommit is called with every commit once it is kept */
  constructor(store: BaseStore, now: () => Date = () => new Date(), onCommit: (done: Commit) => void = () => undefined) {
    this.#store = store
    this.#onCommit = onCommit
    this.now = now
    this.features = new FeatureBook(store)
    this.modules = new ModuleBook(store)
    this.scenes = new SceneBook(store)
    this.tokens = new TokenBook(store)
    this.names = new Names(this.tokens, id => this.audit(10, undefined, id))
    this.tables = new TableBuilder(store, id => this.scenes.find(id))
  }

  get revision(): number {
    return this.#store.revision
  }

  /**
   * @param target limits the rows to those about one scene or whatever else rows are about
   * @returns rows, newest first
   */
  audit(limit: number, before?: number, target?: string): AuditedChange[] {
    // Only `commit` writes rows, and the types of changes hold there: reading trusts that.
    return this.#store.audit(limit, before, target) as AuditedChange[]
  }

  /** Every row about a scene, newest first, read as they are asked for; not those about an earlier scene of this id, which was deleted. */
  *history(scene: string): Generator<AuditedChange> {
    const page = 100
    for (let rows = this.audit(page, undefined, scene); rows.length > 0; rows = this.audit(page, rows.at(-1)?.revision, scene)) {
      for (const row of rows) {
        if (row.kind === 'delete scene') return
        yield row
      }
    }
  }

  /**
   * The version that a request would make; it is not kept yet. Where a scene has no baseline, ranges give modules that have been part of one.
   * @returns it, with what whoever asked should know of how its modules were chosen
   * @throws VERSION_NOT_FOUND, and as `resolveLock`
   */
  draft(scene: KeptScene, wanted: ScenePayloads['create version'], made: Pick<VersionRecord, 'createdAt' | 'createdBy'>) {
    // Records of earlier releases do not say what was part of a baseline, but scenes say what is.
    const inBaselines = scene.baseline === null ? this.scenes.baselineModules() : new Set<string>()
    const isProven = (module: ModuleRecord) =>
      module.firstBaselineAt !== undefined || inBaselines.has(moduleKey(module.name, module.version))
    const draft = this.scenes.draft(scene, wanted, name => this.modules.list(name), isProven, made)
    const exact = new Set(wanted.modules)
    const isFine = ({ name, version }: LockedModule) => exact.has(`${name}@${version}`) || isProven(this.modules.get(name, version))
    return {
      draft,
      warnings: scene.baseline === null && wanted.from === undefined ? warnUnproven(draft.lock, isFine) : [],
    }
  }

  /**
   * Checks that a part of a scene is at the expected revision, 0 for none.
   * @throws REVISION_CONFLICT; its member `changes` lists what changed since
   */
  expect(part: ScenePart, id: string, expected: Expected): void {
    const kind = part === 'params' ? latestOf(this.scenes.find(id)) : part
    this.#withChanges(id, expected, () => this.#store.expect(kind, id, expected === 0 ? 'absent' : expected))
  }

  /**
   * Keeps what a change of a scene writes, in one commit.
   * @param before the scene it was worked out from
   * @returns the revision of the commit
   * @throws REVISION_CONFLICT when that has changed meanwhile
   */
  commitScene(
    before: KeptScene | undefined,
    writes: readonly Write<Records>[],
    actor: Actor,
    note: Note,
    result: KeyedCommit['result'],
  ): number {
    const since = before === undefined ? undefined : Math.max(...Object.values(before.revisions))
    return this.#withChanges(note.target, since, () => {
      // A definition is checked against the rules, and so is what is deleted: they must be as they were, too.
      const needsRules = note.kind === 'define scene' || note.kind === 'delete versions'
      if (needsRules && before !== undefined) this.#store.expect('rules', note.target, before.revisions.rules || 'absent')
      this.#requireModules(writes)
      return this.#commit(writes, actor, note, result)
    })
  }

  /** While cells load a new version, nothing that it names is its own yet, so a module of it may be deleted. @throws MODULE_NOT_FOUND */
  #requireModules(writes: readonly Write<Records>[]): void {
    for (const write of writes) {
      if (write.kind !== 'version' || write.value === null) continue
      for (const { name, version } of lockedModules(write.value.lock)) this.modules.get(name, version)
    }
  }

  /** Keeps a change that is not of a scene. @throws REVISION_CONFLICT */
  commit<K extends keyof BasePayloads>(
    writes: readonly Write<Records>[],
    actor: Actor,
    note: BaseNote<K>,
    result: KeyedCommit['result'] = () => ({}),
  ): void {
    this.#commit(writes, actor, { action: note.kind, ...note }, result)
  }

  /** The cells that were lost of late, the oldest first. */
  losses(): LostCell[] {
    return this.#store.list('loss').map(({ value }) => value)
  }

  /** Keeps a lost cell, unless it is kept already or nothing ran in it. Others that do not count beside it any more are forgotten. */
  keepLoss(loss: LostCell): void {
    const key = `${loss.at} ${loss.pid}`
    if (loss.suspects.length === 0 || this.#store.get('loss', key) !== undefined) return
    const { lossWindowMs, lossesKept } = limits.quarantine
    const known = this.#store.list('loss')
    // A clock that was set back leaves losses in the future.
    const isFar = (at: string) => Math.abs(Date.parse(loss.at) - Date.parse(at)) > lossWindowMs
    const gone = known.filter(({ value: { at } }, index) => isFar(at) || index < known.length - lossesKept)
    const writes: Write<Records>[] = gone.map(({ key }) => ({ kind: 'loss', key, value: null }))
    const change = { kind: 'lose cell', payload: loss, facts: {}, target: String(loss.cell), before: null, after: null } as const
    this.commit([...writes, { kind: 'loss', key, value: loss }], { who: 'base', reason: loss.why }, change)
  }

  /** The request of the actor, if it was sent with its key before. */
  keyed({ who, keyed }: Pick<Actor, 'who' | 'keyed'>): KeyedRequest | undefined {
    return keyed && this.#store.keyed(who, keyed.key)
  }

  keepAnswer({ who, keyed }: Actor, answer: unknown): void {
    if (keyed !== undefined) this.#store.keepAnswer({ who, ...keyed, answer })
  }

  #commit(writes: readonly Write<Records>[], { who, reason, keyed }: Actor, note: Note, result: KeyedCommit['result']): number {
    const revision = this.#store.commit(writes, { who, reason, ...note }, keyed && { ...keyed, result })
    this.#onCommit({ who, whoLabel: this.names.of(who), reason, kind: note.kind, action: note.action, target: note.target, revision })
    return revision
  }

  /** Does `work`. When that conflicts, the error says what was done to the scene since a revision. */
  #withChanges<T>(id: string, since: Expected, work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof BerthError) || error.code !== 'REVISION_CONFLICT') throw error
      throw this.#explained(error, id, since)
    }
  }

  #explained(error: BerthError, id: string, since: Expected): BerthError {
    if (typeof since !== 'number') return error
    const { revision: current = 0 } = error.extra ?? {}
    // That a data folder became one of changes has changed nothing.
    const rows = this.audit(limits.control.conflictRowsMax, undefined, id).filter(
      row => row.revision > since && row.kind !== 'import scene',
    )
    const named = rows.slice(0, 3).map(({ who, action }) => `${action} by ${this.names.of(who)}`)
    const all = rows.length > named.length ? [...named, `${rows.length - named.length} more`] : named
    const meanwhile = all.length === 0 ? '' : `; since then: ${all.join(', ')}`
    return new BerthError('REVISION_CONFLICT', `${error.message}${meanwhile}`, {
      cause: error,
      extra: { ...error.extra, current, changes: rows },
    })
  }
}

/** The record with parameters that changed last. */
function latestOf(scene: KeptScene | undefined): SceneRecordKind {
  return scene !== undefined && scene.revisions.rules > scene.revisions.scene ? 'rules' : 'scene'
}
