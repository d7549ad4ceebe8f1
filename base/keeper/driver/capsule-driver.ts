/** Carries out what is asked about capsules: deletes, imports and exports them, and leaves a row in the audit log of this and of every reading. */
import { hash } from 'node:crypto'
import type { EntryKind, ExportedCapsule } from '../../capsule/capsule.ts'
import type { CapsuleReading, CapsulesToDelete, DeletedCapsules } from '../../contract/capsule-api.ts'
import type { BasePayloads } from '../../contract/change-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { Blobs } from '../../store/blobs.ts'
import { holds } from '../../traffic/scene.ts'
import { capsuleDefaults } from '../../traffic/schema.ts'
import { lockedModules } from '../../traffic/table.ts'
import type { Actor, Book } from '../book/book.ts'
import type { Token } from '../book/token-book.ts'
import type { Capsules } from '../capsules/capsules.ts'
import type { CapsuleSummary } from '../capsules/recording-files.ts'

/**
 * Leaves a row about who reads capsules.
 * @throws STORE_FULL, STORE_FAILED
 */
export function noteReading(book: Book, scene: string, { how, capsule }: CapsuleReading, { who, reason }: Actor): void {
  const payload = { scene, how, ...(capsule !== undefined && { capsule }) }
  const change = { kind: 'read capsules', payload, facts: {}, target: scene, before: null, after: null } as const
  // The key of a request is that of the change which it asks for.
  book.commit([], { who, reason }, { ...change, action: `${how} ${capsule === undefined ? 'capsules' : 'capsule'}` })
}

export interface CapsuleDriverParts {
  readonly book: Book
  readonly blobs: Blobs
  readonly capsules: Capsules
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

export class CapsuleDriver {
  readonly #parts: CapsuleDriverParts
  /** When a list had its last row, by who asked and for which scene. */
  readonly #listed = new Map<string, number>()

  constructor(parts: CapsuleDriverParts) {
    this.#parts = parts
  }

