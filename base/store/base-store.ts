/** The store of a base: which kinds of entries it has, which blobs they refer to, and how a data folder of format 1 becomes one of today. */
import { isDeepStrictEqual } from 'node:util'
import { type Records, versionKey } from '../change/records.ts'
import { byOrdinal, segmentSalt } from '../change/scene-state.ts'
import type { ParamsChange, PastFlip, ScenePayloads } from '../contract/change-api.ts'
import { type Experiment, noRules } from '../traffic/rules.ts'
import type { Params } from '../traffic/schema.ts'
import { openStore } from './sqlite.ts'
import type { AuditRow, Store } from './store.ts'

export type BaseStore = Store<Records>

/**
 * Opens the store of a base. In a data folder of format 1, each scene first gets one change that holds its whole state. Applied to nothing, this
 * change and all later ones therefore make the scene.
 * @throws DATA_UNWRITABLE, DATA_FORMAT_NEWER, DATA_DAMAGED, STORE_FULL; nothing is changed then
 */
export function openBaseStore(data: string, now?: () => Date): BaseStore {
  return openStore<Records>(data, { ...(now === undefined ? {} : { now }), upgrade: importScenes })
}

/** The digests of every blob to which a store refers. Versions lock only published modules, which are never deleted, so modules name all of theirs. */
export function referencedBlobs(store: BaseStore): Set<string> {
  const modules = store.list('module').flatMap(({ value }) => [value.bundle, value.sourceMap ?? value.bundle])
  const whitelists = store.list('whitelist').map(({ value }) => value.digest)
  return new Set([...modules, ...whitelists])
}

// Upgrading from format 1. Its audit log describes changes only in words, and this is the only code that still reads them.

/** How many changes of parameters, and how many flips, are taken over so that they can be undone: more than anybody undoes. */
const IMPORTED_MAX = 1000

function importScenes(store: BaseStore): void {
  for (const { key } of store.list('scene')) importScene(store, key)
}

function importScene(store: BaseStore, id: string): void {
  const payload = sceneToImport(store, id)
  const recorded = onlineOf(store, id)
  const since = new Date().toISOString()
  const missing = payload.scene.online.filter(version => !recorded.includes(version))
  const writes = missing.map(version => ({ kind: 'online' as const, key: versionKey(id, version), value: { since } }))
  const change = { kind: 'import scene', payload, facts: {}, target: id, action: 'import scene' }
  store.commit(writes, { ...change, who: 'base', reason: 'the data folder was of format 1', before: null, after: null })
}

function sceneToImport(store: BaseStore, id: string): ScenePayloads['import scene'] {
  const { definition, baseline } = store.get('scene', id)?.value ?? missing(id)
  const online = new Set([...onlineOf(store, id), ...(baseline === null ? [] : [baseline])])
  const whitelist = store.get('whitelist', id)?.value
  const scene = {
    definition,
    baseline,
    rules: store.get('rules', id)?.value ?? noRules(segmentSalt(id)),
    ...(whitelist === undefined ? {} : { whitelist }),
    online: [...online].sort(byOrdinal),
  }
  const versions = store.list('version', versionKey(id, '')).map(({ value }) => value)
  const rows = [...rowsOf(store, id)]
  return {
    scene,
    versions: versions.sort((a, b) => byOrdinal(a.id, b.id)),
    params: rows.flatMap(paramsInWords).slice(0, IMPORTED_MAX),
    flips: flipsInWords(rows).slice(0, IMPORTED_MAX),
  }
}

function missing(scene: string): never {
  throw new Error(`scene "${scene}" is listed and not there`)
}

function onlineOf(store: BaseStore, scene: string): string[] {
  const prefix = versionKey(scene, '')
  return store.list('online', prefix).map(({ key }) => key.slice(prefix.length))
}

/** The audit rows of a scene, newest first. */
function* rowsOf(store: BaseStore, scene: string): Generator<AuditRow> {
  const page = 1000
  let before: number | undefined
  for (;;) {
    const rows = store.audit(page, before, scene)
    yield* rows
    before = rows.at(-1)?.revision
    if (rows.length < page) return
  }
}

function paramsInWords({ revision, at, who, reason, action, before, after }: AuditRow): ParamsChange[] {
  const head = { revision, at, who, ...(reason === undefined ? {} : { reason }) }
  const [was, is] = [before, after] as ({ readonly version?: string | null; readonly params?: Params; readonly to?: number } | null)[]
  const change = { before: was?.params ?? {}, after: is?.params ?? {} }
  if (isDeepStrictEqual(change.before, change.after)) return []
  if (action === 'define scene') return [{ ...head, version: null, ...change, ...(was === null && { initial: true as const }) }]
  if (action !== 'set params' && action !== 'roll back params') return []
  return [{ ...head, version: is?.version ?? null, ...change, ...(is?.to === undefined ? {} : { to: is.to }) }]
}

/** The flips that have not been undone. */
function flipsInWords(rows: readonly AuditRow[]): PastFlip[] {
  const reverts = rows.filter(({ action }) => action === 'revert experiment')
  const undone = new Set(reverts.map(({ after }) => (after as { readonly reverts?: number } | null)?.reverts))
  return rows
    .filter(({ action, revision }) => action === 'flip experiment' && !undone.has(revision))
    .map(({ revision, before, after }) => ({ revision, before: before as Experiment, after: after as Experiment }))
}
