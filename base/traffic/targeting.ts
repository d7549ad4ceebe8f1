/** Attributes of requests, and the conditions that experiments set on them. */
import semver from 'semver'
import { idAt, mayBeRounded } from '../kernel/exact-json.ts'
import { atPath, pointerPath } from './pointer.ts'
import type { Condition } from './rules.ts'
import type { AttributeType, SceneDefinition } from './schema.ts'

/** An attribute of a scene, compiled. Its value is in a header or at a path in the body. */
export interface Attribute {
  readonly name: string
  readonly type: AttributeType
  readonly header: string | undefined
  /** Members of the JSON pointer, unescaped. */
  readonly path: readonly string[] | undefined
}

export function compileAttributes({ attributes = {} }: Pick<SceneDefinition, 'attributes'>): Map<string, Attribute> {
  const compile = (name: string, source: NonNullable<SceneDefinition['attributes']>[string]): Attribute => {
    if (typeof source === 'string') return { name, type: 'string', header: undefined, path: pointerPath(source) }
    const { type = 'string' } = source
    if ('header' in source) return { name, type, header: source.header, path: undefined }
    return { name, type, header: undefined, path: pointerPath(source.pointer) }
  }
  return new Map(Object.entries(attributes).map(([name, source]) => [name, compile(name, source)]))
}

/** Gives access to the parts of a request. `body` is called only for attributes in the body, and may throw. */
export interface AttributeSource {
  header(name: string): string | undefined
  /** The body as it came, which is JSON once `body` has returned. Undefined when a module has written it: it may have rounded the numbers. */
  readonly text: string | undefined
  /** The body, parsed. */
  body(): unknown
}

/**
 * The raw value of an attribute in a request, of any type. Where the attribute is a string, a number is read exactly, because it may be an id; a
 * number that is no id counts as missing.
 */
export function readAttribute({ type, header, path = [] }: Attribute, source: AttributeSource): unknown {
  if (header !== undefined) return source.header(header)
  const found = atPath(source.body(), path)
  if (type !== 'string' || typeof found !== 'number') return found
  if (source.text === undefined) return mayBeRounded(found) ? undefined : String(found)
  try {
    return idAt(source.text, path, found)
  } catch {
    // The request is served all the same: it only takes no part in experiments that ask for this attribute.
    return undefined
  }
}

type Scalar = string | number | boolean

/**
 * Converts a raw value to the type of the attribute; undefined when that is not possible. Headers carry everything as text, so a text that reads
 * as a number or a boolean counts as one.
 */
export function typed(type: AttributeType, raw: unknown): Scalar | undefined {
  if (type === 'number') return asNumber(raw)
  if (type === 'boolean') return raw === true || raw === 'true' ? true : raw === false || raw === 'false' ? false : undefined
  if (typeof raw === 'string') return raw
  return type === 'string' && (typeof raw === 'number' || typeof raw === 'boolean') ? String(raw) : undefined
}

function asNumber(raw: unknown): number | undefined {
  const number = typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : raw
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

/** A condition, compiled. */
export interface CompiledCondition {
  readonly condition: Condition
  readonly attribute: Attribute
  /** Whether the raw value of the attribute fulfils the condition. A value that is missing or of another type never does. */
  holds(raw: unknown): boolean
}

/** @param attribute the attribute that the condition names; `conditionFault` must have found no fault. */
export function compileCondition(condition: Condition, attribute: Attribute): CompiledCondition {
  const fits = attribute.type === 'semver' ? remembered(semverTest(condition)) : scalarTest(condition, attribute.type)
  const holds = (raw: unknown): boolean => {
    const value = typed(attribute.type, raw)
    return value !== undefined && fits(value)
  }
  return { condition, attribute, holds }
}

const compares = {
  lt: (order: number) => order < 0,
  lte: (order: number) => order <= 0,
  gt: (order: number) => order > 0,
  gte: (order: number) => order >= 0,
} as const

function scalarTest({ op, value }: Condition, type: AttributeType): (value: Scalar) => boolean {
  const wanted = new Set([value].flat().map(each => typed(type, each)))
  if (op === 'equals' || op === 'in') return given => wanted.has(given)
  if (op === 'range') return () => false
  const bound = Number(value)
  return given => compares[op](Number(given) - bound)
}

/** Prereleases are compared like any version: 8.2.0-beta.1 is below 8.2.0 and within ">=8.1". */
const RANGE_OPTIONS = { includePrerelease: true } as const

function semverTest({ op, value }: Condition): (value: string) => boolean {
  if (op === 'range') {
    const range = new semver.Range(String(value), RANGE_OPTIONS)
    return given => range.test(given)
  }
  const versions = [value].flat().map(each => new semver.SemVer(String(each)))
  if (op === 'equals' || op === 'in') return given => versions.some(version => version.compare(given) === 0)
  return given => versions.some(version => compares[op](-version.compare(given)))
}

const REMEMBERED_MAX = 1000
/** The longest version that the package semver parses. */
const SEMVER_CHARS_MAX = 256

/** Caches the results of a test by version: parsing a semver costs more than the rest of a decision, and requests have few different ones. */
function remembered(test: (value: string) => boolean): (value: Scalar) => boolean {
  const known = new Map<string, boolean>()
  return given => {
    const version = String(given)
    if (version.length > SEMVER_CHARS_MAX) return false
    const before = known.get(version)
    if (before !== undefined) return before
    const fits = semver.valid(version) !== null && test(version)
    if (known.size >= REMEMBERED_MAX) known.clear()
    known.set(version, fits)
    return fits
  }
}

const opsOf: Readonly<Record<AttributeType, readonly Condition['op'][]>> = {
  string: ['equals', 'in'],
  boolean: ['equals', 'in'],
  number: ['equals', 'in', 'lt', 'lte', 'gt', 'gte'],
  semver: ['equals', 'in', 'lt', 'lte', 'gt', 'gte', 'range'],
}

/** Describes what is wrong with a condition on an attribute of this type; undefined when nothing is. */
export function conditionFault({ attribute, op, value }: Condition, type: AttributeType): string | undefined {
  const ops = opsOf[type]
  if (!ops.includes(op)) return `"${op}" does not apply to the ${type} "${attribute}"; what does: ${ops.join(', ')}`
  if (Array.isArray(value) !== (op === 'in')) return `"${op}" on "${attribute}" takes ${op === 'in' ? 'a list' : 'one value'}`
  const wrong = [value].flat().find(each => !isValue(each, type, op))
  if (wrong === undefined) return roundedFault({ attribute, op, value }, type)
  return `${JSON.stringify(wrong)} is no ${op === 'range' ? 'semver range' : type}, which "${attribute}" is compared with`
}

/** A number beyond 2^53 may be equal to others only because they are rounded. For comparisons by size, the rounding is too small to matter. */
function roundedFault({ attribute, op, value }: Condition, type: AttributeType): string | undefined {
  if (op !== 'equals' && op !== 'in') return undefined
  const isRounded = (each: Scalar): boolean => {
    const number = type === 'number' ? typed(type, each) : each
    return typeof number === 'number' && mayBeRounded(number)
  }
  const rounded = [value].flat().find(isRounded)
  if (rounded === undefined) return undefined
  return `${rounded} is beyond 2^53, where numbers are rounded; declare "${attribute}" as a string and write the value as one`
}

function isValue(value: Scalar, type: AttributeType, op: Condition['op']): boolean {
  if (type !== 'semver') return typed(type, value) !== undefined
  if (typeof value !== 'string') return false
  return op === 'range' ? semver.validRange(value) !== null : semver.valid(value) !== null
}
