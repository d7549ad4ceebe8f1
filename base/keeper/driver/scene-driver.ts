/**
 * Carries changes of scenes out. Each is checked, tried out, kept in one commit, and in force in the cells before it is answered:
 *
 *   change ─▶ facts ─▶ next scene ─▶ validation ─▶ cells load what it needs ─▶ commit ─▶ new table ─▶ cells switch ─▶ answer
 *
 * An error on the way changes nothing.
 */
import { hasContents, type Report, withoutContents } from '../../capsule/report.ts'
import {
  asAudited,
  type SceneChange,
  type SceneChangeKind,
  type SceneChangeOf,
  type SceneOutcomes,
  type WishKind,
} from '../../change/change.ts'
import { checkServices } from '../../change/lock.ts'
import { nextScene } from '../../change/next-scene.ts'
import type { Records } from '../../change/records.ts'
import { type KeptScene, type Next, routedIn, type SceneState } from '../../change/scene-state.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { Expected, Write } from '../../store/store.ts'
import { isQuarantined } from '../../traffic/rules.ts'
import type { ValidationMode, VersionRecord } from '../../traffic/schema.ts'
import { type SlotPlan, slotPlan } from '../../traffic/table.ts'
import type { Actor, Book, ScenePart } from '../book/book.ts'
import { sceneWrites } from '../book/scene-book.ts'
import type { Applied, SlotWarmUp } from '../cells/cells.ts'
import { noteReading } from './capsule-driver.ts'
import { type FactSources, findFacts } from './facts.ts'
import { type Stopwatch, stopwatch, type Timings } from './stopwatch.ts'
import type { TablePublisher } from './table-publisher.ts'
import { Turns } from './turns.ts'
import { planValidation, type ValidationParts, validate } from './validation.ts'
import type { WarmUps } from './warm-ups.ts'

export interface SceneDriverParts extends FactSources {
  readonly tables: TablePublisher
  readonly validation: ValidationParts
  readonly warmUps: Pick<WarmUps, 'ofPlan'>
}

export interface ChangeOptions {
  readonly actor: Actor
  /** The revision that the part of the scene which the change is about must be at. */
  readonly expect?: Expected
  readonly dryRun?: boolean | undefined
  /** Whether whoever asks may see what was answered in capsules. @default false */
  readonly seesCapsules?: boolean | undefined
  /** Aborts when nobody waits for the result any more. A change that is being validated is given up then. */
  readonly gone?: (() => AbortSignal) | undefined
  /** Whether the result waits until the cells have the change in force. @default true */
  readonly waits?: boolean
}

/** The result of a change. */
export interface Changed<K extends SceneChangeKind> {
  readonly outcome: SceneOutcomes[K]
  /** False when everything was so already; of a dry run, whether anything would change. */
  readonly changed: boolean
  /** The scene afterwards. */
  readonly scene: KeptScene
  /** Of a change that was validated. */
  readonly validation?: Report | undefined
  readonly cells: Applied
  readonly timings: Timings
}

/** What is kept of a change whose request had a key, so that the request can be answered again. */
type KeptResult<K extends SceneChangeKind> = Pick<Changed<K>, 'outcome' | 'scene'>

/** The part of a scene whose revision a change may expect, for changes where this is not the rules. */
const partOf: { readonly [K in SceneChangeKind]?: ScenePart } = {
  'define scene': 'scene',
  'delete scene': 'scene',
  'create version': 'scene',
  'edit whitelist': 'whitelist',
  'replace whitelist': 'whitelist',
  'set params': 'params',
  'roll back params': 'params',
}

export class SceneDriver {
  readonly #parts: SceneDriverParts
  readonly #turns = new Turns()

  constructor(parts: SceneDriverParts) {
    this.#parts = parts
  }

  /**
   * Carries out a change of a scene. With `dryRun` it is only worked out and checked. A rollback and a quarantine do not wait for changes
   * of the scene that are under way: whichever is kept second is refused with REVISION_CONFLICT. A dry run is validated only when the change says how.
   * @throws REVISION_CONFLICT, SCENE_NOT_FOUND; as `findFacts` and `nextScene`; SERVICE_NOT_OFFERED, VALIDATION_FAILED, NO_CELLS, UPGRADE_FAILED
   */
  apply<K extends WishKind>(change: SceneChangeOf<K>, options: ChangeOptions): Promise<Changed<K>> {
    const work = () => this.#apply(change, options)
    return isUrgent(change.kind) ? work() : this.#turns.run(`scene ${change.scene}`, work)
  }

