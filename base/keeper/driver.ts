/** What the control API does: each write checked, tried out, committed, and in force in the cells before it is answered. */
import { isUtf8 } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { checkServices } from '../change/lock.ts'
import {
  checkTraffic,
  type KeptTraffic,
  type Part,
  type PlacedVersion,
  type Planned,
  placeVersion,
  routedIn,
  type SceneKind,
  type SceneTraffic,
} from '../change/versions.ts'
import {
  auditedEdit,
  countChanges,
  editWhitelist,
  type WhitelistCounts,
  type WhitelistEdit,
  whitelistEntry,
} from '../change/whitelist-edit.ts'
import { tablePath } from '../folder/paths.ts'
import { sealTable } from '../folder/saved-table.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import type { Blobs } from '../store/blobs.ts'
import { storeFault } from '../store/faults.ts'
import { writeWhole } from '../store/files.ts'
import { type ModuleRecord, moduleKey } from '../store/records.ts'
import type { Expected } from '../store/store.ts'
import type { Whitelist } from '../traffic/rules.ts'
import type { ModuleManifest, Right, SceneDefinition } from '../traffic/schema.ts'
import { type SceneTable, type SlotPlan, slotPlan, type WhitelistEntry } from '../traffic/table.ts'
import type { Actor, Registry, SceneState, Token, VersionRequest } from './book/registry.ts'
import type { Applied, Cells } from './cells/cells.ts'
import type { Trials } from './cells/trials.ts'

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

export interface ChangeOptions {
  readonly actor: Actor
  /** What the record that it is about must be at. */
  readonly expect?: { readonly kind: SceneKind | 'params'; readonly revision: Expected } | undefined
  readonly dryRun?: boolean | undefined
  /** Does not wait for changes of the scene that are under way: whichever is kept second fails with REVISION_CONFLICT. */
  readonly urgent?: boolean | undefined
}

export interface Changed<Told> {
  readonly told: Told
  /** False when everything was so already, and of a dry run. */
  readonly changed: boolean
  /** Afterwards. */
  readonly traffic: KeptTraffic
  readonly cells: Applied
  readonly timings: Timings
}

