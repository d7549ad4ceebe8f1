/** Reads and checks whitelists. As a file, a whitelist has one unit id a line, with the version to which it is sent. */
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Whitelist } from './rules.ts'

const FAULTS_MAX = 10
const LINES_MAX = limits.scene.whitelistUnitsMax
/** A unit id of quotes alone is twice as long when it is in quotes. Longer lines would make the patterns below slow. */
const LINE_CHARS_MAX = 2 * limits.request.unitIdBytesMax + 1000
const VERSION = /[\t,]\s*("?)(v[1-9][0-9]{0,8})\1$/
const VERSION_OF_HEADER = /[\t,]\s*("?)version\1$/i
const NAMES_OF_UNITS = /^("?)(id|uid|key|(unit|user|visitor|customer|account|device)s?[ _-]?(id)?s?)\1$/i

/**
 * Reads a whitelist. Each line is `unit<TAB>version` or `unit,version` (the last comma separates, so a unit id may contain commas). With `version`
 * given, each line is a unit id alone. Both fields may be in quotes, as in CSV, with `""` for a quote, and a first line may name them when the last
 * is called `version`. The text may end with a line end, use LF, CR LF or CR, begin with a byte order mark, have spaces around lines, and
 * repeat a line; but it must not have more lines than a whitelist may have unit ids. What may be no unit id, such as JSON or the name of a column, is
 * refused.
 * @throws WHITELIST_INVALID when there are too many lines, or with the numbers (from 1) of lines that are empty, too long, without a version, or
 * that send a unit id to another version than an earlier line
 */
export function parseWhitelist(text: string, version?: string): Whitelist {
  // Splitting stops as soon as there are too many lines: splitting 32 MB of line ends would block the event loop.
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/, LINES_MAX + 2)
  if (lines.at(-1) === '' && lines.length <= LINES_MAX + 1) lines.pop()
  if (lines.length > LINES_MAX) throw refuse(`it has over ${LINES_MAX} lines, the limit of unit ids`)
  const seen = new Map<string, { readonly version: string; readonly line: number }>()
  const faults: string[] = []
  for (const [index, content] of lines.entries()) {
    const header = index === 0 && version === undefined ? fieldOfHeader(content.trim()) : undefined
    if (header !== undefined && isOneField(header)) continue
    const line = header === undefined ? readLine(content.trim(), version, index === 0) : SEVERAL_COLUMNS
    const before = line.unit === undefined ? undefined : seen.get(line.unit)
    const fault = line.fault ?? conflict(before, line.version)
    if (fault !== undefined) faults.push(`line ${index + 1} ${fault}`)
    else if (line.unit !== undefined && before === undefined) seen.set(line.unit, { version: line.version, line: index + 1 })
  }
  if (faults.length > 0) throw refuse(shorten(faults))
  const byVersion = Map.groupBy(seen, ([, { version }]) => version)
  return Object.fromEntries([...byVersion].map(([version, units]) => [version, units.map(([unit]) => unit)]))
}

/** What a header has before `version`; undefined for a line that is no header. */
function fieldOfHeader(content: string): string | undefined {
  const version = content.length <= LINE_CHARS_MAX ? VERSION_OF_HEADER.exec(content) : null
  return version === null ? undefined : content.slice(0, version.index).trim()
}

/** Commas may be part of a unit id, but in a header they say that there are more columns, which would become part of every unit id. */
const isOneField = (field: string): boolean => (field.startsWith('"') ? unquote(field) !== undefined : !/[\t,]/.test(field))

const SEVERAL_COLUMNS: Line = { fault: 'names several columns before the version: keep the one of the unit ids' }

type Line =
  | { readonly unit: string; readonly version: string; readonly fault?: never }
  | { readonly unit?: never; readonly version?: never; readonly fault: string }

function readLine(content: string, version: string | undefined, isFirst: boolean): Line {
  if (content.length > LINE_CHARS_MAX) return { fault: `has ${content.length} characters, more than a unit id may have` }
  const named = VERSION.exec(content)
  if (content === '') return { fault: 'is empty' }
  if (version !== undefined && named !== null)
    return { fault: `names version ${named[2]}, and one was given for all: give one or the other` }
  if (isFirst && NAMES_OF_UNITS.test(content))
    return { fault: 'looks like the name of the column: remove it; "sdk whitelist add" takes a unit id of this name' }
  const chosen = version ?? named?.[2]
  if (chosen === undefined) return { fault: 'names no version: write "unit,v3", or give one version for all' }
  const field = named === null ? content : content.slice(0, named.index).trim()
  if (/^[{[]/.test(field)) return { fault: 'looks like JSON: write "unit,v3", and put a unit id that begins with a bracket in quotes' }
  const unit = field.startsWith('"') ? unquote(field) : field
  if (unit === undefined) return { fault: 'begins with a quote that does not end the unit id: write "unit",v3, with "" for a quote in it' }
  const fault = unitFault(unit) ?? lineFault(unit)
  return fault === undefined ? { unit, version: chosen } : { fault }
}

/** What a field in quotes says; undefined when it is no such field. */
function unquote(field: string): string | undefined {
  const inner = field.slice(1, -1)
  const isQuoted = field.length >= 2 && field.endsWith('"') && !inner.replaceAll('""', '').includes('"')
  return isQuoted ? inner.replaceAll('""', '"') : undefined
}

/** A unit id as it is written in a line. */
export const unitField = (unit: string): string => (/^["{[]|,$/.test(unit) ? `"${unit.replaceAll('"', '""')}"` : unit)

/** The version to which each unit id is sent. */
export type VersionByUnit = ReadonlyMap<string, string>

export function indexWhitelist(whitelist: Whitelist): VersionByUnit {
  const versions = new Map<string, string>()
  for (const [version, units] of Object.entries(whitelist)) for (const unit of units) versions.set(unit, version)
  return versions
}

/** Describes what is wrong with a unit id; undefined when nothing is. */
export function unitFault(unit: string): string | undefined {
  if (unit === '') return 'has no unit id'
  const bytes = Buffer.byteLength(unit)
  return bytes > limits.request.unitIdBytesMax
    ? `has a unit id of ${bytes} bytes, the limit is ${limits.request.unitIdBytesMax}`
    : undefined
}

function conflict(
  before: { readonly version: string; readonly line: number } | undefined,
  version: string | undefined,
): string | undefined {
  if (before === undefined || before.version === version) return undefined
  return `sends its unit to ${version}, line ${before.line} sends it to ${before.version}`
}

/**
 * Checks a whitelist.
 * @throws WHITELIST_INVALID with the faults in words
 */
export function checkWhitelist(whitelist: Whitelist): void {
  const count = Object.values(whitelist).reduce((sum, units) => sum + units.length, 0)
  if (count > limits.scene.whitelistUnitsMax) throw refuse(`it has ${count} unit ids, the limit is ${limits.scene.whitelistUnitsMax}`)
  const seen = new Map<string, string>()
  const faults: string[] = []
  for (const [version, units] of Object.entries(whitelist)) {
    for (const [index, unit] of units.entries()) {
      const fault = unitFault(unit) ?? lineFault(unit)
      const before = seen.get(unit)
      if (fault !== undefined) faults.push(`entry ${index + 1} of ${version} ${fault}`)
      else if (before !== undefined) faults.push(`unit ${JSON.stringify(unit)} is sent to ${before} and again to ${version}`)
      seen.set(unit, version)
    }
  }
  if (faults.length > 0) throw refuse(shorten(faults))
}

/** Describes why a unit id cannot be a line of a file; undefined when it can. Every whitelist can thus be written to a file and read again. */
function lineFault(unit: string): string | undefined {
  if (/[\r\n]/.test(unit)) return 'has a unit id with a line end in it'
  return unit === unit.trim() ? undefined : 'has a unit id with white space around it'
}

function shorten(faults: readonly string[]): string {
  const more = faults.length > FAULTS_MAX ? [`and ${faults.length - FAULTS_MAX} more`] : []
  return [...faults.slice(0, FAULTS_MAX), ...more].join('; ')
}

const refuse = (why: string): BerthError => new BerthError('WHITELIST_INVALID', `Cannot use the whitelist: ${why}`)
