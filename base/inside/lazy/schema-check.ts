/**
 * Checks values against the JSON schemas of a scene. typebox turns a schema into code, which it compiles here, inside the isolate: whatever a schema says,
 * it runs no code in the cell. Which schemas there can be, `traffic/json-schema.ts` says; it has checked those that come here.
 */
import { Build } from 'typebox/schema'
import type { Misfit } from '../protocol.ts'

export interface SchemaCheck {
  /** Whether a value that was read from JSON fits. @throws RangeError when it is nested too deeply to be checked */
  fits(value: unknown): boolean
  /** Where a value that does not fit goes wrong, `most` places at most and one at least. @throws RangeError as `fits` does */
  misfits(value: unknown, most: number): Misfit[]
}

type Schema = boolean | { readonly [keyword: string]: unknown }
type Named = Readonly<Record<string, Schema>>
type Check = (value: unknown) => boolean

/** Levels of a value down to which a misfit is looked for: each is checked again on the way. */
const LEVELS_MAX = 64
const TEXT_CHARS_MAX = 200

/** Keywords whose schemas are for parts of a value, or for the value itself, and which are followed to the part that does not fit. */
const FOLLOWED = ['$ref', 'allOf', 'properties', 'patternProperties', 'additionalProperties', 'prefixItems', 'items']
/** Keywords that mean something only beside another one. */
const BESIDE: Readonly<Record<string, readonly string[]>> = { contains: ['minContains', 'maxContains'], if: ['then', 'else'] }

const count = (value: unknown, noun: string): string => `${value} ${noun}${value === 1 ? '' : 's'}`
const withArticle = (type: unknown): string => (type === 'null' ? 'null' : `${/^[aio]/.test(String(type)) ? 'an' : 'a'} ${type}`)
const shown = (value: unknown): string => JSON.stringify(value).slice(0, TEXT_CHARS_MAX)
const oneOf = (value: unknown): string => (Array.isArray(value) ? value.map(shown).join(', ').slice(0, TEXT_CHARS_MAX) : shown(value))

/** What a keyword expects, in words. */
const words: Readonly<Record<string, (value: unknown) => string>> = {
  type: value => `must be ${[value].flat().map(withArticle).join(' or ')}`,
  enum: value => `must be one of ${oneOf(value)}`,
  const: value => `must be ${shown(value)}`,
  minimum: value => `must be at least ${value}`,
  maximum: value => `must be at most ${value}`,
  exclusiveMinimum: value => `must be more than ${value}`,
  exclusiveMaximum: value => `must be less than ${value}`,
  multipleOf: value => `must be a multiple of ${value}`,
  minLength: value => `must have at least ${count(value, 'character')}`,
  maxLength: value => `must have at most ${count(value, 'character')}`,
  pattern: value => `must match the pattern ${shown(value)}`,
  format: value => `must have the format ${shown(value)}`,
  minItems: value => `must have at least ${count(value, 'item')}`,
  maxItems: value => `must have at most ${count(value, 'item')}`,
  uniqueItems: () => 'must not have the same item twice',
  contains: () => 'must contain as many items as "contains" asks for',
  minProperties: value => `must have at least ${count(value, 'member')}`,
  maxProperties: value => `must have at most ${count(value, 'member')}`,
  required: value => `must have ${oneOf(value)}`,
  propertyNames: () => 'must have members with the names that "propertyNames" allows',
  dependentRequired: () => 'must have the members that "dependentRequired" asks for beside those it has',
  dependentSchemas: () => 'must be as "dependentSchemas" asks for beside the members it has',
  anyOf: () => 'must be one of what "anyOf" allows',
  oneOf: () => 'must be exactly one of what "oneOf" allows',
  not: () => 'must not be what "not" describes',
  if: () => 'must be as "then" or "else" asks for',
}

/** @param json of a schema */
function compileSchema(json: string): SchemaCheck {
  const root = JSON.parse(json) as Schema
  const located = new Locator(root)
  const fits = located.check(root)
  return { fits, misfits: (value, most) => located.misfits(value, most) }
}

/** Finds what does not fit with checks of parts of the schema, each compiled when it is first needed. */
class Locator {
  readonly #root: Schema
  readonly #defs: Named
  readonly #checks = new WeakMap<object, Check>()
  readonly #keywordChecks = new WeakMap<object, Map<string, Check>>()

  constructor(root: Schema) {
    this.#root = root
    this.#defs = typeof root === 'object' ? ((root.$defs ?? {}) as Named) : {}
  }

