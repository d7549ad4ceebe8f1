/**
 * Carries out changes of feature tables:
 *
 *   file as a blob ─▶ every cell reads it beside what is in force ─▶ commit ─▶ scene table that names it ─▶ cells switch ─▶ answer
 *
 * An error on the way changes nothing. The keeper itself never reads a table.
 */
import { concernsOf, rollbackTarget, versionInForce, withVersion } from '../../change/feature-versions.ts'
import type { FeaturesRecord } from '../../change/records.ts'
import type { TableVersion } from '../../contract/feature-api.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { TableFacts } from '../../kernel/table-facts.ts'
import type { Blobs } from '../../store/blobs.ts'
import type { Entry, Expected } from '../../store/store.ts'
import type { Actor, BaseNote, Book } from '../book/book.ts'
import type { Applied, Cells } from '../cells/cells.ts'
import { fileStateOf } from '../cells/feature-views.ts'
import { stopwatch, type Timings } from './stopwatch.ts'
import type { TablePublisher } from './table-publisher.ts'
import { Turns } from './turns.ts'

export interface FeatureDriverParts {
  readonly book: Book
  readonly blobs: Blobs
  readonly cells: Cells
  readonly tables: TablePublisher
}

export interface TableOptions {
  readonly actor: Actor
  /** The revision that the table must be at. */
  readonly expect?: Expected
  readonly dryRun?: boolean | undefined
}

export interface ChangedTable {
  /** False when everything was so already, and after a dry run. */
  readonly changed: boolean
  /** What was in force before. */
  readonly before: TableFacts | undefined
  /** What is to be in force. */
  readonly after: TableFacts
  readonly concerns: readonly string[]
  readonly timings: Timings
}

type KeptResult = Omit<ChangedTable, 'timings' | 'changed' | 'before'> & { readonly before: TableFacts | null }
type FeatureNote = BaseNote<'put feature table'> | BaseNote<'roll back feature table'>

export class FeatureDriver {
  readonly #parts: FeatureDriverParts
  /** One table is changed at a time, so that a cell reads no two beside those in force. */
  readonly #turns = new Turns()

  constructor(parts: FeatureDriverParts) {
    this.#parts = parts
  }

