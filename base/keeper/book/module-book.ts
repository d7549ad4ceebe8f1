/** The modules that are published. */
import { isDeepStrictEqual } from 'node:util'
import semver from 'semver'
import { type ModuleRecord, moduleKey, type Records } from '../../change/records.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { BaseStore } from '../../store/base-store.ts'
import type { Write } from '../../store/store.ts'
import type { Lock, ModuleManifest } from '../../traffic/schema.ts'
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
   * The record of this version when it is published already with these bytes.
   * @throws MODULE_EXISTS when it is published with other bytes; REQUEST_INVALID when the version is not a valid one
   */
  publishedAlready(manifest: ModuleManifest): ModuleRecord | undefined {
    const { name, version, bundle } = manifest
    if (semver.valid(version) === null) {
      throw new BerthError('REQUEST_INVALID', `Cannot publish module "${name}": "${version}" is no semantic version`)
    }
    const record = this.#store.get('module', moduleKey(name, version))?.value
    if (record === undefined) return undefined
    const action = `Cannot publish module "${moduleKey(name, version)}"`
    const extra = { published: record.bundle, offered: bundle }
    if (record.bundle !== bundle) {
      throw new BerthError(
        'MODULE_EXISTS',
        `${action}: it is published with the bundle ${record.bundle.slice(0, 12)}…, this one is ${bundle.slice(0, 12)}…`,
        { extra },
      )
    }
    const differs = fieldsThatCount.find(field => !isDeepStrictEqual(new Set(record[field]), new Set(manifest[field])))
    if (differs === undefined) return record
    const had = record[differs]?.join(', ') || 'none'
    throw new BerthError('MODULE_EXISTS', `${action}: it is published with the ${whatDiffers[differs]} ${had}`, { extra })
  }
}