  check(schema: Schema): Check {
    if (typeof schema === 'boolean') return () => schema
    let check = this.#checks.get(schema)
    if (check === undefined) {
      check = this.#compile(schema)
      this.#checks.set(schema, check)
    }
    return check
  }

  /** References are to the definitions of the whole schema. */
  #compile(schema: object): Check {
    const result = Build({ ...schema, $defs: this.#defs }).Evaluate()
    return value => result.Check(value)
  }

  misfits(value: unknown, most: number): Misfit[] {
    const found: Misfit[] = []
    this.#locate(this.#root, value, '', 0, found, most)
    return found
  }

  /** @param value does not fit the schema */
  #locate(schema: Schema, value: unknown, pointer: string, level: number, found: Misfit[], most: number): void {
    if (typeof schema === 'boolean') {
      found.push({ pointer, expected: 'must not be there' })
      return
    }
    const before = found.length
    for (const [part, held, place] of level < LEVELS_MAX ? this.#parts(schema, value, pointer) : []) {
      if (!this.check(part)(held)) this.#locate(part, held, place, level + 1, found, most)
      if (found.length >= most) return
    }
    for (const keyword of Object.keys(schema)) {
      if (FOLLOWED.includes(keyword) || this.#checkOf(schema, keyword)(value)) continue
      for (const expected of describe(keyword, schema[keyword], value)) if (found.length < most) found.push({ pointer, expected })
    }
    if (found.length === before) found.push({ pointer, expected: 'must fit the schema' })
  }

  /** The parts of a schema that are followed, with what each is for, and where that is. */
  *#parts(schema: Exclude<Schema, boolean>, value: unknown, pointer: string): Generator<[Schema, unknown, string]> {
    const { $ref, allOf = [] } = schema as { $ref?: string; allOf?: Schema[] }
    if ($ref !== undefined) yield [this.#defs[nameIn($ref)] ?? true, value, pointer]
    for (const part of allOf) yield [part, value, pointer]
    if (Array.isArray(value)) yield* itemParts(schema, value, pointer)
    else if (typeof value === 'object' && value !== null) yield* memberParts(schema, value as Readonly<Record<string, unknown>>, pointer)
  }

  #checkOf(schema: Exclude<Schema, boolean>, keyword: string): Check {
    if (words[keyword] === undefined) return () => true
    const checks = this.#keywordChecks.get(schema) ?? new Map<string, Check>()
    this.#keywordChecks.set(schema, checks)
    let check = checks.get(keyword)
    if (check === undefined) {
      const together = [keyword, ...(BESIDE[keyword] ?? [])].filter(name => name in schema)
      check = this.#compile(Object.fromEntries(together.map(name => [name, schema[name]])))
      checks.set(keyword, check)
    }
    return check
  }
}

function* itemParts(schema: Exclude<Schema, boolean>, list: readonly unknown[], pointer: string): Generator<[Schema, unknown, string]> {
  const { prefixItems = [], items = true } = schema as { prefixItems?: Schema[]; items?: Schema }
  for (const [index, item] of list.entries()) yield [prefixItems[index] ?? items, item, `${pointer}/${index}`]
}

function* memberParts(
  schema: Exclude<Schema, boolean>,
  members: Readonly<Record<string, unknown>>,
  pointer: string,
): Generator<[Schema, unknown, string]> {
  const { properties = {}, patternProperties = {}, additionalProperties = true } = schema as Readonly<Record<string, Named | undefined>>
  const patterns = Object.entries(patternProperties).map(([pattern, part]) => [new RegExp(pattern, 'u'), part] as const)
  for (const name of Object.keys(members)) {
    const place = `${pointer}/${name.slice(0, TEXT_CHARS_MAX).replaceAll('~', '~0').replaceAll('/', '~1')}`
    const own = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (own !== undefined) yield [own, members[name], place]
    const matching = patterns.filter(([pattern]) => pattern.test(name))
    for (const [, part] of matching) yield [part, members[name], place]
    if (own === undefined && matching.length === 0) yield [additionalProperties as Schema, members[name], place]
  }
}

/** The name in a reference `#/$defs/NAME`. */
const nameIn = (ref: string): string => ref.slice('#/$defs/'.length).replaceAll('~1', '/').replaceAll('~0', '~')

/** What a keyword expects that a value does not have. */
function describe(keyword: string, expected: unknown, value: unknown): string[] {
  if (keyword === 'required' && Array.isArray(expected)) {
    return expected.filter(name => !Object.hasOwn(value as object, name)).map(name => words.required?.([name]) ?? '')
  }
  return [words[keyword]?.(expected) ?? '']
}

export default { compileSchema }
