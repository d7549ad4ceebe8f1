/**
 * Finds out, or makes, what a change of a scene needs besides the scene: salts, locks, blobs of whitelists, and the state to go back to.
 */
import { randomBytes } from 'node:crypto'
import type { SceneFacts, ScenePayloads, WhitelistFacts, WishKind } from '../../change/change.ts'
import { flipToUndo, paramsHistory, paramsToGoBackTo } from '../../change/history.ts'
import { checkServices } from '../../change/lock.ts'
import { type KeptScene, segmentSalt } from '../../change/scene-state.ts'
import { countChanges, editWhitelist, replaceVersion, whitelistEntry } from '../../change/whitelist-edit.ts'
import type { Blobs } from '../../store/blobs.ts'
import { findExperiment } from '../../traffic/flip.ts'
import type { Whitelist } from '../../traffic/rules.ts'
import type { Book } from '../book/book.ts'
import { readWhitelist } from '../book/whitelist-blob.ts'

export interface FactSources {
  readonly book: Book
  readonly blobs: Blobs
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
  'bring version online': nothing,
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
  'create experiment': salted,
  'start experiment': nothing,
  'stop experiment': nothing,
  'flip experiment': (_, __, ___, { dryRun }) => ({ ...salted(), ...(dryRun ? { preview: true } : {}) }),
  'revert experiment': ({ book }, before, { experiment, flip }, { scene }) => {
    findExperiment((before ?? book.scenes.get(scene)).rules, experiment)
    return { ...salted(), ...flipToUndo(experiment, book.history(scene), flip) }
  },
  'create layer': salted,
  'retire layer': nothing,
  'set params': nothing,
  'roll back params': ({ book }, _, { version, ...asked }, { scene }) =>
    paramsToGoBackTo(scene, version, asked, paramsHistory(book.history(scene))),
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
  { book, blobs, services }: FactSources,
  before: KeptScene | undefined,
  payload: ScenePayloads['create version'],
  { scene, who }: Asking,
): Promise<SceneFacts['create version']> {
  const made = { createdAt: book.now().toISOString(), createdBy: who }
  const { draft, warnings } = book.draft(before ?? book.scenes.get(scene), payload, made)
  checkServices(scene, draft.lock, services)
  const kept = payload.reuse ? book.scenes.withLock(scene, draft.lock) : undefined
  const version = kept ?? draft
  const facts = { version, isNew: kept === undefined, ...salted(), ...(warnings.length > 0 && { warnings }) }
  const listed = unitsOf(payload.whitelist)
  if (listed.length === 0) return facts
  const { whitelist } = await whitelistFacts(blobs, before, was => editWhitelist(was, { [version.id]: listed }))
  return { ...facts, whitelist }
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
