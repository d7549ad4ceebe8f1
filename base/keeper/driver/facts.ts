/**
 * Finds out, or makes, what a change of a scene needs besides the scene: salts, locks, blobs of whitelists, and the state to go back to.
 */
import { randomBytes } from 'node:crypto'
import type { SceneFacts, ScenePayloads, WhitelistFacts, WishKind } from '../../change/change.ts'
import { summaryOf } from '../../change/deletion.ts'
import { droppedBefore, flipToUndo, paramsHistory, paramsToGoBackTo } from '../../change/history.ts'
import { checkServices } from '../../change/lock.ts'
import { type KeptScene, segmentSalt, usesOf } from '../../change/scene-state.ts'
import type { Retiring } from '../../change/versions.ts'
import { countChanges, editWhitelist, replaceVersion, whitelistEntry } from '../../change/whitelist-edit.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { Blobs } from '../../store/blobs.ts'
import { findExperiment } from '../../traffic/flip.ts'
import { allExperiments, type Whitelist } from '../../traffic/rules.ts'
import type { Book } from '../book/book.ts'
import { readWhitelist } from '../book/whitelist-blob.ts'
import type { Cells } from '../cells/cells.ts'

export interface FactSources {
  readonly book: Book
  readonly blobs: Blobs
  readonly cells: Cells
  /** Names of the base services that cells offer. */
  readonly services: readonly string[]
}

/** What a change is asked for with, besides its payload. */
interface Asking {
  readonly scene: string
  readonly who: string
  /** Whether it is only tried. */
  readonly dryRun: boolean
}

type Find<K extends WishKind> = (
  sources: FactSources,
  before: KeptScene | undefined,
  payload: ScenePayloads[K],
  asking: Asking,
) => SceneFacts[K] | Promise<SceneFacts[K]>

/** A salt for an experiment, a layer or a cutover. No two salts are the same, so their buckets are independent of each other. */
const salted = () => ({ salt: randomBytes(8).toString('hex') })
const nothing = () => ({})

const finders: { readonly [K in WishKind]: Find<K> } = {
  'define scene': (_, __, { definition }) => ({ salt: segmentSalt(definition.id) }),
  'create version': versionFacts,
  'promote version': salted,
  'roll back': nothing,
  'take version offline': nothing,
  'take versions offline': ({ book }, _, { versions }, { scene }) => {
    for (const version of versions) book.scenes.version(scene, version)
    return {}
  },
  'bring version online': ({ cells }, before, { version }) => retiring(cells, before, version),
  'quarantine version': ({ book }) => ({ since: book.now().toISOString() }),
  'lift quarantine': nothing,
  'set load-test version': nothing,
  'edit whitelist': ({ blobs }, before, { add = {}, remove = [] }) =>
    whitelistFacts(blobs, before, was => editWhitelist(was, unitsByVersion(add), unitsOf(remove))),
  'replace whitelist': ({ blobs }, before, { version, units }) => {
    const given = unitsByVersion(units)
    const next = (was: Whitelist) => (version === undefined ? editWhitelist({}, given) : replaceVersion(was, version, given[version] ?? []))
    return whitelistFacts(blobs, before, next)
  },
  'create experiment': ({ book }, _, { id }, { scene }) => {
    const deleted = book.scenes.deleted('experiment', `${scene}/${id}`)
    if (deleted === undefined || deleted.isFree) return salted()
    const why = `the scene had one of that id until ${deleted.at}, and results are kept by it`
    throw new BerthError('EXPERIMENT_EXISTS', `Cannot make experiment "${id}": ${why}`)
  },
  'start experiment': nothing,
  'stop experiment': nothing,
  'flip experiment': ({ book }, before, { experiment, flip: { drop = [] } }, { scene, dryRun }) => {
    const { arms } = findExperiment((before ?? book.scenes.get(scene)).rules, experiment)
    const missing = drop.filter(name => !arms.some(arm => arm.name === name))
    const dropped = droppedBefore(experiment, missing, book.history(scene))
    return { ...salted(), ...(dryRun ? { preview: true } : {}), ...(dropped.length === 0 ? {} : { dropped }) }
  },
  'revert experiment': ({ book }, before, { experiment, flip }, { scene }) => {
    findExperiment((before ?? book.scenes.get(scene)).rules, experiment)
    return { ...salted(), ...flipToUndo(experiment, book.history(scene), flip) }
  },
  'create layer': salted,
  'retire layer': nothing,
  'set params': nothing,
  'roll back params': ({ book }, _, { version, ...asked }, { scene }) =>
    paramsToGoBackTo(scene, version, asked, paramsHistory(book.history(scene))),
  'delete versions': ({ book }, _, { versions }, { scene }) => {
    const lastVersion = book.scenes.lastVersion(scene)
    const there = [...new Set(versions)]
      .filter(id => book.scenes.hasVersion(scene, id) || Number(id.slice(1)) > lastVersion)
      .map(id => summaryOf(book.scenes.version(scene, id)))
    return { versions: there, lastVersion }
  },
  'delete experiment': ({ book }, before, { experiment }, { scene }) => {
    const isThere = before !== undefined && allExperiments(before.rules).some(({ experiment: { id } }) => id === experiment)
    return { isGone: !isThere && book.scenes.deleted('experiment', `${scene}/${experiment}`) !== undefined }
  },
  'delete layer': ({ book }, before, { layer }, { scene }) => {
    const isThere = before?.rules.layers.some(({ id }) => id === layer) === true
    return { isGone: !isThere && book.scenes.deleted('layer', `${scene}/${layer}`) !== undefined }
  },
  'delete scene': async ({ book, cells }, _, { evenIfCalled = false }, { scene }) => {
    const calledMsAgo = evenIfCalled ? undefined : Math.min(...(await cells.lastCalls(scene)).values())
    const isCalled = calledMsAgo !== undefined && calledMsAgo < limits.scene.calledMsMax
    const listing = book.scenes.list().filter(({ definition: { id, callers } }) => id !== scene && callers?.includes(scene))
    return {
      versions: book.scenes.versions(scene).map(summaryOf),
      lastVersion: book.scenes.lastVersion(scene),
      listedBy: listing.map(({ definition: { id } }) => id),
      ...(isCalled ? { calledSecondsAgo: Math.round(calledMsAgo / 1000) } : {}),
    }
  },
}

