/** The scenes of a base and their versions, as the store has them. */
import { isDeepStrictEqual } from 'node:util'
import type { ScenePayloads } from '../../change/change.ts'
import { type LockRequest, type Published, parseReference, resolveLock } from '../../change/lock.ts'
import { type DeletedRecord, deletedKey, moduleKey, type Records, versionKey } from '../../change/records.ts'
import { byOrdinal, type Deletes, type KeptScene, type Next, type SceneRecordKind, segmentSalt } from '../../change/scene-state.ts'
import { cutoverOf } from '../../change/versions.ts'
import type { QuarantinedVersion } from '../../contract/status-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import { nearest } from '../../kernel/nearest.ts'
import type { BaseStore } from '../../store/base-store.ts'
import type { Write } from '../../store/store.ts'
import { noRules } from '../../traffic/rules.ts'
import type { Lock, VersionRecord } from '../../traffic/schema.ts'
import { lockedModules } from '../../traffic/table.ts'

/** A scene as it is shown. */
export const sceneView = ({ definition, baseline, rules, revisions }: KeptScene) => ({
  definition,
  baseline,
  cutover: cutoverOf({ rules }),
  loadtest: rules.loadtest ?? null,
  ...(rules.quarantined === undefined ? {} : { quarantined: Object.keys(rules.quarantined).sort(byOrdinal) }),
  revision: revisions.scene,
})

/**
 * The revision of the parameters of a scene. They are in two records: the scene's own in its definition, those of its versions in the
 * rules.
 */
export const paramsRevision = ({ revisions }: KeptScene): number => Math.max(revisions.scene, revisions.rules)

export class SceneBook {
  readonly #store: BaseStore

  constructor(store: BaseStore) {
    this.#store = store
  }

  ids(): string[] {
    return this.#store.list('scene').map(({ key }) => key)
  }

  list(): KeptScene[] {
    return this.ids().map(id => this.get(id))
  }

  /** Every version that is online and in quarantine. */
  quarantined(): QuarantinedVersion[] {
    return this.#store.list('rules').flatMap(({ key: scene, value: { quarantined = {} } }) =>
      Object.entries(quarantined)
        .filter(([version]) => this.#store.get('online', versionKey(scene, version)) !== undefined)
        .map(([version, { since, why }]) => ({ scene, version, since, why })),
    )
  }

  /** Undefined when the scene is not defined. */
  find(id: string): KeptScene | undefined {
    const scene = this.#store.get('scene', id)
    if (scene === undefined) return undefined
    const rules = this.#store.get('rules', id)
    const whitelist = this.#store.get('whitelist', id)
    return {
      ...scene.value,
      rules: rules?.value ?? noRules(segmentSalt(id)),
      whitelist: whitelist?.value,
      online: this.#online(id),
      revisions: { scene: scene.revision, rules: rules?.revision ?? 0, whitelist: whitelist?.revision ?? 0 },
    }
  }

  /** @throws SCENE_NOT_FOUND */
  get(id: string): KeptScene {
    const found = this.find(id)
    if (found !== undefined) return found
    const meant = nearest(id, this.ids())
    const hint = meant === undefined ? '' : `; did you mean "${meant}"?`
    const why = this.deleted('versions', id) === undefined ? 'it is not defined' : 'it was deleted'
    throw new BerthError('SCENE_NOT_FOUND', `Cannot find scene "${id}": ${why}${hint}`)
  }

  /** Versions of a scene, oldest first. */
  versions(scene: string): VersionRecord[] {
    const records = this.#store.list('version', versionKey(scene, '')).map(({ value }) => value)
    return records.sort((a, b) => byOrdinal(a.id, b.id))
  }

  /** @throws VERSION_NOT_FOUND, SCENE_NOT_FOUND */
  version(scene: string, id: string): VersionRecord {
    const found = this.#store.get('version', versionKey(scene, id))
    if (found !== undefined) return found.value
    const known = this.versions(this.get(scene).definition.id).map(version => version.id)
    const there = known.length === 0 ? 'the scene has none yet' : `it has ${known.slice(-10).join(', ')}`
    const hint = this.wasVersion(scene, id) ? `it was deleted; ${there}` : there
    throw new BerthError('VERSION_NOT_FOUND', `Cannot find version "${id}" of scene "${scene}": ${hint}`)
  }

  /**
   * The version that a request would make; it is not kept yet.
   * @param isProven which modules a scene without a baseline prefers
   * @throws VERSION_NOT_FOUND, and as `resolveLock`
   */
  draft(
    { definition, baseline }: KeptScene,
    { modules = [], from = baseline ?? undefined, resolve = false, label }: ScenePayloads['create version'],
    published: Published,
    isProven: NonNullable<LockRequest['isProven']>,
    made: Pick<VersionRecord, 'createdAt' | 'createdBy'>,
  ): VersionRecord {
    const scene = definition.id
    const named = new Map(modules.map(parseReference).map(({ name, range }) => [name, range]))
    const start = from === undefined ? undefined : this.version(scene, from).lock
    return {
      id: `v${this.lastVersion(scene) + 1}`,
      scene,
      lock: resolveLock(definition, published, { named, resolve, from: start, ...(baseline === null && { isProven }) }),
      ...(from === undefined ? {} : { from }),
      ...(label === undefined ? {} : { label }),
      ...made,
    }
  }

