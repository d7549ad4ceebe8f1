/**
 * Reads one feature table. Each row is kept as JSON text, so that answering a call copies text and parses nothing.
 * A long file is parsed in slices with turns of the event loop between them, so that requests are served in the meantime.
 */
import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parse as parseCsv } from 'csv-parse'
import { digestOf } from '../folder/blob-files.ts'
import { messageOf } from '../kernel/errors.ts'
import { idAt } from '../kernel/exact-json.ts'
import { limits } from '../kernel/limits.ts'

export type TableFormat = 'ndjson' | 'csv'

export interface FeatureTable {
  /** sha256 of the file, hex. */
  readonly version: string
  /** Rows as JSON text, by key. */
  readonly rows: ReadonlyMap<string, string>
  /** Bytes of the file. */
  readonly bytes: number
}

/** A fault in a file, with its line where it is known. */
export class TableError extends Error {
  readonly line: number | undefined

  constructor(line: number | undefined, message: string) {
    super(line === undefined ? message : `line ${line}: ${message}`)
    this.line = line
  }
}

/** @throws TableError for the first line with a fault */
export async function readTable(bytes: Buffer, format: TableFormat): Promise<FeatureTable> {
  const rows = await (format === 'csv' ? readCsv(bytes) : readNdjson(bytes))
  return { version: await digestOf(bytes), rows, bytes: bytes.length }
}

const SLICE_MS = 4
const CSV_SLICE_BYTES = 16 * 1024
const NEWLINE = 10
const BOM = Buffer.from('\ufeff')

/** Collects rows, and yields to the event loop every few milliseconds. */
class Rows {
  readonly byKey = new Map<string, string>()
  #sliceEnds = performance.now() + SLICE_MS

  add(line: number, key: string, text: string): void {
    if (this.byKey.has(key)) throw new TableError(line, `the key ${JSON.stringify(key)} is there already`)
    if (this.byKey.size >= limits.features.rowsMax) throw new TableError(line, `the table has more than ${limits.features.rowsMax} rows`)
    this.byKey.set(key, text)
  }

  /** Yields to the event loop if the current slice has lasted long enough. */
  async yieldIfDue(): Promise<void> {
    if (performance.now() < this.#sliceEnds) return
    await nextTurn()
    this.#sliceEnds = performance.now() + SLICE_MS
  }
}

/** The clock is read only once for this many lines. */
const LINES_PER_CHECK = 64

async function readNdjson(bytes: Buffer): Promise<ReadonlyMap<string, string>> {
  const rows = new Rows()
  let line = 0
  for (let start = bytes.indexOf(BOM) === 0 ? BOM.length : 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start)
    const end = newline < 0 ? bytes.length : newline
    line++
    addLine(rows, line, bytes.subarray(start, end))
    start = end + 1
    if (line % LINES_PER_CHECK === 0) await rows.yieldIfDue()
  }
  return rows.byKey
}

function addLine(rows: Rows, line: number, bytes: Buffer): void {
  if (!isUtf8(bytes)) throw new TableError(line, 'it is not UTF-8')
  const text = bytes.toString('utf8').trim()
  if (text !== '') rows.add(line, keyOf(line, text), text)
}

function parseLine(line: number, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TableError(line, `it is not JSON: ${messageOf(error)}`)
  }
}

function keyOf(line: number, text: string): string {
  const row = parseLine(line, text)
  if (typeof row !== 'object' || row === null || Array.isArray(row)) throw new TableError(line, 'it is not an object')
  const key = (row as { readonly key?: unknown }).key
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
  /** The number of lines up to the end of the record. */
  readonly info: { readonly lines: number }
}

async function readCsv(bytes: Buffer): Promise<ReadonlyMap<string, string>> {
  if (!isUtf8(bytes)) throw new TableError(undefined, 'the file is not UTF-8')
  const rows = new Rows()
  let header: readonly string[] | undefined
  const parser = Readable.from(slices(bytes)).pipe(parseCsv({ bom: true, info: true, skip_empty_lines: true }))
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRow>) {
      if (header === undefined) header = checkHeader(record)
      else addRecord(rows, info.lines, header, record)
      await rows.yieldIfDue()
    }
  } catch (error) {
    throw error instanceof TableError ? error : csvError(error)
  }
  return rows.byKey
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += CSV_SLICE_BYTES) yield bytes.subarray(start, start + CSV_SLICE_BYTES)
}

function checkHeader(names: readonly string[]): readonly string[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new TableError(1, `two columns are named ${JSON.stringify(twice)}`)
  return names
}

function addRecord(rows: Rows, line: number, header: readonly string[], record: readonly string[]): void {
  const [key = ''] = record
  rows.add(line, key, JSON.stringify(Object.fromEntries(header.map((name, index) => [name, record[index]]))))
}

/** Messages of the parser already name the line. */
function csvError(error: unknown): TableError {
  const line = (error as { readonly lines?: number }).lines
  return new TableError(line, messageOf(error))
}