/**
 * @param before undefined for a scene that is not defined yet
 * @throws VERSION_NOT_FOUND, EXPERIMENT_NOT_FOUND, NOTHING_TO_ROLL_BACK, WHITELIST_INVALID, SERVICE_NOT_OFFERED for what cannot be found; as `resolveLock`
 */
export async function findFacts<K extends WishKind>(
  sources: FactSources,
  before: KeptScene | undefined,
  kind: K,
  payload: ScenePayloads[K],
  asking: Asking,
): Promise<SceneFacts[K]> {
  const find: Find<K> = finders[kind]
  return find(sources, before, payload, asking)
}

async function versionFacts(
  { book, blobs, services, cells }: FactSources,
  before: KeptScene | undefined,
  payload: ScenePayloads['create version'],
  { scene, who }: Asking,
): Promise<SceneFacts['create version']> {
  const made = { createdAt: book.now().toISOString(), createdBy: who }
  const { draft, warnings } = book.draft(before ?? book.scenes.get(scene), payload, made)
  checkServices(scene, draft.lock, services)
  const kept = payload.reuse ? book.scenes.withLock(scene, draft.lock) : undefined
  const version = kept ?? draft
  const room = await retiring(cells, before, version.id)
  const origins = kept === undefined ? book.modules.origins(version.lock) : undefined
  const facts = {
    version,
    isNew: kept === undefined,
    ...salted(),
    ...room,
    ...(origins && { origins }),
    ...(warnings.length > 0 && { warnings }),
  }
  const listed = unitsOf(payload.whitelist)
  if (listed.length === 0) return facts
  const { whitelist } = await whitelistFacts(blobs, before, was => editWhitelist(was, { [version.id]: listed }))
  return { ...facts, whitelist }
}

/**
 * The versions that go offline so that there is room for one more: the oldest that no rule uses and nobody has called of late, as many as are
 * needed. None when there are not enough.
 */
async function retiring(cells: Cells, before: KeptScene | undefined, version: string): Promise<Retiring> {
  const online = before?.online ?? []
  const missing = online.length + 1 - limits.scene.onlineVersionsMax
  if (before === undefined || missing <= 0 || online.includes(version)) return {}
  const lastCalls = await cells.lastCalls(before.definition.id)
  const isCalled = (id: string) => (lastCalls.get(id) ?? Number.POSITIVE_INFINITY) < limits.scene.calledMsMax
  const idle = online.filter(id => usesOf(before, id).length === 0 && !isCalled(id))
  return idle.length < missing ? {} : { retired: idle.slice(0, missing) }
}

/** The blob is written at once, where nothing refers to it yet. @throws WHITELIST_INVALID */
async function whitelistFacts(blobs: Blobs, before: KeptScene | undefined, next: (was: Whitelist) => Whitelist): Promise<WhitelistFacts> {
  const was = await readWhitelist(blobs, before?.whitelist)
  const is = next(was)
  return { whitelist: whitelistEntry(await blobs.put(Buffer.from(JSON.stringify(is))), is), counts: countChanges(was, is) }
}

function unitsByVersion(units: Readonly<Record<string, readonly string[] | number>>): Whitelist {
  return Object.fromEntries(Object.entries(units).map(([version, ids]) => [version, unitsOf(ids)]))
}

/** Only a change in the audit log has a number in the place of unit ids; a change that is asked for has the ids. */
function unitsOf(units: readonly string[] | number = []): string[] {
  if (typeof units === 'number') throw new Error(`Cannot send ${units} units to a version: which they are is not known`)
  return [...units]
}
