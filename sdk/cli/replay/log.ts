/**
 * Reads logged traffic: NDJSON, or the CSV of the Open Bandit Dataset (fixtures/open-bandit/README.md), plain or gzipped, or exported capsules. The name of
 * the file says which: `.csv` is the dataset, `.capsule.json` a capsule, everything else NDJSON; `.gz` after it is gzip; `-` is NDJSON from standard input.
 *
 * A line of NDJSON is an object with `body` (any JSON) and, if known, `scene`, `unit` (string or number), `headers`, and `shown`:
 * `{ "item": 14, "position": 3, "click": 0, "propensity": 0.029 }`, what was shown then and what became of it. Other members are ignored.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { basename } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { CsvError, parse } from 'csv-parse'
import { contentsOf } from '../../../base/capsule/contents.ts'
import { CsvPlaces, csvFault, csvForm, recordsBefore } from '../../../base/kernel/csv.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { idAt, sourceAt } from '../../../base/kernel/exact-json.ts'
import { headerOf } from '../../../base/kernel/headers.ts'
import { limits } from '../../../base/kernel/limits.ts'
import { readParts, TextDecoding } from '../../../base/kernel/text-file.ts'
import { exitCodes, SdkError } from '../../sdk-error.ts'
import { isCapsuleFile, readExported } from '../files/exported-capsule.ts'
import { fileError } from '../files/text.ts'

/** A request to send. */
export interface Entry {
  readonly scene: string
  /** The body as JSON text. */
  readonly body: string
  /** Names in lower case, values byte by byte as HTTP sends them; the unit id is among them. */
  readonly headers: Readonly<Record<string, string>>
  readonly shown: Shown | undefined
}

/** What the logging policy showed. */
export interface Shown {
  readonly item: string
  /** The position, which counts from 1. */
  readonly position: number
  readonly clicked: 0 | 1
  readonly propensity: number
}

export interface ReadOptions {
  /** The scene of every request, whatever a line says. */
  readonly scene?: string | undefined
  /** How many requests to read from all files together. */
  readonly limit: number
}

/** Headers of a connection, or of the body as it was sent then. */
const NOT_REPLAYED = new Set(
  'accept-encoding connection content-encoding content-length content-type expect host keep-alive te trailer transfer-encoding upgrade'.split(
    ' ',
  ),
)

/**
 * Reads the whole log and checks it before anything is returned.
 * @throws SdkError FILE_UNREADABLE, FILE_NOT_TEXT; LOG_INVALID with the file, the line and what is wrong there; USAGE when nothing names a scene
 */
export async function readLog(files: readonly string[], options: ReadOptions): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const file of files) {
    const left = options.limit - entries.length
    if (left <= 0) break
    const read = isCapsuleFile(file) ? readCapsule : /\.csv(\.gz)?$/.test(file) ? readOpenBandit : readNdjson
    for await (const entry of read(file, options.scene)) if (entries.push(entry) >= options.limit) break
  }
  if (entries.length === 0)
    throw new SdkError('LOG_INVALID', `Cannot replay ${files.map(file => `"${file}"`).join(', ')}: nothing is in there`)
  return entries
}

/** The text of a log, part by part. @throws SdkError FILE_UNREADABLE, FILE_NOT_TEXT */
async function* textOf(file: string): AsyncGenerator<string> {
  try {
    const decoding = new TextDecoding()
    for await (const chunk of open(file)) yield decoding.write(chunk)
    yield decoding.end()
  } catch (error) {
    throw fileError(file === '-' ? 'standard input' : `"${file}"`, error)
  }
}

function open(file: string): AsyncIterable<Buffer> {
  if (file === '-') return process.stdin
  const parts = readParts(file)
  if (!file.endsWith('.gz')) return parts
  // A failure is thrown again where the result is awaited; without this it would be an unhandled rejection before that.
  return pipeline(Readable.from(parts), createGunzip(), () => undefined)
}

function invalid(file: string, line: number, what: string): SdkError {
  return new SdkError('LOG_INVALID', `Cannot read "${file}" line ${line}: ${what}`, {
    hint: 'Mend the line; "sdk replay --help" says what a line holds. Nothing was sent.',
  })
}

