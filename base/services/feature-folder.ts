/**
 * Feature tables from files that somebody puts into the folder `features` of the data folder. A file is read when it appears, and again whenever it
 * is replaced or written to. A broken file changes nothing: the rows that were read before stay. Each entry of the folder is on its own: whatever
 * is wrong with one, the others are read.
 */
import type { BigIntStats } from 'node:fs'
import { lstat, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { type TableFormat, tableOfFile, WHAT_IS_A_TABLE } from '../kernel/table-facts.ts'
import { checkKind, readFileBytes, unreadable } from '../kernel/text-file.ts'
import type { ServiceEnv } from './contract.ts'
import { checkBytes, type FeatureTable, readTable, TableError } from './feature-table.ts'

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
export interface FolderTable {
  /** Name of its file. */
  readonly file: string
  readonly stamp: string
  /** The table as it was last read without a fault. */
  readonly table: FeatureTable | undefined
  /** Why the present file could not be read. */
  readonly fault: string | undefined
}

/** What tables of the folder have to know of all others. */
export interface TablesBeside {
  /** Whether a table of this name was uploaded. It goes before the file, which is not read then. */
  isUploaded(name: string): boolean
  /** Bytes of the files of all other tables that the process holds. */
  bytesBeside(name: string): number
  /** Called when the state of some table has changed. */
  onChange(): void
}

export class FolderTables {
  readonly #folder: string
  readonly #log: ServiceEnv['log']
  readonly #beside: TablesBeside
  readonly #known = new Map<string, FolderTable>()
  #looking: Promise<void> | undefined
  /** What was wrong with the folder at the last look, so that it is logged only once. */
  #complaint = ''
  /** Names of entries that are no tables, so that each is logged only once. */
  #ignored: ReadonlySet<string> = new Set()
  /** Files that are not read because a table of their name was uploaded, by the name of the table. */
  #unread: ReadonlyMap<string, string> = new Map()

  constructor(folder: string, log: ServiceEnv['log'], beside: TablesBeside) {
    this.#folder = folder
    this.#log = log
    this.#beside = beside
  }

  /** The tables of which there is a file that is read, by name. */
  get known(): ReadonlyMap<string, FolderTable> {
    return this.#known
  }

  /** The file that is not read because a table of this name was uploaded. */
  unread(name: string): string | undefined {
    return this.#unread.get(name)
  }

  /** An entry of the folder that has this name, or this name with an ending, and is no table. */
  ignored(name: string): string | undefined {
    return [...this.#ignored].find(file => file === name || file.startsWith(`${name}.`))
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

  async #look(): Promise<void> {
    const entries = await namesIn(this.#folder)
    this.#notice(entries.filter(entry => tableOfFile(entry) === undefined))
    const found = await listTables(this.#folder, entries)
    const files = found.filter(({ name }) => !this.#beside.isUploaded(name))
    this.#pass(found.filter(({ name }) => this.#beside.isUploaded(name)))
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

  #pass(files: readonly TableFile[]): void {
    const unread = new Map(files.map(({ name, file }) => [name, file]))
    const isNew = [...unread].some(([name, file]) => this.#unread.get(name) !== file)
    for (const [name, file] of unread) {
      if (this.#unread.get(name) === file) continue
      this.#log('warn', 'the file of a feature table is not read: a table of this name was uploaded', { table: name, file })
    }
    const hasChanged = isNew || unread.size !== this.#unread.size
    this.#unread = unread
    if (hasChanged) this.#beside.onChange()
  }

  #forget(name: string): void {
    this.#known.delete(name)
    if (!this.#beside.isUploaded(name)) this.#log('warn', 'feature table is gone', { table: name })
    this.#beside.onChange()
  }

  #set(name: string, state: FolderTable): void {
    this.#known.set(name, state)
    this.#beside.onChange()
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
      this.#set(file.name, { ...file, table, fault: undefined })
      const ms = Math.round(performance.now() - startedAt)
      this.#log('info', 'feature table read', { table: file.name, rows: table.rows.size, version: table.version, ms })
    } catch (error) {
      const fault = error instanceof TableError ? error.message : inWords(error)
      this.#set(file.name, { ...file, table: before?.table, fault })
      const line = error instanceof TableError ? error.line : undefined
      const kept = before?.table?.version
      this.#log('error', `feature table cannot be read: ${fault}`, { table: file.name, file: file.file, line, keeps: kept })
    }
  }

  /** A table that was never read is known as broken until the file is complete, so that calls say why there are no rows. */
  #noteUnfinished(file: TableFile): void {
    const fault = 'somebody is writing to it; it is read when it is complete'
    if (this.#known.get(file.name)?.table === undefined) this.#set(file.name, { file: file.file, stamp: '', table: undefined, fault })
  }

  #check({ name, bytes, fault }: TableFile): void {
    if (fault !== undefined) throw new Error(fault)
    checkBytes(bytes, this.#beside.bytesBeside(name))
  }

  #complain(complaint: string): void {
    if (complaint !== this.#complaint) this.#log('error', `feature tables stay as they are: ${complaint}`)
    this.#complaint = complaint
  }
}

/** The files of the tables, one for each name. Never rejects because of what an entry is. */
async function listTables(folder: string, entries: readonly string[]): Promise<TableFile[]> {
  const found = entries.map(async file => {
    const table = tableOfFile(file)
    const state = table && (await look(join(folder, file)))
    return table === undefined || state === undefined ? [] : [{ ...table, file, ...state }]
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

/** What is wrong with a file, and what to do, in words. */
export function inWords(error: unknown): string {
  const { message, hint } = unreadable(error)
  return hint === '' ? message : `${message}. ${hint}`
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'