  async #apply<K extends WishKind>(change: SceneChangeOf<K>, options: ChangeOptions): Promise<Changed<K>> {
    const { actor, expect, dryRun = false, waits = true } = options
    const { book, tables } = this.#parts
    const { kind, scene, payload } = change
    const again = await this.#keptResult<K>(actor)
    if (again !== undefined) return again
    const steps = stopwatch()
    const before = kind === 'define scene' ? book.scenes.find(scene) : book.scenes.get(scene)
    requireNamedVersion(book, change as SceneChange)
    book.expect(partOf[kind] ?? 'rules', scene, expect)
    const [facts, next] = await steps('planMs', async () => {
      const found = await findFacts(this.#parts, before, kind, payload, { scene, who: actor.who, dryRun })
      return [found, nextScene(before, change, found)] as const
    })
    const { outcome } = next
    const writes = this.#writes(before, next)
    const validation = await this.#validate(change, before, next, options, steps)
    if (!dryRun) await this.#prepare(kind, before, next, steps)
    if (dryRun || writes.length === 0) {
      return {
        outcome,
        ...validation,
        changed: writes.length > 0,
        scene: before ?? keptAt(next.scene, before, [], 0),
        cells: tables.applied(),
        timings: steps.timings,
      }
    }
    const after = await steps('commitMs', () => this.#commit(before, change, facts, next, writes, actor))
    // What the scene has become since then, by a rollback that waited for nobody, is not what this change came to.
    const cells = await steps('applyMs', () => (waits ? tables.refresh() : tables.refreshSoon()))
    return { outcome, ...validation, changed: true, scene: after, cells, timings: steps.timings }
  }

  /** @throws VALIDATION_FAILED where validation is strict, but not of a dry run */
  async #validate<K extends WishKind>(
    change: SceneChangeOf<K>,
    before: KeptScene | undefined,
    next: Next<unknown>,
    { actor, dryRun = false, seesCapsules = false, gone }: ChangeOptions,
    steps: Stopwatch,
  ): Promise<{ readonly validation?: Report }> {
    const asked = askedMode(change)
    if (dryRun && asked === undefined) return {}
    const planned = planValidation(change, before, next, this.#recordOf(next), asked)
    if (planned === undefined) return {}
    const report = await steps('validateMs', () => validate(planned.trial, planned.settings, this.#parts.validation, gone?.()))
    const validation = seesCapsules ? report : withoutContents(report)
    if (seesCapsules && hasContents(report)) noteReading(this.#parts.book, planned.trial.scene, { how: 'validate' }, actor)
    if (dryRun || report.mode !== 'strict' || report.verdict !== 'failed') return { validation }
    throw validationFailed(planned.trial.scene, validation)
  }

  #recordOf({ scene, created }: Next<unknown>): (version: string) => VersionRecord {
    return version => (version === created?.id ? created : this.#parts.book.scenes.version(scene.definition.id, version))
  }

  /** What a change writes: the scene, and that modules have become part of a baseline. */
  #writes(before: KeptScene | undefined, next: Next<unknown>): Write<Records>[] {
    const { book } = this.#parts
    const at = book.now().toISOString()
    const { definition, baseline } = next.scene
    if (baseline === null || baseline === before?.baseline) return sceneWrites(before, next, at)
    const { lock } = baseline === next.created?.id ? next.created : book.scenes.version(definition.id, baseline)
    return [...sceneWrites(before, next, at), ...book.modules.markBaseline(lock, at)]
  }

  /** The result of the change when its request was carried out before and the answer was lost. */
  async #keptResult<K extends SceneChangeKind>(actor: Actor): Promise<Changed<K> | undefined> {
    const { book, tables } = this.#parts
    // Requests with one key are the same request, so the result is that of a change of this kind.
    const kept = book.keyed(actor)?.result as KeptResult<K> | undefined
    if (kept === undefined) return undefined
    const { outcome, scene } = kept
    // JSON has no undefined.
    return { outcome, changed: true, scene: { ...scene, whitelist: scene.whitelist }, cells: await tables.refresh(), timings: {} }
  }

  /** @returns the scene as it is kept */
  #commit<K extends SceneChangeKind>(
    before: KeptScene | undefined,
    change: SceneChangeOf<K>,
    facts: unknown,
    { scene, action, before: was, after, outcome }: Next<SceneOutcomes[K]>,
    writes: readonly Write<Records>[],
    actor: Actor,
  ): KeptScene {
    const { kind, payload } = asAudited(change as SceneChange)
    const note = { kind, payload, facts, target: change.scene, action, before: was, after }
    const result = (revision: number): KeptResult<K> => ({ outcome, scene: keptAt(scene, before, writes, revision) })
    return keptAt(scene, before, writes, this.#parts.book.commitScene(before, writes, actor, note, result))
  }

  /** Has every cell load the slots that the change needs, beside those that serve. */
  async #prepare(kind: SceneChangeKind, before: KeptScene | undefined, next: Next<unknown>, steps: Stopwatch): Promise<void> {
    const { cells } = this.#parts
    // A definition may be mended while no cell can start because of it.
    if (kind === 'define scene' && cells.connected.length === 0) return
    const plans = this.#newPlans(before, next)
    if (plans.length === 0) return
    const finding = isUrgent(kind) ? [] : this.#findWarmUps(plans, next.scene)
    await steps('prepareMs', () => Promise.all(plans.map(plan => cells.prepare(plan))))
    const warmUps = (await Promise.all(finding)).filter(found => found !== undefined)
    if (warmUps.length > 0) await steps('warmUpMs', () => Promise.all(warmUps.map(warmUp => cells.warmUp(warmUp))))
  }

  /** Finds out what slots warm up with to which rules send requests. Nobody waits for the others, which are for those who develop. */
  #findWarmUps(plans: readonly SlotPlan[], scene: SceneState): Promise<SlotWarmUp | undefined>[] {
    const routed = routedIn(scene)
    return plans.filter(({ version }) => routed.has(version)).map(plan => this.#parts.warmUps.ofPlan(plan, scene))
  }

  /** Slots that the change needs: those that no rule has needed so far, and those that it names. */
  #newPlans(before: KeptScene | undefined, next: Next<unknown>): SlotPlan[] {
    const { services } = this.#parts
    const { scene, load = [] } = next
    const recordOf = this.#recordOf(next)
    const routed = before === undefined ? [] : [...routedIn(before)]
    const had = new Set(routed.map(version => slotPlan(before?.definition ?? scene.definition, recordOf(version)).key))
    const records = [...new Set([...load, ...routedIn(scene)])].filter(version => !isQuarantined(scene.rules, version)).map(recordOf)
    const needed = records
      .map(record => slotPlan(scene.definition, record))
      .filter(({ key, version }) => load.includes(version) || !had.has(key))
    for (const plan of needed) checkServices(plan.scene, plan.lock, services)
    return needed
  }
}