function sceneless(file: string, line: number): SdkError {
  return new SdkError('USAGE', `Cannot replay "${file}" line ${line}: it names no scene`, {
    hint: 'Name the scene with --scene.',
    exit: exitCodes.usage,
  })
}

/** An exported capsule is a log of one request. */
async function* readCapsule(file: string, scene: string | undefined): AsyncGenerator<Entry> {
  const { capsule, entries } = await readExported(file)
  const { unit } = capsule
  yield {
    scene: scene ?? capsule.scene,
    body: contentsOf(capsule, entries.slice(capsule.entries[0])).body,
    headers: unit === undefined ? {} : { 'x-unit-id': headerOf(unit) },
    shown: undefined,
  }
}

// NDJSON

async function* readNdjson(file: string, scene: string | undefined): AsyncGenerator<Entry> {
  let line = 0
  for await (const text of linesOf(file)) {
    line++
    if (text.trim() !== '') yield parseLine(file, line, text, scene)
  }
}

/** Splits lines at line feeds only. `node:readline` also splits at U+2028, which JSON leaves in texts as it is. */
async function* linesOf(file: string): AsyncGenerator<string> {
  let begun = ''
  let line = 1
  for await (const part of textOf(file)) {
    const lines = `${begun}${part}`.split('\n')
    begun = lines.pop() ?? ''
    yield* lines
    line += lines.length
    if (begun.length > limits.files.lineCharsMax) throw invalid(file, line, `it has over ${limits.files.lineCharsMax} characters`)
  }
  if (begun !== '') yield begun
}

function parseLine(file: string, line: number, text: string, given: string | undefined): Entry {
  const refuse = (what: string): never => {
    throw invalid(file, line, what)
  }
  const value = parseJson(text) ?? refuse(`it is not JSON: ${excerpt(text)}`)
  if (!isRecord(value.json)) return refuse(`it must be an object such as {"body":{…}}, got ${excerpt(text)}`)
  const { scene = given, unit, headers = {}, body, shown } = value.json
  if (body === undefined) refuse('it has no "body"')
  if (scene !== undefined && typeof scene !== 'string') refuse(`"scene" must be a string, got ${excerpt(JSON.stringify(scene))}`)
  if (scene === undefined) throw sceneless(file, line)
  const id = unit === undefined ? undefined : idOf(text, ['unit'], unit, 'a string or a number', refuse)
  return {
    scene: given ?? String(scene),
    // The text of the line, because a number in it may be one that JavaScript would round.
    body: sourceAt(text, ['body']) ?? refuse('it has no "body"'),
    headers: {
      ...headersOf(headers, refuse),
      ...(id === undefined ? {} : headersOf({ 'x-unit-id': headerOf(id) }, refuse, value => value)),
    },
    shown: shown === undefined ? undefined : shownOf(text, shown, refuse),
  }
}

/** An id in a line, as a base reads it from a body. */
function idOf(text: string, path: readonly string[], found: unknown, what: string, refuse: Refuse): string {
  const name = path.join('.')
  if (typeof found === 'string') return found
  if (typeof found !== 'number') return refuse(`"${name}" must be ${what}, got ${excerpt(JSON.stringify(found))}`)
  try {
    return idAt(text, path, found)
  } catch (error) {
    return refuse(`"${name}" cannot be used: ${messageOf(error)}`)
  }
}

type Refuse = (what: string) => never

const utf8Bytes = (text: string): string => Buffer.from(text).toString('latin1')

/** @param write makes a value of a header of a text; those of a log are as they were sent */
function headersOf(given: unknown, refuse: Refuse, write = utf8Bytes): Record<string, string> {
  if (!isRecord(given)) return refuse(`"headers" must be an object, got ${excerpt(JSON.stringify(given))}`)
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (NOT_REPLAYED.has(name.toLowerCase())) continue
    if (typeof value !== 'string') return refuse(`header "${name}" must be a string, got ${excerpt(JSON.stringify(value))}`)
    const bytes = write(value)
    try {
      validateHeaderName(name)
      validateHeaderValue(name, bytes)
    } catch (error) {
      refuse(`header "${name}" cannot be sent: ${messageOf(error)}`)
    }
    headers[name.toLowerCase()] = bytes
  }
  return headers
}