  /** The modules of the versions that are the baseline of a scene, or were the one before, as `name@version`. */
  baselineModules(): Set<string> {
    const versions = this.list().flatMap(({ definition, baseline, rules: { previousBaseline } }) =>
      [baseline, previousBaseline].flatMap(id => (id == null ? [] : this.version(definition.id, id))),
    )
    return new Set(versions.flatMap(({ lock }) => lockedModules(lock)).map(({ name, version }) => moduleKey(name, version)))
  }

  /** The highest number that a version of the scene, or of an earlier scene of this id, has had; 0 before the first. */
  lastVersion(scene: string): number {
    const newest = Number(this.versions(scene).at(-1)?.id.slice(1) ?? 0)
    return Math.max(newest, this.deleted('versions', scene)?.lastVersion ?? 0)
  }

  /** Whether there was such a version, and it was deleted. */
  wasVersion(scene: string, id: string): boolean {
    return !this.hasVersion(scene, id) && Number(id.slice(1)) <= this.lastVersion(scene)
  }

  hasVersion(scene: string, id: string): boolean {
    return this.#store.get('version', versionKey(scene, id)) !== undefined
  }

  /** Whether there was a scene of this id, and it was deleted. */
  wasDeleted(id: string): boolean {
    return this.find(id) === undefined && this.deleted('versions', id) !== undefined
  }

  /** What is known of something that was deleted from a scene. @param name `scene/id`; the id of the scene for its versions */
  deleted(what: 'versions' | 'experiment' | 'layer', name: string): DeletedRecord | undefined {
    return this.#store.get('deleted', deletedKey(what, name))?.value
  }

  /** The newest version with exactly this lock. */
  withLock(scene: string, lock: Lock): VersionRecord | undefined {
    return this.versions(scene).findLast(version => isDeepStrictEqual(version.lock, lock))
  }

  #online(scene: string): string[] {
    const prefix = versionKey(scene, '')
    return this.#store
      .list('online', prefix)
      .map(({ key }) => key.slice(prefix.length))
      .sort(byOrdinal)
  }
}

/** The writes of a change; each record must still be as it was. Empty when everything was so already. */
export function sceneWrites(before: KeptScene | undefined, { scene, created, deletes }: Next<unknown>, at: string): Write<Records>[] {
  if (deletes?.scene && before !== undefined) return [...sceneDeletion(before), ...deletionWrites(scene.definition.id, deletes, at)]
  const { definition, baseline, rules, whitelist, online } = scene
  const key = definition.id
  const writes: Write<Records>[] = []
  const expect = (kind: SceneRecordKind): number | 'absent' => before?.revisions[kind] || 'absent'
  if (before === undefined || baseline !== before.baseline || !isDeepStrictEqual(definition, before.definition)) {
    writes.push({ kind: 'scene', key, value: { definition, baseline }, expect: expect('scene') })
  }
  if (before !== undefined && !isDeepStrictEqual(rules, before.rules)) {
    writes.push({ kind: 'rules', key, value: rules, expect: expect('rules') })
  }
  if (whitelist !== undefined && !isDeepStrictEqual(whitelist, before?.whitelist)) {
    writes.push({ kind: 'whitelist', key, value: whitelist, expect: expect('whitelist') })
  }
  const was = before?.online ?? []
  for (const version of online.filter(id => !was.includes(id))) {
    writes.push({ kind: 'online', key: versionKey(key, version), value: { since: at }, expect: 'absent' })
  }
  for (const version of was.filter(id => !online.includes(id))) {
    writes.push({ kind: 'online', key: versionKey(key, version), value: null })
  }
  if (created !== undefined) writes.push({ kind: 'version', key: versionKey(key, created.id), value: created, expect: 'absent' })
  return deletes === undefined ? writes : [...writes, ...deletionWrites(key, deletes, at)]
}

/** What a scene is kept in, but for its versions. */
function sceneDeletion({ definition: { id }, online, revisions }: KeptScene): Write<Records>[] {
  const kinds = (['scene', 'rules', 'whitelist'] as const).filter(kind => revisions[kind] > 0)
  return [
    ...kinds.map(kind => ({ kind, key: id, value: null, expect: revisions[kind] })),
    ...online.map(version => ({ kind: 'online' as const, key: versionKey(id, version), value: null })),
  ]
}

/** The versions that go, and what is remembered of them and of all else that goes. */
function deletionWrites(scene: string, { versions = [], lastVersion, names = [], ...rest }: Deletes, at: string): Write<Records>[] {
  const remember = (key: string, value: Omit<DeletedRecord, 'at'>) => ({ kind: 'deleted' as const, key, value: { at, ...value } })
  const numbers =
    lastVersion !== undefined && (versions.length > 0 || rest.scene) ? [remember(deletedKey('versions', scene), { lastVersion })] : []
  return [
    ...versions.map(version => ({ kind: 'version' as const, key: versionKey(scene, version), value: null })),
    ...numbers,
    ...names.map(({ what, id, isFree }) => remember(deletedKey(what, `${scene}/${id}`), { isFree })),
  ]
}
