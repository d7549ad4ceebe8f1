/**
 * JSON without rounding. `JSON.parse` makes 9007199254740992 of 9007199254740993, so two ids beyond 2^53 can become one. What is an id is therefore
 * read from the text.
 */
import { messageOf } from './errors.ts'

declare global {
  interface JSON {
    /** `context.source` is the text of a value that is neither an object nor an array. */
    parse(text: string, reviver: (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown
    /** A value that `JSON.stringify` writes as this text, which is JSON of neither an object nor an array. */
    rawJSON(text: string): RawJSON
    isRawJSON(value: unknown): value is RawJSON
  }
}

interface RawJSON {
  readonly rawJSON: string
}

/** An integer as JSON writes it; it has no leading zeros. */
const INTEGER = /^-?\d+$/

/**
 * The id that a JSON number stands for. A safe integer has its shortest decimal form however it is written: 7, 7.0 and 70e-1 are all "7". Any other
 * integer must be written as digits, and these are the id. A fraction has the form in which JavaScript writes it: 1.50 is "1.5". So numbers have the
 * same id only when they are equal.
 * @param source the number as it is written
 * @returns undefined when JavaScript would round the number, or when it is a large integer that is written with a fraction or an exponent
 */
export function idOfNumber(source: string): string | undefined {
  if (INTEGER.test(source)) return source === '-0' ? '0' : source
  const number = Number(source)
  if (!Number.isFinite(number) || mayBeRounded(number)) return undefined
  const shortest = String(number)
  return decimalOf(source) === decimalOf(shortest) ? shortest : undefined
}

/** Whether a number that JavaScript holds may be the rounded form of another: 9007199254740992 is what 9007199254740993 becomes. */
export const mayBeRounded = (number: number): boolean => Number.isInteger(number) && !Number.isSafeInteger(number)

/** Why a feature row cannot be looked up by a number that may be rounded. */
export const roundedKey = (key: number): string =>
  `the key ${key} is a number beyond 2^53, which JavaScript may have rounded: pass such ids as strings`

/** A form that all ways to write the same decimal number share. */
function decimalOf(source: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source) ?? []
  const digits = `${whole}${fraction}`
  let [start, end] = [0, digits.length]
  while (digits[start] === '0') start++
  if (start === end) return '0'
  // A regular expression for the zeros at the end would take quadratic time on many zeros before the last digit.
  while (digits[end - 1] === '0') end--
  return `${sign}${digits.slice(start, end)}e${Number(exponent) - fraction.length + digits.length - end}`
}

/**
 * The id of a number in JSON, as `idOfNumber` gives it.
 * @param json valid JSON: `JSON.parse` has taken it
 * @param number what `JSON.parse` finds at `path`
 * @throws InexactId when the number at `path` has no id
 */
export function idAt(json: string, path: readonly string[], number: number): string {
  const shortest = String(number)
  // Nearly every id is a safe integer in its shortest form, and often near the start of the text. Then the rest of the text is not looked at.
  if (Number.isSafeInteger(number) && sourceAt(json, path, 'first') === shortest) return shortest
  const source = sourceAt(json, path) ?? shortest
  const id = idOfNumber(source)
  if (id === undefined) throw new InexactId(source)
  return id
}

/** A number that cannot be an id. The message says why and what to do, for the end of a sentence that names the place. */
export class InexactId extends Error {
  constructor(source: string) {
    super(`the number ${shown(source)} cannot be read exactly; write an id as digits alone or as a string`)
  }
}

/**
 * Parses JSON and checks its numbers as `checkNumbers` does.
 * @throws Error whose message says what is wrong with the text and where, as a sentence that begins with "it"
 */
export function parseUnrounded(json: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw new Error(`it is not JSON: ${messageOf(error)}`, { cause: error })
  }
  checkNumbers(json)
  return value
}

/**
 * Refuses a number that JavaScript would round to a whole number beyond 2^53, or to infinity. Fractions may lose digits.
 * @param json valid JSON, not nested so deeply that a recursive function fails
 * @param infinite what happens to numbers like 1e999: `JSON.parse` makes them Infinity, which a caller may look for itself
 * @throws Error whose message names the number and its place, as a sentence that begins with "it"
 */
export function checkNumbers(json: string, infinite: 'refused' | 'passed' = 'refused'): void {
  const rounded = MAY_ROUND.test(json) ? findRounded(json, infinite === 'refused') : undefined
  if (rounded === undefined) return
  const where = rounded.pointer === '' ? '' : ` at ${rounded.pointer}`
  throw new Error(`it has the number ${shown(rounded.source)}${where}, which JavaScript cannot hold exactly; write it as a string`)
}

const shown = (source: string): string => (source.length > 40 ? `${source.slice(0, 40)}…` : source)

/** Parses JSON such that `JSON.stringify` writes every number beyond 2^53 as it was. Such a number becomes an object that `JSON.isRawJSON` knows. */
export function parseKeepingNumbers(json: string): unknown {
  if (!MAY_ROUND.test(json)) return JSON.parse(json)
  return JSON.parse(json, (_, value: unknown, { source }) =>
    source !== undefined && isRounded(value, source) ? JSON.rawJSON(source) : value,
  )
}