function shownOf(text: string, given: unknown, refuse: Refuse): Shown {
  if (!isRecord(given)) return refuse(`"shown" must be an object, got ${excerpt(JSON.stringify(given))}`)
  const { item, position, click, propensity } = given
  const id = idOf(text, ['shown', 'item'], item, 'an item id', refuse)
  return checkShown(id, position, click, propensity, ['shown.position', 'shown.click', 'shown.propensity'], refuse)
}

function checkShown(
  item: string,
  position: unknown,
  click: unknown,
  propensity: unknown,
  names: readonly [position: string, click: string, propensity: string],
  refuse: Refuse,
): Shown {
  if (!(typeof position === 'number' && Number.isInteger(position) && position >= 1))
    return refuse(`"${names[0]}" must be a whole number from 1, got ${excerpt(JSON.stringify(position))}`)
  if (click !== 0 && click !== 1) return refuse(`"${names[1]}" must be 0 or 1, got ${excerpt(JSON.stringify(click))}`)
  if (!(typeof propensity === 'number' && propensity > 0 && propensity <= 1))
    return refuse(`"${names[2]}" must be above 0 and at most 1, got ${excerpt(JSON.stringify(propensity))}`)
  return { item, position, clicked: click, propensity }
}

// Open Bandit

const FEATURES = [0, 1, 2, 3].map(index => `user_feature_${index}`)
const AFFINITY = 'user-item_affinity_'
const COLUMNS = ['item_id', 'position', 'click', 'propensity_score', ...FEATURES]

type Row = Readonly<Record<string, string>>

/** A row has no id of its visitor, so each becomes a unit of its own, named after the file and the row. */
async function* readOpenBandit(file: string, scene: string | undefined): AsyncGenerator<Entry> {
  const name = basename(file).replace(/\.csv(\.gz)?$/, '')
  const parser = parse({ ...csvForm, columns: (header: string[]) => checkColumns(file, header) })
  const rows = pipeline(Readable.from(textOf(file)), parser, () => undefined)
  let row = 0
  try {
    for await (const { record, info } of rows as AsyncIterable<{ readonly record: Row; readonly info: { readonly lines: number } }>) {
      if (scene === undefined) throw sceneless(file, info.lines)
      yield toEntry(record, scene, `${name}-${row++}`, what => {
        throw invalid(file, info.lines, what)
      })
    }
  } catch (error) {
    if (error instanceof SdkError) throw error
    if (error instanceof CsvError) throw await csvError(file, error)
    throw fileError(`"${file}"`, error)
  }
}

/** The file is read once more, up to the fault, for its line. */
async function csvError(file: string, error: CsvError): Promise<SdkError> {
  // The header does not count as a record.
  const places = new CsvPlaces((recordsBefore(error) ?? 0) + 1)
  for await (const part of textOf(file)) places.write(part)
  const { line, message } = csvFault(error, places)
  return invalid(file, line, message)
}

function checkColumns(file: string, header: readonly string[]): string[] {
  const missing = COLUMNS.filter(column => !header.includes(column))
  if (missing.length > 0) {
    throw invalid(file, 1, `it is no log of the Open Bandit Dataset, which has the columns ${missing.join(', ')} too`)
  }
  return [...header]
}

function toEntry(row: Row, scene: string, unit: string, refuse: Refuse): Entry {
  const affinity: Record<string, number> = {}
  for (const column in row) {
    // Nearly all values are 0, and a visitor without past clicks has none.
    if (column.startsWith(AFFINITY) && Number(row[column]) !== 0) affinity[column.slice(AFFINITY.length)] = Number(row[column])
  }
  const number = (column: string): unknown => (row[column] === '' ? undefined : Number(row[column]))
  const { item_id: item = '' } = row
  if (item === '') refuse('"item_id" is empty')
  return {
    scene,
    body: JSON.stringify({ user: { features: FEATURES.map(column => row[column]), affinity } }),
    headers: { 'x-unit-id': unit },
    shown: checkShown(
      item,
      number('position'),
      number('click'),
      number('propensity_score'),
      ['position', 'click', 'propensity_score'],
      refuse,
    ),
  }
}

// Values

function parseJson(text: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(text) }
  } catch {
    // The caller adds which line it was.
    return undefined
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function excerpt(text = 'nothing'): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
