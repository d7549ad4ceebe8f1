/**
 * Feature tables that were uploaded to the base. The scene table names them by their digests. A cell reads such a table while the one before still
 * answers, and puts it in force with the scene table that names it.
 */
import { readBlob } from '../folder/blob-files.ts'
import { messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { TableSource } from '../kernel/table-facts.ts'
import type { ServiceEnv } from './contract.ts'
import type { TablesBeside } from './feature-folder.ts'
import { checkBytes, type FeatureTable, readTable } from './feature-table.ts'

/** The state of an uploaded table. */
export interface UploadedTable {
  readonly source: TableSource
  /** What answers: the table of `source`, or while that is being read or cannot be read, the one before. */
  readonly table: FeatureTable | undefined
  /** Why the table of `source` is not there. */
  readonly fault: string | undefined
}

const BEING_READ = 'it is being read'

/** What uploaded tables have to know of all others. */
type Beside = Omit<TablesBeside, 'isUploaded'> & {
  /** The table of this name that answers at present, wherever it comes from. */
  inForce(name: string): FeatureTable | undefined
}

export class UploadedTables {
  readonly #data: string
  readonly #log: ServiceEnv['log']
  readonly #beside: Beside
  readonly #known = new Map<string, UploadedTable>()
  /** A table that is read and not yet in force. There is one at most, because the keeper changes one table at a time. */
  #prepared: { readonly source: TableSource; readonly table: FeatureTable; readonly ends: NodeJS.Timeout } | undefined
  #reading: Promise<void> = Promise.resolve()
  #hasTaken = false

  constructor(data: string, log: ServiceEnv['log'], beside: Beside) {
    this.#data = data
    this.#log = log
    this.#beside = beside
  }

  /** The tables that the last scene table names, by name. */
  get known(): ReadonlyMap<string, UploadedTable> {
    return this.#known
  }

  /** Resolves when every table that was named so far is read, or cannot be read. */
  get settled(): Promise<void> {
    return this.#reading
  }

  /**
   * Reads a table beside the one in force, and keeps it for a while until a scene table names it.
   * @throws TableError for the first line with a fault; any other error when it is too large or its blob cannot be read
   */
  async prepare(source: TableSource): Promise<FeatureTable> {
    const { name } = source
    const known = this.#known.get(name)
    if (known?.fault === undefined && known?.table !== undefined && isSame(known.source, source)) return known.table
    const before = this.#preparedOf(source)
    // What was read for another change is let go before the next is read: there need be no room for both.
    this.#forgetPrepared()
    const table = before ?? (await this.#read(source))
    this.#forgetPrepared()
    this.#prepared = { source, table, ends: setTimeout(() => this.#forgetPrepared(), limits.features.preparedMsMax).unref() }
    // The table in force could not be read before, as it can be now: its blob was uploaded again.
    if (known !== undefined && isSame(known.source, source)) this.#settle({ source, table, fault: undefined })
    return table
  }

  /**
   * Takes the tables that a scene table names. Those that are read already are in force when this returns. The others are read one after the other, and
   * until then the tables before them answer. With the first scene table nothing was in force before: a file of the same name in the folder has not
   * been what answers, perhaps for long.
   */
  take(sources: readonly TableSource[]): void {
    const named = new Set(sources.map(({ name }) => name))
    for (const name of this.#known.keys()) if (!named.has(name)) this.#forget(name)
    for (const source of sources) this.#takeOne(source)
    this.#hasTaken = true
  }

  #takeOne(source: TableSource): void {
    const known = this.#known.get(source.name)
    if (known !== undefined && isSame(known.source, source) && (known.fault === undefined || known.fault === BEING_READ)) return
    const prepared = this.#preparedOf(source)
    if (prepared !== undefined) {
      this.#forgetPrepared()
      this.#settle({ source, table: prepared, fault: undefined })
      return
    }
    const table = this.#hasTaken ? this.#beside.inForce(source.name) : undefined
    this.#set({ source, table, fault: BEING_READ })
    this.#reading = this.#reading.then(() => this.#readNamed(source))
  }

  /** Reads a table that a scene table has named, unless another has taken its place meanwhile. Never rejects. */
  async #readNamed(source: TableSource): Promise<void> {
    const isNamed = () => this.#known.get(source.name)?.source === source
    if (!isNamed()) return
    try {
      const table = await this.#read(source)
      if (isNamed()) this.#settle({ source, table, fault: undefined })
    } catch (error) {
      const fault = messageOf(error)
      const table = this.#known.get(source.name)?.table
      if (!isNamed()) return
      this.#set({ source, table, fault })
      const details = { table: source.name, version: source.digest, keeps: table?.version }
      this.#log('error', `uploaded feature table cannot be read: ${fault}`, details)
    }
  }

  async #read({ name, format, digest }: TableSource): Promise<FeatureTable> {
    const bytes = await readBlob(this.#data, digest)
    checkBytes(bytes.length, this.#beside.bytesBeside(name))
    return readTable(bytes, format)
  }

  #preparedOf(source: TableSource): FeatureTable | undefined {
    return this.#prepared !== undefined && isSame(this.#prepared.source, source) ? this.#prepared.table : undefined
  }

  #forgetPrepared(): void {
    clearTimeout(this.#prepared?.ends)
    this.#prepared = undefined
  }

  #settle(state: UploadedTable): void {
    this.#set(state)
    const { source, table } = state
    this.#log('info', 'uploaded feature table in force', { table: source.name, rows: table?.rows.size, version: source.digest })
  }

  #set(state: UploadedTable): void {
    this.#known.set(state.source.name, state)
    this.#beside.onChange()
  }

  #forget(name: string): void {
    this.#known.delete(name)
    this.#log('info', 'uploaded feature table is deleted', { table: name })
    this.#beside.onChange()
  }
}

const isSame = (a: TableSource, b: TableSource): boolean => a.name === b.name && a.digest === b.digest && a.format === b.format
