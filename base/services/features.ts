/**
 * The service that ships with the base: read-only tables with a key, from files in the folder `features` of the data folder.
 *
 * `<table>.ndjson` (or `.jsonl`) has one JSON object a line, whose member `key` is the key of the row; `<table>.csv` (or `.tsv`) has a header, and
 * its first column is the key. Every row is returned whole; all values of a CSV row are strings. A file is read when it appears, and again whenever
 * it is replaced or written to. One call sees one state of its table. A broken file changes nothing: the rows that were read before stay. Each
 * entry of the folder is on its own: whatever is wrong with one, the others are read.
 */
import type { BigIntStats } from 'node:fs'
import { lstat, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as nap } from 'node:timers/promises'
import Type from 'typebox'
import { featuresPath } from '../folder/paths.ts'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { mayBeRounded, roundedKey } from '../kernel/exact-json.ts'
import { limits } from '../kernel/limits.ts'
import { checkKind, readFileBytes, unreadable } from '../kernel/text-file.ts'
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
    faults: () => tables.broken(),
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
  /** Changes when the file is replaced or written to, or when what is wrong with it changes. */
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
  /** Names of entries that are no tables, so that each is logged only once. */
  #ignored: ReadonlySet<string> = new Set()

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

  /** The names of tables whose present files cannot be read. */
  *broken(): Iterable<string> {
    for (const [name, { fault }] of this.#known) if (fault !== undefined) yield name
  }

  #require(name: string): FeatureTable {
    const known = this.#known.get(name)
    if (known?.table !== undefined) return known.table
    const action = `Cannot read feature table "${name.slice(0, 100)}"`
    if (known !== undefined) throw new BerthError('FEATURES_BROKEN', `${action}: ${known.file}: ${known.fault}`)
    const names = [...this.#known.keys()].sort().slice(0, 20)
    const ignored = [...this.#ignored].find(file => file === name || file.startsWith(`${name}.`))
    const other = ignored === undefined ? '' : `; "${ignored}" is no table: ${WHAT_IS_A_TABLE}`
    throw new BerthError(
      'FEATURES_NOT_FOUND',
      `${action}: ${names.length === 0 ? 'there are none' : `there are ${names.join(', ')}`}${other}`,
    )
  }

  async #look(): Promise<void> {
    const entries = await namesIn(this.#folder)
    this.#notice(entries.filter(entry => !FILE.test(entry)))
    const files = await listTables(this.#folder, entries)
    for (const name of this.#known.keys()) if (!files.some(file => file.name === name)) this.#forget(name)
    for (const file of files) if (this.#known.get(file.name)?.stamp !== file.stamp) await this.#read(file)
    this.#complaint = ''
  }

  #notice(ignored: readonly string[]): void {
    for (const file of ignored) {
      if (!this.#ignored.has(file)) this.#log('warn', `"${file.slice(0, 200)}" is no feature table: ${WHAT_IS_A_TABLE}`, { file })
    }
    this.#ignored = new Set(ignored)
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
      const bytes = await readFileBytes(path, limits.features.tableBytesMax)
      // Somebody is writing to the file, so what was read may be half of it. The next look finds another stamp and reads it again.
      if ((await look(path))?.stamp !== file.stamp) return this.#noteUnfinished(file)
      const table = await readTable(bytes, file.format)
      this.#known.set(file.name, { ...file, table, fault: undefined })
      const ms = Math.round(performance.now() - startedAt)
      this.#log('info', 'feature table read', { table: file.name, rows: table.rows.size, version: table.version, ms })
    } catch (error) {
      const fault = error instanceof TableError ? error.message : inWords(error)
      this.#known.set(file.name, { ...file, table: before?.table, fault })
      const line = error instanceof TableError ? error.line : undefined
      const kept = before?.table?.version
      this.#log('error', `feature table cannot be read: ${fault}`, { table: file.name, file: file.file, line, keeps: kept })
    }
  }

  /** A table that was never read is known as broken until the file is complete, so that calls say why there are no rows. */
  #noteUnfinished(file: TableFile): void {
    const fault = 'somebody is writing to it; it is read when it is complete'
    if (this.#known.get(file.name)?.table === undefined) this.#known.set(file.name, { file: file.file, stamp: '', table: undefined, fault })
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

const FILE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,99})\.(ndjson|jsonl|csv|tsv)$/i
const FORMATS: Readonly<Record<string, TableFormat>> = { ndjson: 'ndjson', jsonl: 'ndjson', csv: 'csv', tsv: 'tsv' }
const WHAT_IS_A_TABLE = 'its name must end with .ndjson, .jsonl, .csv or .tsv, and have only letters, digits and . _ - before that'

/** The files of the tables, one for each name. Never rejects because of what an entry is. */
async function listTables(folder: string, entries: readonly string[]): Promise<TableFile[]> {
  const found = entries.map(async file => {
    const [, name, ending = ''] = FILE.exec(file) ?? []
    const state = name === undefined ? undefined : await look(join(folder, file))
    const format = FORMATS[ending.toLowerCase()]
    return name === undefined || format === undefined || state === undefined ? [] : [{ name, file, format, ...state }]
  })
  const byName = Map.groupBy((await Promise.all(found)).flat(), ({ name }) => name)
  return [...byName.values()].flatMap(([first, second]) => {
    if (first === undefined || second === undefined) return first ?? []
    return { ...first, stamp: `${first.stamp} ${second.stamp}`, fault: `there is also "${second.file}"; a table has one file` }
  })
}

/** The entries of the folder that are in place, in order; those that are not have names that begin with a dot. None when there is no folder. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter(name => !name.startsWith('.')).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

type FileState = Pick<TableFile, 'stamp' | 'bytes' | 'fault'>

/** Undefined when the file has been removed since it was listed. */
async function look(path: string): Promise<FileState | undefined> {
  try {
    return stateOf(path, await stat(path, { bigint: true }))
  } catch (error) {
    if (!isMissing(error)) return broken(inWords(error))
    const isLink = await lstat(path).then(
      () => true,
      () => false,
    )
    return isLink ? broken('it is a link to a file that is not there') : undefined
  }
}

/** The change time is part of the stamp because a copy may have the size and the time of the file that it replaces. */
function stateOf(path: string, stats: BigIntStats): FileState {
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  const bytes = Number(size)
  try {
    checkKind(path, stats)
  } catch (error) {
    return broken(inWords(error))
  }
  return { stamp: `${dev}-${ino}-${size}-${mtimeNs}-${ctimeNs}`, bytes, fault: undefined }
}

const broken = (fault: string): FileState => ({ stamp: fault, bytes: 0, fault })

function inWords(error: unknown): string {
  const { message, hint } = unreadable(error)
  return hint === '' ? message : `${message}. ${hint}`
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'