/** The mode of validation that the change itself asks for. */
const askedMode = ({ payload }: SceneChangeOf<WishKind>): ValidationMode | undefined =>
  (payload as { readonly validation?: ValidationMode | undefined }).validation

function validationFailed(scene: string, validation: Report): BerthError {
  const { candidate, what, reasons } = validation
  const action = what === 'params' ? `set these params of ${candidate}` : `give traffic to ${candidate}`
  const why = reasons.map(({ message }) => message).join('; ')
  return new BerthError('VALIDATION_FAILED', `Cannot ${action} in scene "${scene}": ${why}`, { extra: { validation } })
}

/** What waits for no other change of the scene: a change under way may wait for the very version that has to go. */
const isUrgent = (kind: SceneChangeKind): boolean => kind === 'roll back' || kind === 'quarantine version'

/** A scene after a commit of this revision. */
function keptAt(scene: SceneState, before: KeptScene | undefined, writes: readonly Write<Records>[], revision: number): KeptScene {
  const written = Object.fromEntries(writes.map(({ kind }) => [kind, revision]))
  const { scene: ofScene = 0, rules = 0, whitelist = 0 } = { ...before?.revisions, ...written }
  return { ...scene, revisions: { scene: ofScene, rules, whitelist } }
}

/** Who names a version that there is none of hears that first, whatever else is wrong. @throws VERSION_NOT_FOUND */
function requireNamedVersion(book: Book, { kind, scene, payload }: SceneChange): void {
  if (kind === 'roll back' && payload.from !== undefined) book.scenes.version(scene, payload.from)
  const named =
    kind === 'promote version' ||
    kind === 'take version offline' ||
    kind === 'bring version online' ||
    kind === 'set params' ||
    kind === 'roll back params' ||
    kind === 'lift quarantine'
      ? payload.version
      : null
  if (named !== null) book.scenes.version(scene, named)
}