export class Control {
  readonly #parts: ControlParts
  readonly #turns = new Map<string, Promise<unknown>>()
  #saveAgain: NodeJS.Timeout | undefined

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
    const { registry } = this.#parts
    return this.#inTurn(`scene ${id}`, async () => {
      registry.expect('scene', id, expect)
      const definition = registry.checkScene(id, candidate)
      const before = registry.scenes().find(scene => scene.definition.id === id)
      if (before !== undefined) await this.#checkRedefined(registry.traffic(id), definition)
      const { scene, changed } = registry.putScene(definition, expect ?? before?.revision ?? 'absent', actor)
      return { scene, created: before === undefined, cells: await (changed ? this.refresh() : this.applied()) }
    })
  }

  /**
   * Makes a change of who answers in a scene: it is checked as a whole, what it sends requests to is loaded in every cell, then it is kept in
   * one commit, and in force in the cells when this resolves. With `dryRun` it is only checked.
   * @param plan works the change out; it may throw, and read, and must not change anything
   * @throws REVISION_CONFLICT, SCENE_NOT_FOUND; what `plan` and `checkTraffic` throw; SERVICE_NOT_OFFERED, NO_CELLS, UPGRADE_FAILED. Nothing is
   * changed then.
   */
  changeScene<Told>(
    id: string,
    { actor, expect, dryRun = false, urgent = false }: ChangeOptions,
    plan: (before: KeptTraffic) => Planned<Told> | Promise<Planned<Told>>,
  ): Promise<Changed<Told>> {
    const { registry } = this.#parts
    const change = async () => {
      const steps = stopwatch()
      const before = registry.traffic(id)
      if (expect !== undefined) registry.expect(expect.kind, id, expect.revision)
      const planned = await steps('planMs', () => plan(before))
      const checked = { ...planned, traffic: { ...planned.traffic, rules: checkTraffic(before, planned.traffic) } }
      let changed = false
      if (!dryRun) {
        const loads = this.#newPlans(before, checked)
        if (loads.length > 0) await steps('prepareMs', () => this.#prepare(loads))
        changed = await steps('commitMs', () => registry.keepTraffic(before, checked, actor))
      }
      const cells = changed ? await steps('applyMs', () => this.refresh()) : this.applied()
      return { told: planned.told, changed, traffic: registry.traffic(id), cells, timings: steps.timings }
    }
    return urgent ? change() : this.#inTurn(`scene ${id}`, change)
  }

  /**
   * Makes a version and gives it its part. With `reuse` a version with exactly this lock is taken instead of another made.
   * @throws as `Registry.draftVersion`, `placeVersion` and `changeScene`: it is not kept then.
   */
  createVersion(id: string, request: VersionRequest, part: Part, options: ChangeOptions): Promise<Changed<PlacedVersion>> {
    const { registry } = this.#parts
    return this.changeScene(id, options, async before => {
      const draft = registry.draftVersion(id, request, options.actor)
      checkServices(id, draft.lock, this.#parts.services)
      const kept = request.reuse ? registry.versionWithLock(id, draft.lock) : undefined
      const version = kept ?? draft
      const edited =
        part.whitelist.length === 0 ? undefined : await this.editWhitelist(before, { add: { [version.id]: [...part.whitelist] } })
      return placeVersion(before, { version, isNew: kept === undefined, whitelist: edited?.traffic.whitelist }, part, newSalt())
    })
  }

  /** The whitelist of a scene, unit ids by version. @throws DATA_DAMAGED, BLOB_NOT_FOUND */
  async readWhitelist({ whitelist }: { readonly whitelist: WhitelistEntry | undefined }): Promise<Whitelist> {
    if (whitelist === undefined) return {}
    return JSON.parse((await this.#parts.blobs.read(whitelist.digest)).toString('utf8')) as Whitelist
  }

  /** Works out a change of single unit ids; their blob is written at once, where nothing refers to it yet. @throws WHITELIST_INVALID */
  async editWhitelist(before: SceneTraffic, edit: WhitelistEdit): Promise<Planned<WhitelistCounts>> {
    const planned = await this.putWhitelist(before, was => editWhitelist(was, edit))
    return { ...planned, action: 'edit whitelist', after: { ...planned.traffic.whitelist, ...auditedEdit(edit) } }
  }

  /** Works out another whitelist, as `editWhitelist` does. */
  async putWhitelist(before: SceneTraffic, next: (was: Whitelist) => Whitelist): Promise<Planned<WhitelistCounts>> {
    const was = await this.readWhitelist(before)
    const is = next(was)
    const whitelist = whitelistEntry(await this.#parts.blobs.put(Buffer.from(JSON.stringify(is))), is)
    const told = countChanges(was, is)
    return { traffic: { ...before, whitelist }, action: 'replace whitelist', before: before.whitelist ?? null, after: whitelist, told }
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
    const { registry, cells } = this.#parts
    const { done } = await this.#inTurn('table', async () => {
      const table = registry.buildTable()
      await this.#save(table)
      return { done: cells.publish(table) }
    })
    return done
  }

  /** Saves the table that the cells are told of; when that fails, again after a while. */
  saveTable(): Promise<void> {
    return this.#inTurn('table', () => this.#save(this.#parts.cells.table))
  }

  /** What is committed is in force: until its table is saved, cells that boot without a keeper are left on the one before. */
  async #save(table: SceneTable): Promise<void> {
    clearTimeout(this.#saveAgain)
    try {
      await writeTable(this.#parts.data, table)
    } catch (error) {
      this.#parts.log.error({ err: error }, 'the scene table could not be saved')
      this.#saveAgain = setTimeout(() => this.saveTable(), limits.keeper.saveTableAgainMs).unref()
    }
  }

  async #checkRedefined(before: KeptTraffic, definition: SceneDefinition): Promise<void> {
    const traffic = { ...before, definition }
    checkTraffic(before, traffic)
    if (this.#parts.cells.connected.length > 0) await this.#prepare(this.#newPlans(before, { traffic }))
  }

  /** Slots that the change needs: those that no rule has needed so far, and those that it names. */
  #newPlans(before: SceneTraffic, { traffic, created, load = [] }: Pick<Planned<unknown>, 'traffic' | 'created' | 'load'>): SlotPlan[] {
    const { registry } = this.#parts
    const recordOf = (version: string) => (version === created?.id ? created : registry.version(traffic.definition.id, version))
    const had = new Set([...routedIn(before)].map(version => slotPlan(before.definition, recordOf(version)).key))
    const records = [...new Set([...load, ...routedIn(traffic)])].map(recordOf)
    const plans = records.map(record => slotPlan(traffic.definition, record))
    const needed = plans.filter(({ key, version }) => load.includes(version) || !had.has(key))
    for (const { scene, lock } of needed) checkServices(scene, lock, this.#parts.services)
    return needed
  }

  async #prepare(plans: readonly SlotPlan[]): Promise<void> {
    await Promise.all(plans.map(plan => this.#parts.cells.prepare(plan)))
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

/** Of an experiment, a layer, a cutover: no two are the same, so none of their buckets have to do with each other. */
export const newSalt = (): string => randomBytes(8).toString('hex')

/** Readable by the owner only: it holds hashes of tokens. @throws STORE_FULL, DATA_UNWRITABLE */
async function writeTable(data: string, table: SceneTable): Promise<void> {
  try {
    await writeWhole(tablePath(data), await sealTable(table))
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
