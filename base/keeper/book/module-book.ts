/** The modules that are published. */
import { isDeepStrictEqual } from 'node:util'
import semver from 'semver'
import { deletedKey, type ModuleRecord, moduleKey, type Records } from '../../change/records.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { BaseStore } from '../../store/base-store.ts'
import type { Write } from '../../store/store.ts'
import type { Lock, ModuleManifest, ModuleOrigin } from '../../traffic/schema.ts'
import { lockedModules } from '../../traffic/table.ts'

/** The properties in which modules of the same bundle may differ, and what messages call them. */
const whatDiffers = { stages: 'stages', services: 'services', fetch: 'hosts' } as const
const fieldsThatCount = ['stages', 'services', 'fetch'] as const

export class ModuleBook {
  readonly #store: BaseStore

  constructor(store: BaseStore) {
    this.#store = store
  }

  /** Every published version of one module, or of all, in the order of names and then versions. */
  list(name?: string): ModuleRecord[] {
    const records = this.#store.list('module', name === undefined ? '' : `${name}@`).map(({ value }) => value)
    return records.sort((a, b) => (a.name === b.name ? semver.compareBuild(a.version, b.version) : a.name < b.name ? -1 : 1))
  }

  /** @throws MODULE_NOT_FOUND */
  get(name: string, version: string): ModuleRecord {
    const found = this.#store.get('module', moduleKey(name, version))
    if (found !== undefined) return found.value
    throw new BerthError('MODULE_NOT_FOUND', `Cannot find module "${moduleKey(name, version)}": it is not published`)
  }

  /** Every module of a lock once, in the order of the stages. */
  locked(lock: Lock): ModuleRecord[] {
    const keys = new Set(lockedModules(lock).map(({ name, version }) => moduleKey(name, version)))
    return [...keys].flatMap(key => this.#store.get('module', key)?.value ?? [])
  }

  /** Where the sources of the modules of a lock are, by `name@version`; undefined when that is known of none. */
  origins(lock: Lock): Record<string, ModuleOrigin> | undefined {
    const known = this.locked(lock).flatMap(({ name, version, origin }): [string, ModuleOrigin][] =>
      origin === undefined ? [] : [[moduleKey(name, version), origin]],
    )
    return known.length === 0 ? undefined : Object.fromEntries(known)
  }

  /** The writes that note in every module of a lock that a baseline has it, where that is not noted yet. @param at ISO 8601, UTC */
  markBaseline(lock: Lock, at: string): Write<Records>[] {
    const keys = new Set(lockedModules(lock).map(({ name, version }) => moduleKey(name, version)))
    return [...keys].flatMap((key): Write<Records>[] => {
      const value = this.#store.get('module', key)?.value
      return value === undefined || value.firstBaselineAt !== undefined
        ? []
        : [{ kind: 'module', key, value: { ...value, firstBaselineAt: at } }]
    })
  }

  /**
   * The record of this version when it is published already with these bytes. One that was deleted may be published again as what it was.
   * @throws MODULE_EXISTS when it is, or was, published with other bytes; REQUEST_INVALID when the version is not a valid one
   */
  publishedAlready(manifest: ModuleManifest): ModuleRecord | undefined {
    const { name, version } = manifest
    if (semver.valid(version) === null) {
      throw new BerthError('REQUEST_INVALID', `Cannot publish module "${name}": "${version}" is no semantic version`)
    }
    const record = this.#store.get('module', moduleKey(name, version))?.value
    const deleted = this.deleted(name, version)
    if (record !== undefined) requireSame(manifest, record, 'it is')
    else if (deleted !== undefined) requireSame(manifest, deleted, 'it was deleted, and had been')
    return record
  }

  /** Whether a version of the module was ever deleted. */
  anyDeleted(name: string): boolean {
    return this.#store.list('deleted', deletedKey('module', `${name}@`)).length > 0
  }

  /** What a version was that was deleted, also when it was published again since; undefined when it never was. */
  deleted(name: string, version: string): ModuleManifest | undefined {
    return this.#store.get('deleted', deletedKey('module', moduleKey(name, version)))?.value.manifest
  }
}

/** What is published under a version never changes. @throws MODULE_EXISTS */
function requireSame(offered: ModuleManifest, published: ModuleManifest, since: string): void {
  const action = `Cannot publish module "${moduleKey(offered.name, offered.version)}": ${since} published with`
  const extra = { published: published.bundle, offered: offered.bundle }
  if (published.bundle !== offered.bundle) {
    const digests = `the bundle ${published.bundle.slice(0, 12)}…, this one is ${offered.bundle.slice(0, 12)}…`
    throw new BerthError('MODULE_EXISTS', `${action} ${digests}`, { extra })
  }
  const differs = fieldsThatCount.find(field => !isDeepStrictEqual(new Set(published[field]), new Set(offered[field])))
  if (differs === undefined) return
  const had = published[differs]?.join(', ') || 'none'
  throw new BerthError('MODULE_EXISTS', `${action} the ${whatDiffers[differs]} ${had}`, { extra })
}