  /**
   * Leaves a row about who reads capsules. It comes before the answer: what cannot be noted is not read. Of lists that one token asks for again and again,
   * one in a minute has a row, or a page that shows them would fill the disk.
   * @param reading must not have the id of a unit, which may have to be deleted
   * @throws STORE_FULL, STORE_FAILED
   */
  noteReading(scene: string, reading: CapsuleReading, actor: Actor): void {
    if (reading.how === 'list' && this.#isListedAgain(`${actor.who} ${scene}`)) return
    noteReading(this.#parts.book, scene, reading, actor)
  }

  #isListedAgain(key: string): boolean {
    const now = performance.now()
    for (const [other, at] of this.#listed) if (at < now - MINUTE_MS) this.#listed.delete(other)
    if (this.#listed.has(key)) return true
    this.#listed.set(key, now)
    return false
  }

  /**
   * A capsule with all that another base needs to replay it. A module that is not there any more cannot be exported, so its recording is gone.
   * @throws CAPSULE_NOT_FOUND, BLOB_NOT_FOUND, DATA_DAMAGED
   */
  async export(scene: string, id: string): Promise<ExportedCapsule> {
    const { capsules, blobs } = this.#parts
    capsules.get(scene, id)
    const kept = await capsules.read(id)
    const digests = new Set([...lockedModules(kept.head.lock)].flatMap(({ bundle, sourceMap }) => [bundle, sourceMap ?? bundle]))
    const texts = await Promise.all([...digests].map(async digest => [digest, (await blobs.read(digest)).toString('utf8')] as const))
    return { format: kept.capsule.format, ...kept, blobs: Object.fromEntries(texts) }
  }

  /**
   * Keeps an exported capsule beside those of the scene. Its code only ever runs where capsules are replayed, but it runs: whoever brings code that is not
   * here needs the right `publish`.
   * @returns whether it was not here before
   * @throws CAPSULE_INVALID, FORBIDDEN, STORE_FULL, DATA_UNWRITABLE
   */
  async import(scene: string, exported: ExportedCapsule, actor: Actor, token: Token): Promise<boolean> {
    const { book, blobs, capsules } = this.#parts
    const { id, capsules: settings = capsuleDefaults } = book.scenes.get(scene).definition
    demandWhole(id, exported, { now: book.now().getTime(), ageDays: settings.ageDays })
    const known = capsules.find(exported.capsule.id)
    if (known !== undefined && known.scene !== id) throw invalid(id, exported.capsule.id, 'another scene has a capsule with this id')
    if (known !== undefined) return false
    const missing = await this.#missing(exported)
    if (missing.length > 0 && !holds(token, 'publish')) {
      const why = `it brings code that is not here, which needs the right "publish", and token "${token.id}" lacks it`
      throw new BerthError('FORBIDDEN', `Cannot import capsule "${exported.capsule.id}": ${why}`)
    }
    for (const text of missing) await blobs.put(Buffer.from(text))
    const created = capsules.import(exported)
    const payload = { scene: id, capsule: exported.capsule.id }
    const change = { kind: 'import capsule', payload, facts: {}, target: id, before: null, after: null } as const
    if (created) book.commit([], actor, change)
    return created
  }

  /** The texts of the blobs that are not here. */
  async #missing({ blobs }: ExportedCapsule): Promise<string[]> {
    const texts = await Promise.all(
      Object.entries(blobs).map(async ([digest, text]) => ((await this.#parts.blobs.has(digest)) ? [] : [text])),
    )
    return texts.flat()
  }

  /**
   * Deletes capsules of a scene, with their bytes on the disk. The row in the audit log says how many, and never of which unit.
   * @throws SCENE_NOT_FOUND, CAPSULE_NOT_FOUND, STORE_FAILED, DATA_UNWRITABLE
   */
  async delete(scene: string, wanted: CapsulesToDelete, actor: Actor): Promise<DeletedCapsules> {
    const { book } = this.#parts
    const { id } = book.scenes.get(scene).definition
    const done = book.keyed(actor)?.result as DeletedCapsules | undefined
    if (done !== undefined) return done
    const deleted = { capsules: await this.#delete(id, wanted) }
    const payload = { scene: id, of: whose(wanted), count: deleted.capsules.length }
    const change = { kind: 'delete capsules', payload, facts: {}, target: id, before: null, after: null } as const
    if (deleted.capsules.length > 0) book.commit([], actor, change, () => deleted)
    return deleted
  }

  async #delete(scene: string, wanted: CapsulesToDelete): Promise<string[]> {
    const { capsules } = this.#parts
    if ('unit' in wanted) return capsules.deleteUnit(scene, wanted.unit)
    if ('capsules' in wanted) for (const id of wanted.capsules) capsules.get(scene, id)
    const isMeant = ({ id, version }: CapsuleSummary): boolean =>
      'capsules' in wanted ? wanted.capsules.includes(id) : !('version' in wanted) || version === wanted.version
    return capsules.delete(scene, isMeant)
  }
}

/** What was asked for, without the id of a unit, which may have to be deleted. */
function whose(wanted: CapsulesToDelete): BasePayloads['delete capsules']['of'] {
  if ('unit' in wanted) return 'a unit'
  if ('version' in wanted) return wanted.version
  return 'capsules' in wanted ? 'some' : 'all'
}

const invalid = (scene: string, id: string, why: string): BerthError =>
  new BerthError('CAPSULE_INVALID', `Cannot import capsule "${id}" into scene "${scene}": ${why}`)

/** The time of import, and the days after which the scene lets go of capsules. */
interface Age {
  /** Milliseconds since 1970. */
  readonly now: number
  readonly ageDays: number
}

/** Checks what no schema can. @throws CAPSULE_INVALID, which names what is wrong */
function demandWhole(scene: string, { head, entries, capsule, blobs }: ExportedCapsule, age: Age): void {
  const refuse = (why: string): never => {
    throw invalid(scene, capsule.id, why)
  }
  const date = dateFault(head.startedAt, age) ?? dateFault(capsule.at, age)
  if (date !== undefined) refuse(date)
  if (capsule.scene !== scene) refuse(`it is of scene "${capsule.scene}"`)
  if (head.scene !== scene || head.version !== capsule.version || head.id !== capsule.recording) refuse('its head is of another recording')
  const [first, last] = capsule.entries
  if (entries[0]?.kind !== 'load') refuse('its entries do not begin with the load of the slot')
  if (first < 1 || first > last || last !== entries.length - 1) refuse(`it ends with entry ${last}, and has ${entries.length}`)
  const bent = entries.findIndex(({ kind, values }) => !isMadeOf[kind](values))
  if (bent >= 0) refuse(`/entries/${bent}/values are not those of the kind "${entries[bent]?.kind}"`)
  if (entries[first]?.kind !== 'turn') refuse(`its first entry, ${first}, is no turn`)
  for (const [digest, text] of Object.entries(blobs)) {
    if (hash('sha256', text, 'hex') !== digest) refuse(`/blobs/${digest} has another digest`)
  }
  for (const { name, version, bundle, sourceMap } of lockedModules(head.lock)) {
    for (const digest of [bundle, sourceMap ?? bundle]) {
      if (!Object.hasOwn(blobs, digest)) refuse(`/blobs lacks ${digest} of module ${name}@${version}`)
    }
  }
}

const isNumber = (value: unknown): boolean => typeof value === 'number'
const isNumbered = ([no]: readonly unknown[]): boolean => isNumber(no)

/** Whether values are those of an entry of the kind, as far as those who read them rely on it. */
const isMadeOf: Readonly<Record<EntryKind, (values: readonly unknown[]) => boolean>> = {
  load: () => true,
  turn: ([firstNo, requests]) => isNumber(firstNo) && Array.isArray(requests),
  settleCalls: ([settled]) => Array.isArray(settled),
  settleFetch: ([no, head, body]) => isNumber(no) && typeof head === 'string' && (body == null || typeof body === 'string'),
  fireTimer: isNumbered,
  abandon: isNumbered,
  reportOf: isNumbered,
}

/** What is wrong with a date: what has none would be the newest for ever. */
function dateFault(date: string, { now, ageDays }: Age): string | undefined {
  const at = Date.parse(date)
  if (Number.isNaN(at) || new Date(at).toISOString() !== date) return `"${date}" is no date as in 2026-01-31T12:00:00.000Z`
  // Clocks of machines differ, though not by a day.
  if (at > now + DAY_MS) return `${date} is in the future`
  return at < now - ageDays * DAY_MS ? `it is of ${date}, and the scene keeps capsules for ${ageDays} days` : undefined
}
