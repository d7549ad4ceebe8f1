/**
 * Reads one feature table. Each row is kept as JSON text, so that answering a call copies text and parses nothing.
 * A long file is parsed in slices with turns of the event loop between them, so that requests are served in the meantime.
 */
import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parse as parseCsv } from 'csv-parse'
import { digestOf } from '../folder/blob-files.ts'
import { CsvPlaces, csvFault, csvForm, type Delimiter, delimiterOf, recordsBefore } from '../kernel/csv.ts'
import { messageOf } from '../kernel/errors.ts'
import { idAt } from '../kernel/exact-json.ts'
import { limits } from '../kernel/limits.ts'
import type { TableFormat } from '../kernel/table-facts.ts'
import { bomLength, TextDecoding, TextError } from '../kernel/text-file.ts'

export interface FeatureTable {
  /** sha256 of the file, hex. */
  readonly version: string
  /** Rows as JSON text, by key. */
  readonly rows: ReadonlyMap<string, string>
  /** Members that some row has, in the order in which they were met: at most `limits.features.columnsMax`. */
  readonly columns: readonly string[]
  /** Bytes of the file. */
  readonly bytes: number
}

/** A fault in a file, with its line where it is known. */
export class TableError extends Error {
  readonly line: number | undefined

  /** @param whole the message when it names the line already */
  constructor(line: number | undefined, message: string, whole: string = line === undefined ? message : `line ${line}: ${message}`) {
    super(whole)
    this.line = line
  }
}

/**
 * @param beside bytes of the files of all other tables
 * @throws Error when a file of so many bytes is too large, for itself or with the others
 */
export function checkBytes(bytes: number, beside: number): void {
  const { tableBytesMax, bytesMax } = limits.features
  if (bytes > tableBytesMax) throw new Error(`it has ${bytes} bytes, the limit is ${tableBytesMax}`)
  const sum = bytes + beside
  if (sum > bytesMax) throw new Error(`all tables would have ${sum} bytes, the limit is ${bytesMax}`)
}

/** @throws TableError for the first line with a fault */
export async function readTable(bytes: Buffer, format: TableFormat): Promise<FeatureTable> {
  if (!isUtf8(bytes) || bytes.includes(0)) await refuseBytes(bytes)
  const { byKey, columns } = await (format === 'ndjson' ? readNdjson(bytes) : readCsv(bytes, format))
  return { version: await digestOf(bytes), rows: byKey, columns: [...columns], bytes: bytes.length }
}

/** Looks for the fault in slices, since to count the lines before it takes long. @throws TableError */
async function refuseBytes(bytes: Buffer): Promise<void> {
  const decoding = new TextDecoding()
  const turn = new Turn()
  try {
    for (const slice of slices(bytes)) {
      decoding.write(slice)
      await turn.yieldIfDue()
    }
    decoding.end()
  } catch (error) {
    throw error instanceof TextError ? new TableError(error.line, error.message, `${error.message}. ${error.hint}`) : error
  }
}

const SLICE_MS = 4
const SLICE_BYTES = 16 * 1024
const NEWLINE = 10

/** Yields to the event loop every few milliseconds. */
class Turn {
  #ends = performance.now() + SLICE_MS

  /** Yields if the current turn has lasted long enough. */
  async yieldIfDue(): Promise<void> {
    if (performance.now() < this.#ends) return
    await nextTurn()
    this.#ends = performance.now() + SLICE_MS
  }
}

class Rows {
  readonly byKey = new Map<string, string>()
  readonly columns = new Set<string>()

  /** Notes which members a row has. Of rows that are maps from ids, not all members are columns. */
  note(row: object): void {
    if (this.columns.size >= limits.features.columnsMax) return
    for (const name in row) this.columns.add(name)
  }