/**
 * Finds digits like those of a number that is rounded; in strings too. A text without them is parsed without a function for each value, with which it
 * would take ten times as long.
 */
const MAY_ROUND = /(?<![\d.])\d{16}|\d[eE]\+?\d/

function isRounded(value: unknown, source: string): boolean {
  return typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER && decimalOf(source) !== decimalOf(String(value))
}

/** The first number that is rounded, and where it is. */
function findRounded(json: string, infinite: boolean): { readonly source: string; readonly pointer: string } | undefined {
  let found: string | undefined
  let holder: unknown
  const path: string[] = []
  JSON.parse(json, function (this: unknown, key, value: unknown, { source }) {
    // After a value, its holder is visited as a value, and then the holder of that, up to the whole, whose key is empty.
    const isCandidate = found === undefined && source !== undefined && (infinite || Number.isFinite(value))
    const isFound = isCandidate && isRounded(value, source)
    if (isFound) found = source
    if (isFound || (found !== undefined && value === holder)) {
      path.unshift(key.replaceAll('~', '~0').replaceAll('/', '~1'))
      holder = this
    }
    return value
  })
  return found === undefined ? undefined : { source: found, pointer: path.join('/') }
}

/**
 * The text of the value at `path`. It takes time in proportion to the text that it passes over.
 * @param json valid JSON: `JSON.parse` has taken it
 * @param which of several members with the same name; for `JSON.parse`, the last counts
 * @returns undefined when there is no such value
 */
export function sourceAt(json: string, path: readonly string[], which: 'first' | 'last' = 'last'): string | undefined {
  let start = skipSpace(json, 0)
  for (const name of path) {
    const code = json.charCodeAt(start)
    start = code === OBJECT ? memberAt(json, start, name, which) : code === ARRAY ? elementAt(json, start, name) : -1
    if (start < 0) return undefined
  }
  return json.slice(start, endOfValue(json, start))
}

/** Where the value of a member begins, or -1. `start` is that of the object. */
function memberAt(json: string, start: number, name: string, which: 'first' | 'last'): number {
  const quoted = JSON.stringify(name)
  let found = -1
  let at = skipSpace(json, start + 1)
  while (json.charCodeAt(at) === QUOTE) {
    const nameEnd = endOfString(json, at)
    const isNamed = isName(json, at, nameEnd, quoted, name)
    at = skipSpace(json, skipSpace(json, nameEnd) + 1)
    if (isNamed) found = at
    if (isNamed && which === 'first') return at
    at = nextEntry(json, endOfValue(json, at))
  }
  return found
}

function isName(json: string, start: number, end: number, quoted: string, name: string): boolean {
  if (end - start === quoted.length && json.startsWith(quoted, start)) return true
  const written = json.slice(start, end)
  return written.includes('\\') && JSON.parse(written) === name
}

/** Where an element begins, or -1. `start` is that of the array. */
function elementAt(json: string, start: number, index: string): number {
  if (!/^(0|[1-9]\d*)$/.test(index)) return -1
  let at = skipSpace(json, start + 1)
  for (let left = Number(index); left > 0 && json[at] !== ']'; left--) at = nextEntry(json, endOfValue(json, at))
  return json[at] === ']' ? -1 : at
}

/** Where the next entry of an object or an array begins, or its closing bracket is. `end` is the end of the entry before. */
function nextEntry(json: string, end: number): number {
  const at = skipSpace(json, end)
  return json.charCodeAt(at) === COMMA ? skipSpace(json, at + 1) : at
}

const [SPACE, QUOTE, COMMA, ARRAY, BACKSLASH, ARRAY_END, OBJECT, OBJECT_END] = [32, 34, 44, 91, 92, 93, 123, 125] as const

function skipSpace(json: string, start: number): number {
  let at = start
  while (json.charCodeAt(at) <= SPACE) at++
  return at
}

function endOfValue(json: string, start: number): number {
  const code = json.charCodeAt(start)
  if (code === QUOTE) return endOfString(json, start)
  return code === OBJECT || code === ARRAY ? endOfContainer(json, start) : endOfScalar(json, start)
}

function endOfString(json: string, start: number): number {
  let at = start + 1
  for (let code = json.charCodeAt(at); code !== QUOTE; code = json.charCodeAt(at)) at += code === BACKSLASH ? 2 : 1
  return at + 1
}

function endOfScalar(json: string, start: number): number {
  for (let at = start; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code <= SPACE || code === COMMA || code === ARRAY_END || code === OBJECT_END) return at
  }
  return json.length
}

function endOfContainer(json: string, start: number): number {
  let depth = 0
  for (let at = start; ; at++) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) at = endOfString(json, at) - 1
    else if (code === OBJECT || code === ARRAY) depth++
    else if ((code === OBJECT_END || code === ARRAY_END) && --depth === 0) return at + 1
  }
}
