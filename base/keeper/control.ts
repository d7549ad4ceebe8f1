/** What the control API does: each write checked, tried out, committed, and in force in the cells before it is answered. */
import { isUtf8 } from 'node:buffer'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import type { Blobs } from '../store/blobs.ts'
import { storeFault } from '../store/faults.ts'
import { writeWhole } from '../store/files.ts'
import { type ModuleRecord, moduleKey } from '../store/records.ts'
import type { Expected } from '../store/store.ts'
import type { ModuleManifest, Right, SceneDefinition, VersionRecord } from '../traffic/schema.ts'
import { type SceneTable, slotPlan } from '../traffic/table.ts'
import { tablePath } from '../wire/paths.ts'
import type { Applied, Cells } from './cells.ts'
import { checkServices } from './lock.ts'
import type { Actor, Registry, SceneState, Token, VersionRequest } from './registry.ts'
import type { Trials } from './trial.ts'

/** Milliseconds that each step took. */
export type Timings = Readonly<Record<string, number>>

export interface ControlParts {
  readonly data: string
  readonly registry: Registry
  readonly blobs: Blobs
  readonly cells: Cells
  readonly trials: Trials
  /** Names of the base services that cells offer. */
  readonly services: readonly string[]
  readonly log: Logger
}

export interface Published {
  /** False when the same version with the same bytes was there already. */
  readonly created: boolean
  readonly module: ModuleRecord
  readonly timings: Timings
}

export interface SceneChange {
  readonly scene: SceneState
  readonly created: boolean
  readonly cells: Applied
}

export interface VersionChange {
  readonly created: boolean
  /** Whether this made it the baseline. */
  readonly switched: boolean
  readonly version: VersionRecord
  /** The scene afterwards. */
  readonly scene: SceneState
  readonly cells: Applied
  readonly timings: Timings
}

export class Control {
  readonly #parts: ControlParts
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(parts: ControlParts) {
    this.#parts = parts
  }

