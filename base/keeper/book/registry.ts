/**
 * What a base knows: modules, scenes, versions, tokens. Every operation checks everything, then makes one commit; none waits for anything, so
 * no two of them interleave.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import semver from 'semver'
import { checkGroup, type LockRequest, resolveLock } from '../../change/lock.ts'
import { isJson } from '../../change/parameters.ts'
import { byOrdinal, type KeptTraffic, type Planned, type SceneKind, type SceneTraffic } from '../../change/versions.ts'
import { compileCheck } from '../../kernel/check.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import { nearest } from '../../kernel/nearest.ts'
import {
  type BaseStore,
  type ModuleRecord,
  moduleKey,
  type Records,
  type SceneRecord,
  type TokenRecord,
  versionKey,
} from '../../store/records.ts'
import type { AuditRow, Change, Entry, Expected } from '../../store/store.ts'
import { type Cutover, noRules } from '../../traffic/rules.ts'
import { type Lock, type ModuleManifest, type Right, SceneDefinition, type VersionRecord } from '../../traffic/schema.ts'
import type { SceneEntry, SceneTable } from '../../traffic/table.ts'
import { Tables } from './table-builder.ts'

/** Who asks for a write, and what the audit log keeps of it. */
export interface Actor {
  /** Id of a token, or `base`. */
  readonly who: string
  readonly reason?: string | undefined
}

/** A write that was kept. */
export interface Commit extends Actor {
  readonly action: string
  readonly target: string
  readonly revision: number
}

export interface SceneState extends SceneRecord {
  readonly cutover: Pick<Cutover, 'version' | 'share'> | null
  /** The version that answers load tests; null: the baseline. */
  readonly loadtest: string | null
  readonly revision: number
}

/** The revision of its parameters, which are in two records: a scene's own in its definition, those of its versions in the rules. */
export const paramsRevision = ({ revisions }: KeptTraffic): number => Math.max(revisions.scene, revisions.rules)

export interface Token extends Omit<TokenRecord, 'hash'> {
  readonly id: string
}

export interface VersionRequest extends Omit<LockRequest, 'from'> {
  /** Version whose lock this one starts from; undefined: the baseline. */
  readonly from?: string | undefined
  readonly label?: string | undefined
  /** Take a version that has exactly this lock, if there is one. */
  readonly reuse?: boolean
}

const TOKEN_PREFIX = 'berth_'
/** What makes another module of the same bundle, and what messages call it. */
const whatDiffers = { stages: 'stages', services: 'services', fetch: 'hosts' } as const
const fieldsThatCount = ['stages', 'services', 'fetch'] as const
const checkDefinition = compileCheck(SceneDefinition)

export class Registry {
  readonly #store: BaseStore
  readonly #now: () => Date
  readonly #onCommit: (done: Commit) => void
  readonly #tables: Tables

  /** @param onCommit is told of every write after it is kept */
  constructor(store: BaseStore, now: () => Date = () => new Date(), onCommit: (done: Commit) => void = () => undefined) {
    this.#store = store
    this.#now = now
    this.#onCommit = onCommit
    this.#tables = new Tables(store, id => this.traffic(id))
  }

  get revision(): number {
    return this.#store.revision
  }

  // Modules

  /** Every published version of one module, or of all, in the order of names and then versions. */
  modules(name?: string): ModuleRecord[] {
    const records = this.#store.list('module', name === undefined ? '' : `${name}@`).map(({ value }) => value)
    return records.sort((a, b) => (a.name === b.name ? semver.compareBuild(a.version, b.version) : a.name < b.name ? -1 : 1))
  }

  /** @throws MODULE_NOT_FOUND */
  module(name: string, version: string): ModuleRecord {
    const found = this.#store.get('module', moduleKey(name, version))
    if (found === undefined)
      throw new BerthError('MODULE_NOT_FOUND', `Cannot find module "${moduleKey(name, version)}": it is not published`)
    return found.value
  }

  /**
   * The record when this version is published already with these bytes.
   * @throws MODULE_EXISTS when it is with others; REQUEST_INVALID when the version is none.
   */
  publishedAlready(manifest: ModuleManifest): ModuleRecord | undefined {
    const { name, version, bundle } = manifest
    if (semver.valid(version) === null) {
      throw new BerthError('REQUEST_INVALID', `Cannot publish module "${name}": "${version}" is no semantic version`)
    }
    const record = this.#store.get('module', moduleKey(name, version))?.value
    if (record === undefined) return undefined
    const action = `Cannot publish module "${moduleKey(name, version)}"`
    const extra = { published: record.bundle, offered: bundle }
    if (record.bundle !== bundle) {
      throw new BerthError(
        'MODULE_EXISTS',
        `${action}: it is published with the bundle ${record.bundle.slice(0, 12)}…, this one is ${bundle.slice(0, 12)}…`,
        { extra },
      )
    }
    const differs = fieldsThatCount.find(field => !isDeepStrictEqual(new Set(record[field]), new Set(manifest[field])))
    if (differs === undefined) return record
    const had = record[differs]?.join(', ') || 'none'
    throw new BerthError('MODULE_EXISTS', `${action}: it is published with the ${whatDiffers[differs]} ${had}`, { extra })
  }

