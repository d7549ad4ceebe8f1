/**
 * The service that ships with the base: read-only tables with a key. They come from uploads, and from files in the folder `features` of the data
 * folder. `<table>.ndjson` (or `.jsonl`) has one JSON object a line, whose member `key` is the key of the row; `<table>.csv` (or `.tsv`) has a header, and
 * its first column is the key. Every row is returned whole; all values of a CSV row are strings. One call sees one state of its table. An uploaded
 * table goes before a file of its name.
 */
import { setTimeout as nap } from 'node:timers/promises'
import Type from 'typebox'
import { featuresPath } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { mayBeRounded, roundedKey } from '../kernel/exact-json.ts'
import { limits } from '../kernel/limits.ts'
import { type TableFacts, type TableSource, type TableState, WHAT_IS_A_TABLE } from '../kernel/table-facts.ts'
import { Json, method, type RunningService, type ServiceEnv } from './contract.ts'
import { FolderTables } from './feature-folder.ts'
import type { FeatureTable } from './feature-table.ts'
import { UploadedTables } from './uploaded-tables.ts'

const TableName = Type.String({ description: 'name of the table: that of its file, without the ending' })
const Key = Type.Union([Type.String(), Type.Number()])

/** Starts the service on these tables. */
export async function startFeatures(tables: FeatureTables): Promise<RunningService> {
  await Promise.race([tables.look(), nap(limits.features.startMsMax, undefined, { ref: false })])
  const looking = setInterval(() => tables.look(), limits.features.lookMs)
  return {
    methods: {
      get: method(Type.Tuple([TableName, Key]), ([name, key]) => tables.use(name, ({ rows }) => new Json(rows.get(textOf(key)) ?? 'null'))),
      getMany: method(Type.Tuple([TableName, Type.Array(Key, { maxItems: limits.features.keysMax })]), ([name, keys]) =>
        tables.use(name, ({ rows }) => new Json(manyOf(rows, keys))),
      ),
      version: method(Type.Tuple([TableName]), ([name]) => tables.use(name, table => table.version)),
    },
    faults: () => tables.broken(),
    stop: () => clearInterval(looking),
  }
}

/** Joins the JSON texts of the rows; nothing is parsed. */
function manyOf(rows: ReadonlyMap<string, string>, keys: readonly (string | number)[]): string {
  return `[${keys.map(key => rows.get(textOf(key)) ?? 'null').join(',')}]`
}

/** @throws SERVICE_INPUT_INVALID for a number that may be a rounded id */
function textOf(key: string | number): string {
  if (typeof key === 'string' || !mayBeRounded(key)) return String(key)
  throw new BerthError('SERVICE_INPUT_INVALID', `Cannot look up a feature row: ${roundedKey(key)}`)
}

/** All feature tables of a cell. */
export class FeatureTables {
  readonly #folder: FolderTables
  readonly #uploads: UploadedTables

  /** @param onChange is called when the state of some table has changed */
  constructor(data: string, log: ServiceEnv['log'], onChange: () => void) {
    const bytesBeside = (name: string) => this.#bytesBeside(name)
    this.#uploads = new UploadedTables(data, log, { bytesBeside, onChange, inForce: name => this.#inForce(name) })
    const isUploaded = (name: string) => this.#uploads.known.has(name)
    this.#folder = new FolderTables(featuresPath(data), log, { bytesBeside, onChange, isUploaded })
  }

  /**
   * Answers from a table. When the table is not known, the folder is looked at first, because the file may just have been added.
   * @throws FEATURES_NOT_FOUND, FEATURES_BROKEN
   */
  use<T>(name: string, answer: (table: FeatureTable) => T): T | Promise<T> {
    const table = this.#inForce(name)
    return table === undefined ? this.#await().then(() => answer(this.#require(name))) : answer(table)
  }

  /** Looks for changes in the folder. Never rejects. */
  look(): Promise<void> {
    return this.#folder.look()
  }

