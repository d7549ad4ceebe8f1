/**
 * Carries changes out. Each is checked, tried out, kept in one commit, and in force in the cells before it is answered:
 *
 *   change ─▶ facts ─▶ next scene ─▶ cells load what it needs ─▶ commit ─▶ new table ─▶ cells switch ─▶ answer
 *
 * An error on the way changes nothing.
 */
import { isUtf8 } from 'node:buffer'
import { asAudited, type SceneChange, type SceneChangeKind, type SceneChangeOf, type SceneOutcomes } from '../../change/change.ts'
import { checkServices } from '../../change/lock.ts'
import { nextScene } from '../../change/next-scene.ts'
import { type ModuleRecord, moduleKey, type Records } from '../../change/records.ts'
import { type KeptScene, type Next, routedIn } from '../../change/scene-state.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { Blobs } from '../../store/blobs.ts'
import type { Expected, Write } from '../../store/store.ts'
import type { ModuleManifest, Right } from '../../traffic/schema.ts'
import { type SlotPlan, slotPlan } from '../../traffic/table.ts'
import type { Actor, Book, ScenePart } from '../book/book.ts'
import { sceneWrites } from '../book/scene-book.ts'
import { newSecret, type Token } from '../book/token-book.ts'
import type { Applied, Cells } from '../cells/cells.ts'
import type { Trials } from '../cells/trials.ts'
import { type FactSources, findFacts } from './facts.ts'
import type { TablePublisher } from './table-publisher.ts'
import { Turns } from './turns.ts'

/** Milliseconds that each step took. */
export type Timings = Readonly<Record<string, number>>

export interface DriverParts extends FactSources {
  readonly book: Book
  readonly blobs: Blobs
  readonly cells: Cells
  readonly trials: Trials
  readonly tables: TablePublisher
}

export interface Published {
  /** False when the same version with the same bytes was there already. */
  readonly created: boolean
  readonly module: ModuleRecord
  readonly timings: Timings
}

export interface ChangeOptions {
  readonly actor: Actor
  /** The revision that the part of the scene which the change is about must be at. */
  readonly expect?: Expected
  readonly dryRun?: boolean | undefined
}

/** The result of a change. */
export interface Changed<K extends SceneChangeKind> {
  readonly outcome: SceneOutcomes[K]
  /** False when everything was so already, and after a dry run. */
  readonly changed: boolean
  /** The scene afterwards. */
  readonly scene: KeptScene
  readonly cells: Applied
  readonly timings: Timings
}

/** What is kept of a change whose request had a key, so that the request can be answered again. */
interface KeptResult<K extends SceneChangeKind> {
  readonly outcome: SceneOutcomes[K]
  readonly scene: Pick<KeptScene, 'baseline' | 'whitelist' | 'revisions'>
}

/** The part of a scene whose revision a change may expect, for changes where this is not the rules. */
const partOf: { readonly [K in SceneChangeKind]?: ScenePart } = {
  'define scene': 'scene',
  'create version': 'scene',
  'edit whitelist': 'whitelist',
  'replace whitelist': 'whitelist',
  'set params': 'params',
  'roll back params': 'params',
}

export class Driver {
  readonly #parts: DriverParts
  readonly #turns = new Turns()

  constructor(parts: DriverParts) {
    this.#parts = parts
  }

  /**
   * Carries out a change of a scene. With `dryRun` it is only worked out and checked. A rollback does not wait for changes of the scene that
   * are under way: whichever is kept second is refused with REVISION_CONFLICT.
   * @throws REVISION_CONFLICT, SCENE_NOT_FOUND; as `findFacts` and `nextScene`; SERVICE_NOT_OFFERED, NO_CELLS, UPGRADE_FAILED
   */
  apply<K extends SceneChangeKind>(change: SceneChangeOf<K>, options: ChangeOptions): Promise<Changed<K>> {
    const work = () => this.#apply(change, options)
    return change.kind === 'roll back' ? work() : this.#turns.run(`scene ${change.scene}`, work)
  }

