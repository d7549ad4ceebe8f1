/**
 * The service that ships with the base: read-only tables with a key, from files in the folder `features` of the data folder.
 *
 * `<table>.ndjson` has one JSON object a line, whose member `key` is the key of the row; `<table>.csv` has a header, and its first column is
 * the key. Every row is returned whole; all values of a CSV row are strings. A file is read when it appears, and again whenever it is replaced. One
 * call sees one state of its table. A broken file changes nothing: the rows that were read before stay.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as nap } from 'node:timers/promises'
import Type from 'typebox'
import { featuresPath } from '../folder/paths.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { mayBeRounded, roundedKey } from '../kernel/exact-json.ts'
import { limits } from '../kernel/limits.ts'
import { defineService, Json, method, type ServiceEnv } from './contract.ts'
import { type FeatureTable, readTable, TableError, type TableFormat } from './feature-table.ts'

const TableName = Type.String({ description: 'name of the file, without its ending' })
const Key = Type.Union([Type.String(), Type.Number()])

export const features = defineService(async (_options, env) => {
  const tables = new Tables(featuresPath(env.data), env.log)
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
    stop: () => clearInterval(looking),
  }
})

/** Joins the JSON texts of the rows; nothing is parsed. */
function manyOf(rows: ReadonlyMap<string, string>, keys: readonly (string | number)[]): string {
  return `[${keys.map(key => rows.get(textOf(key)) ?? 'null').join(',')}]`
}

/** @throws SERVICE_INPUT_INVALID for a number that may be a rounded id */
function textOf(key: string | number): string {
  if (typeof key === 'string' || !mayBeRounded(key)) return String(key)
  throw new BerthError('SERVICE_INPUT_INVALID', `Cannot look up a feature row: ${roundedKey(key)}`)
}

interface TableFile {
  readonly name: string
  readonly file: string
  readonly format: TableFormat
  /** Changes when the file is replaced or written to. */
  readonly stamp: string
  readonly bytes: number
  /** What is wrong with the file, as far as that can be said without reading it. */
  readonly fault: string | undefined
}

/** The state of a table. */
interface Known {
  readonly file: string
  readonly stamp: string
  /** The table as it was last read without a fault. */
  readonly table: FeatureTable | undefined
  /** Why the present file could not be read. */
  readonly fault: string | undefined
}

class Tables {
  readonly #folder: string
  readonly #log: ServiceEnv['log']
  readonly #known = new Map<string, Known>()
  #looking: Promise<void> | undefined
  /** What was wrong with the folder at the last look, so that it is logged only once. */
  #complaint = ''

  constructor(folder: string, log: ServiceEnv['log']) {
    this.#folder = folder
    this.#log = log
  }

  /**
   * Answers from a table. When the table is not known, the folder is looked at first, because the file may just have been added.
   * @throws FEATURES_NOT_FOUND, FEATURES_BROKEN
   */
  use<T>(name: string, answer: (table: FeatureTable) => T): T | Promise<T> {
    const table = this.#known.get(name)?.table
    return table === undefined ? this.look().then(() => answer(this.#require(name))) : answer(table)
  }

  /** Reads the files in the folder that are new or have changed. Never rejects; a call during a look waits for that look. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#complain(messageOf(error)))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  #require(name: string): FeatureTable {
    const known = this.#known.get(name)
    if (known?.table !== undefined) return known.table
    const action = `Cannot read feature table "${name.slice(0, 100)}"`
    if (known !== undefined) throw new BerthError('FEATURES_BROKEN', `${action}: ${known.file}: ${known.fault}`)
    const names = [...this.#known.keys()].sort().slice(0, 20)
    throw new BerthError('FEATURES_NOT_FOUND', `${action}: ${names.length === 0 ? 'there are none' : `there are ${names.join(', ')}`}`)
  }

  async #look(): Promise<void> {
    const files = await listTables(this.#folder)
    for (const name of this.#known.keys()) if (!files.some(file => file.name === name)) this.#forget(name)
    for (const file of files) if (this.#known.get(file.name)?.stamp !== file.stamp) await this.#read(file)
    this.#complaint = ''
  }

  #forget(name: string): void {
    this.#known.delete(name)
    this.#log('warn', 'feature table is gone', { table: name })
  }

  async #read(file: TableFile): Promise<void> {
    const before = this.#known.get(file.name)
    const startedAt = performance.now()
    try {
      this.#check(file)
      const path = join(this.#folder, file.file)
      const bytes = await readFile(path)
      // Somebody is writing to the file, so what was read may be half of it. The next look finds another stamp and reads it again.
      if ((await look(path))?.stamp !== file.stamp) return
      const table = await readTable(bytes, file.format)
      this.#known.set(file.name, { ...file, table, fault: undefined })
      const ms = Math.round(performance.now() - startedAt)
      this.#log('info', 'feature table read', { table: file.name, rows: table.rows.size, version: table.version, ms })
    } catch (error) {
      const fault = messageOf(error)
      this.#known.set(file.name, { ...file, table: before?.table, fault })
      const line = error instanceof TableError ? error.line : undefined
      const kept = before?.table?.version
      this.#log('error', `feature table cannot be read: ${fault}`, { table: file.name, file: file.file, line, keeps: kept })
    }
  }

  #check({ name, bytes, fault }: TableFile): void {
    if (fault !== undefined) throw new Error(fault)
    if (bytes > limits.features.tableBytesMax) throw new Error(`it has ${bytes} bytes, the limit is ${limits.features.tableBytesMax}`)
    let sum = bytes
    for (const [other, { table }] of this.#known) if (other !== name) sum += table?.bytes ?? 0
    if (sum > limits.features.bytesMax) throw new Error(`all tables would have ${sum} bytes, the limit is ${limits.features.bytesMax}`)
  }

  #complain(complaint: string): void {
    if (complaint !== this.#complaint) this.#log('error', `feature tables stay as they are: ${complaint}`)
    this.#complaint = complaint
  }
}

const FILE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,99})\.(ndjson|csv)$/

/** The files of the tables, one for each name; none when there is no folder. */
async function listTables(folder: string): Promise<TableFile[]> {
  const found = (await namesIn(folder)).map(async file => {
    const [, name, format] = FILE.exec(file) ?? []
    const state = name === undefined ? undefined : await look(join(folder, file))
    return name === undefined || state === undefined ? [] : [{ name, file, format: format as TableFormat, ...state, fault: undefined }]
  })
  const byName = Map.groupBy((await Promise.all(found)).flat(), ({ name }) => name)
  return [...byName.values()].flatMap(([first, second]) => {
    if (first === undefined || second === undefined) return first ?? []
    return { ...first, stamp: `${first.stamp} ${second.stamp}`, fault: `there is also "${second.file}"; a table has one file` }
  })
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** Undefined when the file has been removed since it was listed. */
async function look(path: string): Promise<Pick<TableFile, 'stamp' | 'bytes'> | undefined> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true })
    return { stamp: `${ino}-${size}-${mtimeNs}`, bytes: Number(size) }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'