  /**
   * Reads an uploaded table beside what is in force, for a scene table that is to name it.
   * @throws Error saying what is wrong with it, with the line
   */
  async prepare(source: TableSource): Promise<TableFacts> {
    return factsOf(await this.#uploads.prepare(source))
  }

  /** Takes the uploaded tables that a scene table names. Those that are read already are in force when this returns. */
  take(sources: readonly TableSource[]): void {
    this.#uploads.take(sources)
  }

  /** Resolves when the uploaded tables are read, or cannot be read. */
  get settled(): Promise<void> {
    return this.#uploads.settled
  }

  /** The names of tables that are not as they should be. */
  *broken(): Iterable<string> {
    for (const { name, fault } of this.states()) if (fault !== null) yield name
  }

  /** Every table. */
  states(): TableState[] {
    const uploaded = [...this.#uploads.known].map(([name, { table, fault }]) =>
      stateOf(name, table, fault, null, this.#folder.unread(name)),
    )
    const files = [...this.#folder.known].filter(([name]) => !this.#uploads.known.has(name))
    return [...uploaded, ...files.map(([name, { table, fault, file }]) => stateOf(name, table, fault, file))]
  }

  /**
   * JSON of an object with the version of a table and rows of it: those of the keys, null where there is none; or without keys, the first ones.
   * @throws FEATURES_NOT_FOUND, FEATURES_BROKEN; SERVICE_RESULT_TOO_LARGE
   */
  async rowsOf(name: string, keys: readonly string[] | undefined): Promise<string> {
    return this.use(name, ({ version, rows }) => {
      const list = keys === undefined ? `[${rows.values().take(FIRST_ROWS).toArray().join(',')}]` : manyOf(rows, keys)
      const { resultCharsMax } = limits.services
      if (list.length <= resultCharsMax) return `{"version":"${version}","rows":${list}}`
      const message = `Cannot show rows of feature table "${name}": they have ${list.length} characters, the limit is ${resultCharsMax}`
      throw new BerthError('SERVICE_RESULT_TOO_LARGE', message)
    })
  }

  #inForce(name: string): FeatureTable | undefined {
    const uploaded = this.#uploads.known.get(name)
    return uploaded === undefined ? this.#folder.known.get(name)?.table : uploaded.table
  }

  async #await(): Promise<void> {
    await Promise.all([this.#uploads.settled, this.#folder.look()])
  }

  #require(name: string): FeatureTable {
    const table = this.#inForce(name)
    if (table !== undefined) return table
    const action = `Cannot read feature table "${name.slice(0, 100)}"`
    const fault = this.#uploads.known.get(name)?.fault
    if (fault !== undefined) throw new BerthError('FEATURES_BROKEN', `${action}: the uploaded file: ${fault}`)
    const inFolder = this.#folder.known.get(name)
    if (inFolder !== undefined) throw new BerthError('FEATURES_BROKEN', `${action}: ${inFolder.file}: ${inFolder.fault}`)
    const names = [...this.#uploads.known.keys(), ...this.#folder.known.keys()].sort().slice(0, 20)
    const ignored = this.#folder.ignored(name)
    const other = ignored === undefined ? '' : `; "${ignored}" is no table: ${WHAT_IS_A_TABLE}`
    const found = names.length === 0 ? 'there are none' : `there are ${names.join(', ')}`
    throw new BerthError('FEATURES_NOT_FOUND', `${action}: ${found}${other}`)
  }

  #bytesBeside(name: string): number {
    let sum = 0
    for (const state of this.states()) if (state.name !== name) sum += state.bytes
    return sum
  }
}

/** Rows that are shown when no keys are asked for. */
const FIRST_ROWS = 5

const factsOf = (table: FeatureTable | undefined): TableFacts => ({
  rows: table?.rows.size ?? 0,
  bytes: table?.bytes ?? 0,
  columns: table?.columns ?? [],
})

function stateOf(
  name: string,
  table: FeatureTable | undefined,
  fault: string | undefined,
  file: string | null,
  unread?: string,
): TableState {
  return { name, ...factsOf(table), version: table?.version ?? null, file, fault: fault ?? null, unread: unread ?? null }
}