  /**
   * Tries a module out, then keeps it. Its blobs are there already.
   * @throws MODULE_EXISTS, BLOB_NOT_FOUND, BUNDLE_TOO_LARGE, BUNDLE_INVALID, and what the trial finds.
   */
  publishModule(manifest: ModuleManifest, actor: Actor): Promise<Published> {
    const { registry, trials } = this.#parts
    const name = moduleKey(manifest.name, manifest.version)
    return this.#inTurn(`module ${name}`, async () => {
      const existing = registry.publishedAlready(manifest)
      if (existing !== undefined) return { created: false, module: existing, timings: {} }
      const steps = stopwatch()
      const bundle = await steps('checkMs', () => this.#readBundle(manifest))
      await steps('trialMs', () => trials.pass({ name, stages: manifest.stages, bundle }))
      const module = await steps('commitMs', () => registry.addModule(manifest, actor))
      return { created: true, module, timings: steps.timings }
    })
  }

  /**
   * Defines a scene, or defines it anew. The version that is its baseline stays; when it needs other slots now, cells load those first.
   * @throws as `Registry.checkScene`; REVISION_CONFLICT, UPGRADE_FAILED
   */
  defineScene(id: string, candidate: unknown, expect: Expected, actor: Actor): Promise<SceneChange> {
    const { registry, cells } = this.#parts
    return this.#inTurn(`scene ${id}`, async () => {
      registry.expectScene(id, expect)
      const definition = registry.checkScene(id, candidate)
      const before = registry.scenes().find(scene => scene.definition.id === id)
      if (before?.baseline && cells.connected.length > 0) await this.#prepareIfOther(before, definition, before.baseline)
      const { scene, changed } = registry.putScene(definition, expect ?? before?.revision ?? 'absent', actor)
      return { scene, created: before === undefined, cells: await (changed ? this.refresh() : this.applied()) }
    })
  }

  /**
   * Makes a version; `baseline` brings it online as such at once. With `reuse` a version with exactly this lock is taken instead of another made.
   * @throws as `Registry.draftVersion`; SERVICE_NOT_OFFERED, REVISION_CONFLICT; NO_CELLS and UPGRADE_FAILED when it cannot become the baseline: it is not kept then.
   */
  createVersion(sceneId: string, request: VersionRequest, baseline: boolean, expect: Expected, actor: Actor): Promise<VersionChange> {
    const { registry } = this.#parts
    return this.#inTurn(`scene ${sceneId}`, async () => {
      const steps = stopwatch()
      const before = this.#sceneAt(sceneId, expect)
      const draft = await steps('resolveMs', () => registry.draftVersion(sceneId, request, actor))
      checkServices(sceneId, draft.lock, this.#parts.services)
      const kept = request.reuse ? registry.versionWithLock(sceneId, draft.lock) : undefined
      const version = kept ?? draft
      const made = { created: kept === undefined, switched: baseline && before.baseline !== version.id, version }
      if (made.switched) await this.#promote(version, made.created, before, actor, steps)
      else if (made.created) await steps('commitMs', () => registry.addVersion(version, actor))
      const cells = made.created || made.switched ? await steps('applyMs', () => this.refresh()) : this.applied()
      return { ...made, scene: registry.scene(sceneId), cells, timings: steps.timings }
    })
  }

  /** @throws SCENE_NOT_FOUND, VERSION_NOT_FOUND, SERVICE_NOT_OFFERED, REVISION_CONFLICT, NO_CELLS, UPGRADE_FAILED: the baseline is what it was then. */
  setBaseline(sceneId: string, versionId: string, expect: Expected, actor: Actor): Promise<VersionChange> {
    const { registry } = this.#parts
    return this.#inTurn(`scene ${sceneId}`, async () => {
      const steps = stopwatch()
      const before = this.#sceneAt(sceneId, expect)
      const version = registry.version(sceneId, versionId)
      if (before.baseline === versionId)
        return { created: false, switched: false, version, scene: before, cells: this.applied(), timings: steps.timings }
      checkServices(sceneId, version.lock, this.#parts.services)
      await this.#promote(version, false, before, actor, steps)
      const cells = await steps('applyMs', () => this.refresh())
      return { created: false, switched: true, version, scene: registry.scene(sceneId), cells, timings: steps.timings }
    })
  }

  /** The token is known to the connected cells when this resolves (bounded). */
  async createToken(rights: Right[], label: string, actor: Actor): Promise<Token & { readonly token: string }> {
    const token = this.#parts.registry.createToken(rights, label, actor)
    await this.refresh()
    return token
  }

  /**
   * @returns how many of the cells take the token no more: all that are connected, unless one is too slow to say so.
   * @throws TOKEN_NOT_FOUND
   */
  async revokeToken(id: string, actor: Actor): Promise<Applied> {
    this.#parts.registry.revokeToken(id, actor)
    return this.refresh()
  }

  /** How many of the cells have the last table in force. */
  applied(): Applied {
    const { connected, table } = this.#parts.cells
    return { applied: connected.filter(({ revision }) => revision >= table.revision).length, connected: connected.length }
  }

  /** Saves the table as of now and resolves when the connected cells have it in force (bounded). */
  async refresh(): Promise<Applied> {
    const { data, registry, cells, log } = this.#parts
    const { done } = await this.#inTurn('table', async () => {
      const table = registry.buildTable()
      // What is committed is in force: a table that cannot be saved leaves cells that boot without a keeper on the one before.
      await saveTable(data, table).catch((error: unknown) => log.error({ err: error }, 'the scene table could not be saved'))
      return { done: cells.publish(table) }
    })
    return done
  }

  async #promote(version: VersionRecord, draft: boolean, before: SceneState, actor: Actor, steps: Stopwatch): Promise<void> {
    const { registry, cells } = this.#parts
    await steps('prepareMs', () => cells.prepare(slotPlan(before.definition, version)))
    await steps('commitMs', () => registry.setBaseline(version, draft, before.revision, actor))
  }

  async #prepareIfOther(before: SceneState, definition: SceneDefinition, baseline: string): Promise<void> {
    const version = this.#parts.registry.version(definition.id, baseline)
    const plan = slotPlan(definition, version)
    if (plan.key !== slotPlan(before.definition, version).key) await this.#parts.cells.prepare(plan)
  }

  #sceneAt(id: string, expect: Expected): SceneState {
    const scene = this.#parts.registry.scene(id)
    this.#parts.registry.expectScene(id, expect)
    return scene
  }

  async #readBundle({ name, bundle, sourceMap }: ModuleManifest): Promise<string> {
    const { blobs } = this.#parts
    await this.#requireBlob(`bundle of module "${name}"`, bundle, limits.bundleBytesMax)
    if (sourceMap !== undefined) await this.#requireBlob(`source map of module "${name}"`, sourceMap, limits.sourceMapBytesMax)
    const bytes = await blobs.read(bundle)
    if (!isUtf8(bytes)) throw new BerthError('BUNDLE_INVALID', `Cannot publish module "${name}": its bundle is not UTF-8 text`)
    return bytes.toString('utf8')
  }

  async #requireBlob(what: string, digest: string, bytesMax: number): Promise<void> {
    const size = await this.#parts.blobs.size(digest)
    if (size === undefined) throw new BerthError('BLOB_NOT_FOUND', `Cannot find the ${what}: blob ${digest} was not uploaded`)
    if (size > bytesMax) throw new BerthError('BUNDLE_TOO_LARGE', `Cannot take the ${what}: it has ${size} bytes, the limit is ${bytesMax}`)
  }

  /** Runs works with one key one after the other, in the order of the calls. */
  async #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work)
    const settled = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#turns.set(key, settled)
    try {
      return await turn
    } finally {
      if (this.#turns.get(key) === settled) this.#turns.delete(key)
    }
  }
}

/** Readable by the owner only: it holds hashes of tokens. @throws STORE_FULL, DATA_UNWRITABLE */
export async function saveTable(data: string, table: SceneTable): Promise<void> {
  try {
    await writeWhole(tablePath(data), JSON.stringify(table))
  } catch (error) {
    throw storeFault('save the scene table', error)
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