  /**
   * Brings an uploaded file into force as a table. With `dryRun` the cells only check it.
   * @throws REVISION_CONFLICT, BLOB_NOT_FOUND, FEATURES_INVALID, DATA_DAMAGED, NO_CELLS
   */
  put(table: string, source: Pick<TableVersion, 'digest' | 'format'>, options: TableOptions): Promise<ChangedTable> {
    return this.#change(table, options, async before => {
      const { book, blobs, cells } = this.#parts
      await this.#check(table, source.digest, before)
      const facts = await cells.prepareFeatures({ name: table, ...source })
      // A blob that somebody has asked for of late is kept until the commit names it.
      await blobs.has(source.digest)
      const version = { ...source, ...facts, columns: [...facts.columns], at: book.now().toISOString(), by: options.actor.who }
      const payload = { table, ...source }
      return { next: withVersion(before?.value, version), facts, note: { kind: 'put feature table', payload, facts, target: table } }
    })
  }

  /**
   * Brings a version into force that was in force before.
   * @param to its digest; without it, the one before the newest, also when that is in force already
   * @throws REVISION_CONFLICT, TABLE_NOT_FOUND, FEATURES_INVALID, DATA_DAMAGED, NO_CELLS
   */
  rollBack(table: string, to: string | undefined, options: TableOptions): Promise<ChangedTable> {
    return this.#change(table, options, async () => {
      const { book, cells } = this.#parts
      const { value } = book.features.get(table)
      const { digest, format, rows, bytes, columns } = rollbackTarget(table, value, to)
      const facts = { rows, bytes, columns }
      if (digest !== value.inForce) await cells.prepareFeatures({ name: table, digest, format })
      const next = { ...value, inForce: digest, since: book.now().toISOString(), by: options.actor.who }
      const note = { kind: 'roll back feature table', payload: { table, digest }, facts: {}, target: table } as const
      return { next: digest === value.inForce ? undefined : next, facts, note }
    })
  }

  /**
   * Deletes an uploaded table with all its versions. A file of this name in the folder is read again then.
   * @returns the cells that do not have it any more
   * @throws REVISION_CONFLICT, TABLE_NOT_FOUND
   */
  delete(table: string, { actor, expect }: TableOptions): Promise<Applied> {
    return this.#turns.run('features', async () => {
      const { book, cells, tables } = this.#parts
      if (book.keyed(actor)?.result === undefined) {
        book.features.expect(table, expect)
        const { value, revision } = book.features.get(table)
        const note = {
          kind: 'delete feature table',
          payload: { table },
          facts: {},
          target: table,
          before: audited(value),
          after: null,
        } as const
        book.commit([{ kind: 'features', key: table, value: null, expect: revision }], actor, note)
      }
      await tables.refresh()
      return cells.awaitFeatures(table, undefined)
    })
  }

  #change(
    table: string,
    { actor, expect, dryRun = false }: TableOptions,
    prepare: (before: Entry<FeaturesRecord> | undefined) => Promise<{
      readonly next: FeaturesRecord | undefined
      readonly facts: TableFacts
      readonly note: Omit<FeatureNote, 'before' | 'after'>
    }>,
  ): Promise<ChangedTable> {
    return this.#turns.run('features', async () => {
      const { book } = this.#parts
      const kept = book.keyed(actor)?.result as KeptResult | undefined
      if (kept !== undefined) {
        await this.#apply(table)
        return { ...kept, changed: true, before: kept.before ?? undefined, timings: {} }
      }
      book.features.expect(table, expect)
      const steps = stopwatch()
      const entry = book.features.find(table)
      const file = entry === undefined ? fileStateOf(this.#parts.cells, table) : undefined
      const before = factsOf(entry === undefined ? file : versionInForce(entry.value))
      const { next, facts, note } = await steps('prepareMs', () => prepare(entry))
      const concerns = [...concernsOfFile(file), ...concernsOf(before, facts)]
      if (next === undefined || dryRun) {
        return { changed: false, before, after: facts, concerns: next === undefined ? [] : concerns, timings: steps.timings }
      }
      const write = { kind: 'features', key: table, value: next, expect: entry?.revision ?? 'absent' } as const
      const change = { ...note, before: entry === undefined ? null : audited(entry.value), after: audited(next) } as FeatureNote
      await steps('commitMs', async () =>
        book.commit([write], actor, change, () => ({ concerns, before: before ?? null, after: facts }) satisfies KeptResult),
      )
      await steps('applyMs', () => this.#apply(table))
      return { changed: true, before, after: facts, concerns, timings: steps.timings }
    })
  }

  async #apply(table: string): Promise<void> {
    const { book, cells, tables } = this.#parts
    await tables.refresh()
    await cells.awaitFeatures(table, book.features.find(table)?.value.inForce)
  }

  /** @throws BLOB_NOT_FOUND, FEATURES_INVALID */
  async #check(table: string, digest: string, before: Entry<FeaturesRecord> | undefined): Promise<void> {
    const { book, blobs } = this.#parts
    const action = `Cannot use the file as feature table "${table}"`
    const size = await blobs.size(digest)
    if (size === undefined) throw new BerthError('BLOB_NOT_FOUND', `${action}: blob ${digest} was not uploaded`)
    const { tableBytesMax, uploadedMax } = limits.features
    if (size > tableBytesMax) throw new BerthError('FEATURES_INVALID', `${action}: it has ${size} bytes, the limit is ${tableBytesMax}`)
    if (before !== undefined || book.features.list().length < uploadedMax) return
    throw new BerthError(
      'FEATURES_INVALID',
      `${action}: ${uploadedMax} tables are uploaded, which is the limit; delete one that nobody reads`,
    )
  }
}

/** A file in the folder is not read any more once a table of its name is uploaded. */
const concernsOfFile = (file: ReturnType<typeof fileStateOf>): string[] =>
  file === undefined ? [] : [`goes before the file ${file.file} in the folder "features" of the data folder, which is not read any more`]

const factsOf = (table: TableFacts | undefined): TableFacts | undefined =>
  table && { rows: table.rows, bytes: table.bytes, columns: table.columns }

/** The table as the audit log keeps it. */
function audited(record: FeaturesRecord): Omit<TableVersion, 'by' | 'at'> {
  const { at: _, by: __, ...version } = versionInForce(record)
  return version
}