  async #apply<K extends SceneChangeKind>(change: SceneChangeOf<K>, { actor, expect, dryRun = false }: ChangeOptions): Promise<Changed<K>> {
    const { book, tables } = this.#parts
    const { kind, scene, payload } = change
    const again = await this.#keptResult(change, actor)
    if (again !== undefined) return again
    const steps = stopwatch()
    const before = kind === 'define scene' ? book.scenes.find(scene) : book.scenes.get(scene)
    book.expect(partOf[kind] ?? 'rules', scene, expect)
    const [facts, next] = await steps('planMs', async () => {
      const found = await findFacts(this.#parts, before, kind, payload, { scene, who: actor.who, dryRun })
      return [found, nextScene(before, change, found)] as const
    })
    const writes = dryRun ? [] : sceneWrites(before, next, book.now().toISOString())
    if (!dryRun) await this.#prepare(kind, before, next, steps)
    if (writes.length > 0) await steps('commitMs', () => this.#commit(before, change, facts, next, writes, actor))
    const cells = writes.length > 0 ? await steps('applyMs', () => tables.refresh()) : tables.applied()
    const after = book.scenes.find(scene) ?? { ...next.scene, revisions: { scene: 0, rules: 0, whitelist: 0 } }
    return { outcome: next.outcome, changed: writes.length > 0, scene: after, cells, timings: steps.timings }
  }

  /** The result of the change when its request was carried out before and the answer was lost. */
  async #keptResult<K extends SceneChangeKind>({ scene }: SceneChangeOf<K>, actor: Actor): Promise<Changed<K> | undefined> {
    const { book, tables } = this.#parts
    const kept = book.keyed(actor)?.result as KeptResult<K> | undefined
    if (kept === undefined) return undefined
    const cells = await tables.refresh()
    return { outcome: kept.outcome, changed: true, scene: { ...book.scenes.get(scene), ...kept.scene }, cells, timings: {} }
  }

