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

export type BlobKind = 'bundles' | 'sourceMaps' | 'whitelists' | 'featureTables'

/**
 * Every blob to which a store refers, by its digest, with what it is. No module can be deleted that a version has in its lock, so modules name all of
 * theirs.
 */
export function kindsOfBlobs(store: BaseStore): Map<string, BlobKind> {
  const modules = store.list('module').map(({ value }) => value)
  return new Map<string, BlobKind>([
    ...store.list('features').flatMap(({ value }) => value.versions.map(({ digest }) => [digest, 'featureTables'] as const)),
    ...store.list('whitelist').map(({ value }) => [value.digest, 'whitelists'] as const),
    ...modules.flatMap(({ sourceMap }) => (sourceMap === undefined ? [] : [[sourceMap, 'sourceMaps'] as const])),
    ...modules.map(({ bundle }) => [bundle, 'bundles'] as const),
  ])
}

/** The digests of every blob to which a store refers. */
export const referencedBlobs = (store: BaseStore): Set<string> => new Set(kindsOfBlobs(store).keys())

// Upgrading from format 1. Its audit log describes changes only in words, and this is the only code that still reads them.

/**
 * How many changes of parameters, and how many flips, are taken over so that they can be undone, and characters of JSON of either: all of them
 * are in one row. That is more than anybody undoes.
 */
const IMPORTED_MAX = 1000
const IMPORTED_CHARS_MAX = 1_000_000

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
  return {
    scene,
    versions: versions.sort((a, b) => byOrdinal(a.id, b.id)),
    params: newestOf(paramsInWords(rowsOf(store, id))),
    flips: newestOf(flipsInWords(rowsOf(store, id))),
  }
}

function missing(scene: string): never {
  throw new Error(`scene "${scene}" is listed and not there`)
}

function onlineOf(store: BaseStore, scene: string): string[] {
  const prefix = versionKey(scene, '')
  return store.list('online', prefix).map(({ key }) => key.slice(prefix.length))
}

/** As many as are taken over. */
function newestOf<T>(changes: Iterable<T>): T[] {
  const newest: T[] = []
  let chars = 0
  for (const change of changes) {
    chars += JSON.stringify(change).length
    if (newest.length === IMPORTED_MAX || chars > IMPORTED_CHARS_MAX) break
    newest.push(change)
  }
  return newest
}

/** The audit rows of a scene, newest first, of which few are in memory at once. */
function* rowsOf(store: BaseStore, scene: string): Generator<AuditRow> {
  const page = 100
  let before: number | undefined
  for (;;) {
    const rows = store.audit(page, before, scene)
    yield* rows
    before = rows.at(-1)?.revision
    if (rows.length < page) return
  }
}

function* paramsInWords(rows: Iterable<AuditRow>): Generator<ParamsChange> {
  for (const { revision, at, who, reason, action, before, after } of rows) {
    if (action !== 'define scene' && action !== 'set params' && action !== 'roll back params') continue
    const [was, is] = [before, after] as ({ readonly version?: string | null; readonly params?: Params; readonly to?: number } | null)[]
    const change = { before: was?.params ?? {}, after: is?.params ?? {} }
    if (isDeepStrictEqual(change.before, change.after)) continue
    const head = { revision, at, who, ...(reason === undefined ? {} : { reason }) }
    const isDefinition = action === 'define scene'
    const version = isDefinition ? null : (is?.version ?? null)
    const more = { ...(isDefinition && was === null && { initial: true as const }), ...(is?.to === undefined ? {} : { to: is.to }) }
    yield { ...head, version, ...change, ...more }
  }
}

/** The flips that have not been undone. A flip comes after whatever undid it. */
function* flipsInWords(rows: Iterable<AuditRow>): Generator<PastFlip> {
  const undone = new Set<number | undefined>()
  for (const { revision, action, before, after } of rows) {
    if (action === 'revert experiment') undone.add((after as { readonly reverts?: number } | null)?.reverts)
    if (action !== 'flip experiment' || undone.has(revision)) continue
    yield { revision, before: before as Experiment, after: after as Experiment }
  }
}
