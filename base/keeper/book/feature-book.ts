/** The feature tables that are uploaded. */
import type { FeaturesRecord } from '../../change/records.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { BaseStore } from '../../store/base-store.ts'
import type { Entry, Expected } from '../../store/store.ts'

export class FeatureBook {
  readonly #store: BaseStore

  constructor(store: BaseStore) {
    this.#store = store
  }

  list(): Entry<FeaturesRecord>[] {
    return this.#store.list('features')
  }

  find(table: string): Entry<FeaturesRecord> | undefined {
    return this.#store.get('features', table)
  }

  /** @throws TABLE_NOT_FOUND */
  get(table: string): Entry<FeaturesRecord> {
    const found = this.find(table)
    if (found !== undefined) return found
    throw new BerthError('TABLE_NOT_FOUND', `Cannot find feature table "${table}": none of this name was uploaded`)
  }

  /** @throws REVISION_CONFLICT when the table is not at the expected revision, 0 for none */
  expect(table: string, expected: Expected): void {
    this.#store.expect('features', table, expected === 0 ? 'absent' : expected)
  }
}