  #commit<K extends SceneChangeKind>(
    before: KeptScene | undefined,
    change: SceneChangeOf<K>,
    facts: unknown,
    { scene, action, before: was, after, outcome }: Next<SceneOutcomes[K]>,
    writes: readonly Write<Records>[],
    actor: Actor,
  ): void {
    const { kind, payload } = asAudited(change as SceneChange)
    const result = (revision: number): KeptResult<K> => {
      const written = writes.map(write => [write.kind, revision] as const)
      const { baseline, whitelist } = scene
      const revisions = { scene: 0, rules: 0, whitelist: 0, ...before?.revisions, ...Object.fromEntries(written) }
      return { outcome, scene: { baseline, whitelist, revisions } }
    }
    this.#parts.book.commitScene(before, writes, actor, { kind, payload, facts, target: change.scene, action, before: was, after }, result)
  }

  /** Has every cell load the slots that the change needs, beside those that serve. */
  async #prepare(kind: SceneChangeKind, before: KeptScene | undefined, next: Next<unknown>, steps: Stopwatch): Promise<void> {
    const { cells } = this.#parts
    const plans = this.#newPlans(before, next)
    // A definition may be mended while no cell can start because of it.
    if (plans.length === 0 || (kind === 'define scene' && cells.connected.length === 0)) return
    await steps('prepareMs', () => Promise.all(plans.map(plan => cells.prepare(plan))))
  }

  /** Slots that the change needs: those that no rule has needed so far, and those that it names. */
  #newPlans(before: KeptScene | undefined, { scene, created, load = [] }: Next<unknown>): SlotPlan[] {
    const { book, services } = this.#parts
    const recordOf = (version: string) => (version === created?.id ? created : book.scenes.version(scene.definition.id, version))
    const routed = before === undefined ? [] : [...routedIn(before)]
    const had = new Set(routed.map(version => slotPlan(before?.definition ?? scene.definition, recordOf(version)).key))
    const records = [...new Set([...load, ...routedIn(scene)])].map(recordOf)
    const needed = records
      .map(record => slotPlan(scene.definition, record))
      .filter(({ key, version }) => load.includes(version) || !had.has(key))
    for (const plan of needed) checkServices(plan.scene, plan.lock, services)
    return needed
  }

  // Modules

  /**
   * Tries a module out, then keeps it. Its blobs are there already.
   * @throws MODULE_EXISTS, BLOB_NOT_FOUND, BUNDLE_TOO_LARGE, BUNDLE_INVALID, and what the trial finds.
   */
  publishModule(manifest: ModuleManifest, actor: Actor): Promise<Published> {
    const { book, trials } = this.#parts
    const name = moduleKey(manifest.name, manifest.version)
    return this.#turns.run(`module ${name}`, async () => {
      const existing = book.modules.publishedAlready(manifest)
      const again = book.keyed(actor)?.result !== undefined
      if (existing !== undefined) return { created: again, module: existing, timings: {} }
      const steps = stopwatch()
      const bundle = await steps('checkMs', () => this.#readBundle(manifest))
      await steps('trialMs', () => trials.pass({ name, stages: manifest.stages, bundle }))
      const module = await steps('commitMs', () => this.#keepModule(name, manifest, actor))
      return { created: true, module, timings: steps.timings }
    })
  }

  #keepModule(key: string, manifest: ModuleManifest, actor: Actor): ModuleRecord {
    const { book } = this.#parts
    const value = { ...manifest, publishedAt: book.now().toISOString(), publishedBy: actor.who }
    const change = { kind: 'publish module', payload: { manifest }, facts: {}, target: key, before: null, after: manifest } as const
    book.commit([{ kind: 'module', key, value, expect: 'absent' }], actor, change)
    return value
  }

  async #readBundle({ name, bundle, sourceMap }: ModuleManifest): Promise<string> {
    const { blobs } = this.#parts
    await this.#requireBlob(`bundle of module "${name}"`, bundle, limits.module.bundleBytesMax)
    if (sourceMap !== undefined) await this.#requireBlob(`source map of module "${name}"`, sourceMap, limits.module.sourceMapBytesMax)
    const bytes = await blobs.read(bundle)
    if (!isUtf8(bytes)) throw new BerthError('BUNDLE_INVALID', `Cannot publish module "${name}": its bundle is not UTF-8 text`)
    return bytes.toString('utf8')
  }

  async #requireBlob(what: string, digest: string, bytesMax: number): Promise<void> {
    const size = await this.#parts.blobs.size(digest)
    if (size === undefined) throw new BerthError('BLOB_NOT_FOUND', `Cannot find the ${what}: blob ${digest} was not uploaded`)
    if (size > bytesMax) throw new BerthError('BUNDLE_TOO_LARGE', `Cannot take the ${what}: it has ${size} bytes, the limit is ${bytesMax}`)
  }

  // Tokens

  /**
   * The token is known to the connected cells when this resolves (bounded).
   * @throws ANSWER_LOST when the request was carried out before: the token was answered then, and is kept nowhere
   */
  async createToken(rights: Right[], label: string, actor: Actor): Promise<Token & { readonly token: string }> {
    const made = this.#parts.book.keyed(actor)?.result as { readonly id: string } | undefined
    if (made !== undefined) {
      const message = `Cannot answer the request again: it made token "${made.id}", and the token itself is kept nowhere`
      throw new BerthError('ANSWER_LOST', message, { extra: { token: made.id } })
    }
    const token = this.#parts.book.addToken(newSecret(), rights, label, actor)
    await this.#parts.tables.refresh()
    return token
  }

  /**
   * @returns how many of the cells take the token no more: all that are connected, unless one is too slow to say so.
   * @throws TOKEN_NOT_FOUND
   */
  async revokeToken(id: string, actor: Actor): Promise<Applied> {
    const { book, tables } = this.#parts
    if (book.keyed(actor)?.result === undefined) {
      const { rights, label, revision } = book.tokens.get(id)
      const payload = { rights, label }
      const change = { kind: 'revoke token', payload, facts: {}, target: id, before: payload, after: null } as const
      book.commit([{ kind: 'token', key: id, value: null, expect: revision }], actor, change)
    }
    return tables.refresh()
  }
}

interface Stopwatch {
  <T>(step: string, work: () => T | Promise<T>): Promise<T>
  readonly timings: Timings
}

function stopwatch(): Stopwatch {
  const timings: Record<string, number> = {}
  const time = async <T>(step: string, work: () => T | Promise<T>): Promise<T> => {
    const startedAt = performance.now()
    const result = await work()
    timings[step] = Math.round((performance.now() - startedAt) * 10) / 10
    return result
  }
  return Object.assign(time, { timings })
}