  /** Keeps a module whose blobs are there and whose bundle has passed its trial. */
  addModule(manifest: ModuleManifest, actor: Actor): ModuleRecord {
    const { name, version } = manifest
    const record = { ...manifest, publishedAt: this.#at(), publishedBy: actor.who }
    const key = moduleKey(name, version)
    this.#commit([{ kind: 'module', key, value: record, expect: 'absent' }], actor, 'publish module', key, null, manifest)
    return record
  }

  // Scenes

  scenes(): SceneState[] {
    return this.#store.list('scene').map(entry => this.#sceneState(entry))
  }

  /** @throws SCENE_NOT_FOUND */
  scene(id: string): SceneState {
    const found = this.#store.get('scene', id)
    if (found === undefined) throw this.#unknownScene(id)
    return this.#sceneState(found)
  }

  #unknownScene(id: string): BerthError {
    const meant = nearest(
      id,
      this.#store.list('scene').map(({ key }) => key),
    )
    const hint = meant === undefined ? '' : `; did you mean "${meant}"?`
    return new BerthError('SCENE_NOT_FOUND', `Cannot find scene "${id}": it is not defined${hint}`)
  }

  #sceneState({ key, value, revision }: Entry<SceneRecord>): SceneState {
    const { cutover, loadtest = null } = this.#store.get('rules', key)?.value ?? {}
    return { ...value, cutover: cutover === undefined ? null : { version: cutover.version, share: cutover.share }, loadtest, revision }
  }

  /** @throws REVISION_CONFLICT when it is not at the expected revision, 0 for none; `changes` in its members tells what changed since. */
  expect(what: SceneKind | 'params', id: string, expected: Expected): void {
    const kind = what === 'params' ? this.#latest(id) : what
    this.#tellingChanges(id, expected, () => this.#store.expect(kind, id, expected === 0 ? 'absent' : expected))
  }

  /** Has a conflict say what was done to the scene since a revision. */
  #tellingChanges(id: string, since: Expected, work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof BerthError) || error.code !== 'REVISION_CONFLICT' || typeof since !== 'number') throw error
      const changes = this.audit(limits.control.conflictRowsMax, undefined, id).filter(({ revision }) => revision > since)
      const told = changes.slice(0, 3).map(({ who, action }) => `${action} by ${who}`)
      const more = changes.length > told.length ? [`${changes.length - told.length} more`] : []
      const message = told.length === 0 ? error.message : `${error.message}; since then: ${[...told, ...more].join(', ')}`
      const current = error.extra?.revision ?? 0
      throw new BerthError('REVISION_CONFLICT', message, { cause: error, extra: { ...error.extra, current, changes } })
    }
  }

  /** Of the records that parameters are in, the one that changed last. */
  #latest(id: string): SceneKind {
    const { scene, rules } = this.traffic(id).revisions
    return rules > scene ? 'rules' : 'scene'
  }

  /**
   * Checks a scene definition against the schema and the published modules.
   * @returns it with its defaults.
   * @throws SCENE_INVALID, STAGE_DUPLICATE, MODULE_NOT_FOUND, MODULE_RANGE_UNSATISFIED, MODULE_LACKS_STAGE
   */
  checkScene(id: string, candidate: unknown): SceneDefinition {
    const refuse = (why: string) => new BerthError('SCENE_INVALID', `Cannot define scene "${id}": ${why}`)
    const { value: definition, faults } = checkDefinition(candidate)
    if (faults !== undefined) throw refuse(faults.join('; '))
    if (definition.id !== id) throw refuse(`the definition has the id "${definition.id}"`)
    const stages = definition.group.map(({ stage }) => stage)
    const duplicate = stages.find((stage, index) => stages.indexOf(stage) !== index)
    if (duplicate !== undefined) {
      throw new BerthError('STAGE_DUPLICATE', `Cannot define scene "${id}": its group has the stage "${duplicate}" more than once`)
    }
    if (!isJson(definition)) throw refuse('its params hold what JSON cannot, such as 1e999')
    checkGroup(definition, name => this.modules(name))
    return definition
  }

  /**
   * Keeps a checked definition.
   * @returns the scene, and whether anything had to be written.
   * @throws REVISION_CONFLICT
   */
  putScene(definition: SceneDefinition, expect: Expected, actor: Actor): { scene: SceneState; changed: boolean } {
    const { id } = definition
    const before = this.#store.get('scene', id)
    const same = before !== undefined && isDeepStrictEqual(before.value.definition, definition)
    if (same && (expect === undefined || expect === before.revision)) return { scene: this.#sceneState(before), changed: false }
    const value = { definition, baseline: before?.value.baseline ?? null }
    this.#commit([{ kind: 'scene', key: id, value, expect }], actor, 'define scene', id, before?.value.definition ?? null, definition)
    return { scene: this.scene(id), changed: true }
  }

  // Versions

  /** Oldest first. */
  versions(scene: string): VersionRecord[] {
    const records = this.#store.list('version', versionKey(scene, '')).map(({ value }) => value)
    return records.sort((a, b) => byOrdinal(a.id, b.id))
  }

  /** @throws VERSION_NOT_FOUND, SCENE_NOT_FOUND */
  version(scene: string, id: string): VersionRecord {
    const found = this.#store.get('version', versionKey(this.scene(scene).definition.id, id))
    if (found !== undefined) return found.value
    const known = this.versions(scene).map(version => version.id)
    const hint = known.length === 0 ? 'the scene has none yet' : `it has ${known.slice(-10).join(', ')}`
    throw new BerthError('VERSION_NOT_FOUND', `Cannot find version "${id}" of scene "${scene}": ${hint}`)
  }

  /**
   * The version that a request would make, not kept yet.
   * @throws SCENE_NOT_FOUND, VERSION_NOT_FOUND, and as `resolveLock`.
   */
  draftVersion(sceneId: string, request: VersionRequest, actor: Actor): VersionRecord {
    const scene = this.scene(sceneId)
    const from = request.from ?? scene.baseline ?? undefined
    const lockRequest = { ...request, from: from === undefined ? undefined : this.version(sceneId, from).lock }
    return {
      id: `v${Number(this.versions(sceneId).at(-1)?.id.slice(1) ?? 0) + 1}`,
      scene: sceneId,
      lock: resolveLock(scene.definition, name => this.modules(name), lockRequest),
      ...(from === undefined ? {} : { from }),
      ...(request.label === undefined ? {} : { label: request.label }),
      createdAt: this.#at(),
      createdBy: actor.who,
    }
  }

  /** The newest version with exactly this lock. */
  versionWithLock(scene: string, lock: Lock): VersionRecord | undefined {
    return this.versions(scene).findLast(version => isDeepStrictEqual(version.lock, lock))
  }

  // Who answers in a scene

  /** @throws SCENE_NOT_FOUND */
  traffic(id: string): KeptTraffic {
    const { definition, baseline, revision } = this.scene(id)
    const rules = this.#store.get('rules', id)
    const whitelist = this.#store.get('whitelist', id)
    return {
      definition,
      baseline,
      rules: rules?.value ?? noRules(segmentSalt(id)),
      whitelist: whitelist?.value,
      online: this.#online(id, baseline),
      revisions: { scene: revision, rules: rules?.revision ?? 0, whitelist: whitelist?.revision ?? 0 },
    }
  }

  /**
   * Keeps a change that was checked, in one commit.
   * @param before what it was worked out from
   * @returns whether there was anything to keep
   * @throws REVISION_CONFLICT when that has changed meanwhile
   */
  keepTraffic(before: KeptTraffic, { traffic, created, ...note }: Planned<unknown>, actor: Actor): boolean {
    const changes = this.#changes(before, traffic)
    const { id } = before.definition
    if (created !== undefined) changes.push({ kind: 'version', key: versionKey(id, created.id), value: created, expect: 'absent' })
    if (changes.length === 0) return false
    const since = Math.max(...Object.values(before.revisions))
    this.#tellingChanges(id, since, () => this.#commit(changes, actor, note.action, id, note.before, note.after))
    return true
  }

  #changes(before: KeptTraffic, after: SceneTraffic): Change<Records>[] {
    const { id } = before.definition
    const changes: Change<Records>[] = []
    const expect = (kind: SceneKind): number | 'absent' => before.revisions[kind] || 'absent'
    const { definition, baseline, rules, whitelist } = after
    if (baseline !== before.baseline || !isDeepStrictEqual(definition, before.definition)) {
      changes.push({ kind: 'scene', key: id, value: { definition, baseline }, expect: expect('scene') })
    }
    if (!isDeepStrictEqual(rules, before.rules)) changes.push({ kind: 'rules', key: id, value: rules, expect: expect('rules') })
    if (whitelist !== undefined && !isDeepStrictEqual(whitelist, before.whitelist)) {
      changes.push({ kind: 'whitelist', key: id, value: whitelist, expect: expect('whitelist') })
    }
    const recorded = this.#recordedOnline(id)
    const joins = (version: string) => !before.online.includes(version) || (changes.length > 0 && !recorded.includes(version))
    for (const version of after.online.filter(joins)) {
      changes.push({ kind: 'online', key: versionKey(id, version), value: { since: this.#at() }, expect: 'absent' })
    }
    for (const version of before.online.filter(online => !after.online.includes(online))) {
      changes.push({ kind: 'online', key: versionKey(id, version), value: null })
    }
    return changes
  }

  /** Ids, oldest first. The baseline is online whatever the records say: folders of before there were any have none for it until something changes. */
  #online(scene: string, baseline: string | null): string[] {
    return [...new Set([...this.#recordedOnline(scene), ...(baseline === null ? [] : [baseline])])].sort(byOrdinal)
  }

  #recordedOnline(scene: string): string[] {
    const prefix = versionKey(scene, '')
    return this.#store.list('online', prefix).map(({ key }) => key.slice(prefix.length))
  }

  // Tokens

  tokens(): Token[] {
    return this.#store.list('token').map(tokenOf)
  }

  /** @returns the token with its secret, which is kept nowhere: only its hash is. */
  createToken(rights: Right[], label: string, actor: Actor): Token & { readonly token: string } {
    return this.keepToken(newSecret(), rights, label, actor)
  }

  keepToken(secret: string, rights: Right[], label: string, actor: Actor): Token & { readonly token: string } {
    const id = `t-${randomBytes(6).toString('hex')}`
    const value = { hash: sha256(secret).toString('hex'), rights, label, createdAt: this.#at(), createdBy: actor.who }
    this.#commit([{ kind: 'token', key: id, value, expect: 'absent' }], actor, 'create token', id, null, { rights, label })
    return { ...tokenOf({ key: id, value }), token: secret }
  }

  /** @throws TOKEN_NOT_FOUND */
  revokeToken(id: string, actor: Actor): void {
    const found = this.#store.get('token', id)
    if (found === undefined) throw new BerthError('TOKEN_NOT_FOUND', `Cannot revoke token "${id}": there is none with this id`)
    const { rights, label } = found.value
    this.#commit([{ kind: 'token', key: id, value: null, expect: found.revision }], actor, 'revoke token', id, { rights, label }, null)
  }

  /** The token with this secret. Takes the same time for a secret that is nearly right as for any other. */
  findToken(secret: string): Token | undefined {
    const hash = sha256(secret)
    const matches = this.#store.list('token').filter(({ value }) => timingSafeEqual(hash, Buffer.from(value.hash, 'hex')))
    return matches[0] && tokenOf(matches[0])
  }

  // The audit log and the table

  /** @param target of one scene, or of whatever else rows are about; undefined: of all */
  audit(limit: number, before?: number, target?: string): AuditRow[] {
    return this.#store.audit(limit, before, target)
  }

  /** Every audit row of a scene, newest first, read as they are asked for. */
  *history(scene: string): Generator<AuditRow> {
    const page = 100
    for (let rows = this.audit(page, undefined, scene); rows.length > 0; rows = this.audit(page, rows.at(-1)?.revision, scene)) yield* rows
  }

  /** Records what was asked for and changes no entry. */
  note(actor: Actor, action: string, target: string): void {
    this.#commit([], actor, action, target, null, null)
  }

  /** What cells know of a scene. @throws SCENE_NOT_FOUND */
  entry(id: string): SceneEntry {
    return this.#tables.entry(this.scene(id).definition.id)
  }

  /** Everything that cells need, as of now. */
  buildTable(): SceneTable {
    return this.#tables.build()
  }

  #at(): string {
    return this.#now().toISOString()
  }

  #commit(changes: readonly Change<Records>[], actor: Actor, action: string, target: string, before: unknown, after: unknown): void {
    const revision = this.#store.commit(changes, { ...actor, action, target, before, after })
    this.#onCommit({ ...actor, action, target, revision })
  }
}

/** 256 random bits. The prefix lets scanners of leaked secrets know it. */
export function newSecret(): string {
  return `${TOKEN_PREFIX}${randomBytes(32).toString('base64url')}`
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Made once and for all: whoever changes it reshuffles every experiment of the scene. */
const segmentSalt = (scene: string): string => sha256(`segments of ${scene}`).toString('hex').slice(0, 16)

function tokenOf({ key, value }: { key: string; value: TokenRecord }): Token {
  const { hash: _, ...rest } = value
  return { id: key, ...rest }
}
