/**
 * What a base knows: modules, scenes, versions, tokens. Every operation checks everything, then makes one commit; none waits for anything, so
 * no two of them interleave.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import semver from 'semver'
import { compileCheck } from '../kernel/check.ts'
import { BerthError } from '../kernel/errors.ts'
import {
  type BaseStore,
  type ModuleRecord,
  moduleKey,
  type Records,
  type SceneRecord,
  type TokenRecord,
  versionKey,
} from '../store/records.ts'
import type { AuditRow, Change, Entry, Expected } from '../store/store.ts'
import { type Lock, type ModuleManifest, type Right, SceneDefinition, type VersionRecord } from '../traffic/schema.ts'
import { type SceneTable, TABLE_FORMAT, type VersionEntry } from '../traffic/table.ts'
import { checkGroup, type LockRequest, resolveLock } from './lock.ts'

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
  readonly revision: number
}

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

  /** @param onCommit is told of every write after it is kept */
  constructor(store: BaseStore, now: () => Date = () => new Date(), onCommit: (done: Commit) => void = () => undefined) {
    this.#store = store
    this.#now = now
    this.#onCommit = onCommit
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
    return this.#store.list('scene').map(sceneState)
  }

  /** @throws SCENE_NOT_FOUND */
  scene(id: string): SceneState {
    const found = this.#store.get('scene', id)
    if (found === undefined) throw new BerthError('SCENE_NOT_FOUND', `Cannot find scene "${id}": it is not defined`)
    return sceneState(found)
  }

  /** @throws REVISION_CONFLICT when the scene is not at the expected revision. */
  expectScene(id: string, expected: Expected): void {
    this.#store.expect('scene', id, expected)
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
    if (!isDeepStrictEqual(JSON.parse(JSON.stringify(definition)), definition))
      throw refuse('its params hold what JSON cannot, such as 1e999')
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
    if (same && (expect === undefined || expect === before.revision)) return { scene: sceneState(before), changed: false }
    const value = { definition, baseline: before?.value.baseline ?? null }
    this.#commit([{ kind: 'scene', key: id, value, expect }], actor, 'define scene', id, before?.value.definition ?? null, definition)
    return { scene: this.scene(id), changed: true }
  }

  // Versions

  /** Oldest first. */
  versions(scene: string): VersionRecord[] {
    const records = this.#store.list('version', versionKey(scene, '')).map(({ value }) => value)
    return records.sort((a, b) => ordinal(a.id) - ordinal(b.id))
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
      id: `v${ordinal(this.versions(sceneId).at(-1)?.id ?? 'v0') + 1}`,
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

  /** Keeps a drafted version without routing anything to it. */
  addVersion(version: VersionRecord, actor: Actor): void {
    const key = versionKey(version.scene, version.id)
    this.#commit([{ kind: 'version', key, value: version, expect: 'absent' }], actor, 'create version', version.scene, null, version)
  }

  /**
   * Makes a version the baseline; one that was only drafted is kept in the same commit.
   * @throws REVISION_CONFLICT when the scene is not at revision `expect`.
   */
  setBaseline(version: VersionRecord, draft: boolean, expect: number, actor: Actor): void {
    const { scene: id } = version
    const { definition, baseline } = this.scene(id)
    const changes: Change<Records>[] = [{ kind: 'scene', key: id, value: { definition, baseline: version.id }, expect }]
    if (draft) changes.push({ kind: 'version', key: versionKey(id, version.id), value: version, expect: 'absent' })
    this.#commit(changes, actor, 'set baseline', id, { baseline }, { baseline: version.id, ...(draft ? { created: version } : {}) })
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

  audit(limit: number, before?: number): AuditRow[] {
    return this.#store.audit(limit, before)
  }

  /** Records what was asked for and changes no entry. */
  note(actor: Actor, action: string, target: string): void {
    this.#commit([], actor, action, target, null, null)
  }

  /** Everything that cells need, as of now. */
  buildTable(): SceneTable {
    const versions = Map.groupBy(
      this.#store.list('version').map(({ value }) => value),
      ({ scene }) => scene,
    )
    return {
      format: TABLE_FORMAT,
      revision: this.#store.revision,
      scenes: this.#store.list('scene').map(({ key, value }) => ({ ...value, versions: (versions.get(key) ?? []).map(versionEntry) })),
      tokens: this.#store.list('token').map(({ key, value: { hash, rights } }) => ({ id: key, hash, rights })),
    }
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

const ordinal = (version: string): number => Number(version.slice(1))

const sceneState = ({ value, revision }: Entry<SceneRecord>): SceneState => ({ ...value, revision })

const versionEntry = ({ id, lock }: VersionRecord): VersionEntry => ({ id, lock })

function tokenOf({ key, value }: { key: string; value: TokenRecord }): Token {
  const { hash: _, ...rest } = value
  return { id: key, ...rest }
}