  /** @returns what is wrong with the row, if it cannot be added */
  add(key: string, text: string): string | undefined {
    if (key === '') return 'its key is empty'
    if (this.byKey.has(key)) return `the key ${JSON.stringify(key)} is there already`
    if (this.byKey.size >= limits.features.rowsMax) return `the table has more than ${limits.features.rowsMax} rows`
    this.byKey.set(key, text)
    return undefined
  }
}

/** The clock is read only once for this many lines. */
const LINES_PER_CHECK = 64

async function readNdjson(bytes: Buffer): Promise<Rows> {
  const rows = new Rows()
  const turn = new Turn()
  let line = 0
  for (let start = bomLength(bytes); start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start)
    const end = newline < 0 ? bytes.length : newline
    line++
    addLine(rows, line, bytes.subarray(start, end))
    start = end + 1
    if (line % LINES_PER_CHECK === 0) await turn.yieldIfDue()
  }
  return rows
}

function addLine(rows: Rows, line: number, bytes: Buffer): void {
  const text = bytes.toString('utf8').trim()
  if (text === '') return
  const row = parseRow(line, text)
  const fault = rows.add(keyOf(line, text, row), text)
  if (fault !== undefined) throw new TableError(line, fault)
  rows.note(row)
}

interface Row {
  readonly key?: unknown
}

function parseRow(line: number, text: string): Row {
  let row: unknown
  try {
    row = JSON.parse(text)
  } catch (error) {
    throw new TableError(line, `it is not JSON: ${messageOf(error)}`)
  }
  if (typeof row !== 'object' || row === null || Array.isArray(row)) throw new TableError(line, 'it is not an object')
  return row
}

function keyOf(line: number, text: string, { key }: Row): string {
  if (typeof key === 'string') return key
  if (typeof key !== 'number') throw new TableError(line, 'its member "key" is not a string or number')
  try {
    return idAt(text, ['key'], key)
  } catch (error) {
    throw new TableError(line, `its member "key" is no key: ${messageOf(error)}`)
  }
}

interface CsvRow {
  readonly record: readonly string[]
}

async function readCsv(bytes: Buffer, format: 'csv' | 'tsv'): Promise<Rows> {
  const text = bytes.subarray(bomLength(bytes))
  const delimiter = delimiterFor(text, format)
  const rows = new Rows()
  const turn = new Turn()
  let header: readonly string[] = []
  let records = 0
  const parser = Readable.from(slices(text)).pipe(parseCsv({ ...csvForm, delimiter }))
  try {
    for await (const { record } of parser as AsyncIterable<CsvRow>) {
      const fault = records === 0 ? headerFault(record) : rows.add(record[0] ?? '', rowText(header, record))
      if (fault !== undefined) throw new Error(fault)
      if (records++ === 0) header = record
      await turn.yieldIfDue()
    }
  } catch (error) {
    const places = new CsvPlaces(recordsBefore(error) ?? records, delimiter)
    for (const slice of slices(text)) {
      places.write(slice.toString('latin1'))
      await turn.yieldIfDue()
    }
    const { line, message } = csvFault(error as Error, places)
    throw new TableError(line, message)
  }
  for (const name of header.slice(0, limits.features.columnsMax)) rows.columns.add(name)
  return rows
}

/** The header is expected in the first bytes; a longer one is read as separated by commas. */
const HEADER_BYTES_MAX = 64 * 1024

function delimiterFor(text: Buffer, format: 'csv' | 'tsv'): Delimiter {
  if (format === 'tsv') return '\t'
  const { delimiter, fault } = delimiterOf(text.toString('latin1', 0, HEADER_BYTES_MAX))
  if (fault !== undefined) throw new TableError(1, fault)
  return delimiter
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) yield bytes.subarray(start, start + SLICE_BYTES)
}

function headerFault(names: readonly string[]): string | undefined {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  return twice === undefined ? undefined : `two columns are named ${JSON.stringify(twice)}`
}

function rowText(header: readonly string[], record: readonly string[]): string {
  return JSON.stringify(Object.fromEntries(header.map((name, index) => [name, record[index]])))
}
