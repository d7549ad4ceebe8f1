/** The modules that are published. */
import { isDeepStrictEqual } from 'node:util'
import semver from 'semver'
import { type ModuleRecord, moduleKey } from '../../change/records.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { BaseStore } from '../../store/base-store.ts'
import type { ModuleManifest } from '../../traffic/schema.ts'

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
