/**
 * JSON schemas as TypeScript. The base has checked those of scenes (`traffic/json-schema.ts`), so every keyword of theirs is known. What a type cannot say, such
 * as a pattern, it leaves out, and so it holds all values that fit.
 */

export type Schema = boolean | { readonly [keyword: string]: unknown }

/** The declarations of one file. */
export class Declarations {
  /** Each is one type, in the order in which they were asked for. */
  readonly texts: string[] = []
  readonly #names: Names

  /** @param taken names that the file has for something else */
  constructor(taken: readonly string[]) {
    this.#names = new Names(taken)
  }

  /** Declares the type of a schema, and those of its definitions. @returns its name */
  declare(wish: string, schema: Schema): string {
    const name = this.#names.take(wish)
    const { writer, definitions } = this.#definitionsOf(wish, schema)
    this.#add(name, schema, writer)
    for (const [own, part] of definitions) this.#add(own, part, writer)
    return name
  }

  /** The type of a schema, to be written where it is used; its definitions are declared. */
  inline(wish: string, schema: Schema, indent: string): string {
    const { writer, definitions } = this.#definitionsOf(wish, schema)
    for (const [own, part] of definitions) this.#add(own, part, writer)
    return writer.type(schema, indent)
  }

  #definitionsOf(wish: string, schema: Schema): { readonly writer: Writer; readonly definitions: readonly [name: string, Schema][] } {
    const parts = Object.entries(Object(typeof schema === 'object' ? schema.$defs : undefined) as Record<string, Schema>)
    const named = parts.map(([key, part]) => ({ key, part, name: this.#names.take(`${wish}-${key}`) }))
    const pointers = named.map(({ key, name }): [string, string] => [`#/$defs/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, name])
    return { writer: new Writer(new Map(pointers)), definitions: named.map(({ name, part }) => [name, part]) }
  }

  #add(name: string, schema: Schema, writer: Writer): void {
    this.texts.push(`${comment(descriptionOf(schema), '')}export type ${name} = ${writer.type(schema, '')}\n`)
  }
}

/** Names of types, each given once. */
class Names {
  readonly #taken: Set<string>

  constructor(taken: readonly string[]) {
    this.#taken = new Set(taken)
  }

  take(wish: string): string {
    const words = wish.split(/[^A-Za-z0-9]+/).filter(word => word !== '')
    const pascal = words.map(word => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`).join('')
    const base = /^[A-Z]/.test(pascal) ? pascal : `Scene${pascal}`
    let name = base
    for (let i = 2; this.#taken.has(name); i++) name = `${base}${i}`
    this.#taken.add(name)
    return name
  }
}

class Writer {
  readonly #named: ReadonlyMap<string, string>

  constructor(named: ReadonlyMap<string, string>) {
    this.#named = named
  }

  /** @param indent of the line that the type begins in */
  type(schema: Schema, indent: string): string {
    if (typeof schema === 'boolean') return schema ? 'unknown' : 'never'
    if ('const' in schema) return literalType(schema.const)
    if (Array.isArray(schema.enum)) return union(schema.enum.map(literalType))
    const { $ref, anyOf, oneOf, allOf = [] } = schema as { $ref?: string; anyOf?: Schema[]; oneOf?: Schema[]; allOf?: Schema[] }
    const parts = [
      this.#byType(schema, indent),
      $ref === undefined ? 'unknown' : (this.#named.get($ref) ?? 'unknown'),
      ...[anyOf, oneOf].map(list => (list === undefined ? 'unknown' : union(list.map(part => this.type(part, indent))))),
      ...allOf.map(part => this.type(part, indent)),
    ]
    return intersection(parts)
  }

  #byType(schema: Exclude<Schema, boolean>, indent: string): string {
    // Keywords about objects say nothing about a value that is none, so without its type nothing is known.
    if (schema.type === undefined) return 'unknown'
    return union([schema.type].flat().map(type => this.#one(String(type), schema, indent)))
  }

  #one(type: string, schema: Exclude<Schema, boolean>, indent: string): string {
    if (type === 'object') return this.#object(schema, indent)
    if (type === 'array') return this.#list(schema, indent)
    if (type === 'integer') return 'number'
    return SCALARS.has(type) ? type : 'unknown'
  }

  #object(schema: Exclude<Schema, boolean>, indent: string): string {
    const {
      properties = {},
      required = [],
      additionalProperties: rest,
    } = schema as {
      properties?: Record<string, Schema>
      required?: string[]
      additionalProperties?: Schema
    }
    const names = [...new Set([...Object.keys(properties), ...required])]
    if (names.length === 0)
      return `Readonly<Record<string, ${schema.patternProperties === undefined ? this.type(rest ?? true, indent) : 'unknown'}>>`
    const inner = `${indent}  `
    const member = (name: string) => {
      const own = Object.hasOwn(properties, name) ? (properties[name] ?? true) : true
      return `${comment(descriptionOf(own), inner)}${inner}readonly ${memberName(name)}${required.includes(name) ? '' : '?'}: ${this.type(own, inner)}\n`
    }
    const others = typeof rest === 'object' || schema.patternProperties !== undefined ? `${inner}readonly [name: string]: unknown\n` : ''
    return `{\n${names.map(member).join('')}${others}${indent}}`
  }

  #list(schema: Exclude<Schema, boolean>, indent: string): string {
    const { prefixItems = [], items, minItems = 0 } = tupleOf(schema) as { prefixItems?: Schema[]; items?: Schema; minItems?: number }
    const rest = this.type(items ?? true, indent)
    if (prefixItems.length === 0) return `readonly ${grouped(rest)}[]`
    const first = prefixItems.map((part, i) => (i < minItems ? this.type(part, indent) : `${grouped(this.type(part, indent))}?`))
    return `readonly [${[...first, ...(items === false ? [] : [`...${grouped(rest)}[]`])].join(', ')}]`
  }
}

const SCALARS: ReadonlySet<string> = new Set(['string', 'number', 'boolean', 'null'])

/** Before 2020-12, `items` and `additionalItems` were what `prefixItems` and `items` are now. TypeBox writes tuples so. */
const tupleOf = (schema: Exclude<Schema, boolean>): object =>
  Array.isArray(schema.items) ? { ...schema, prefixItems: schema.items, items: schema.additionalItems } : schema

export const grouped = (type: string): string => (/[ |&]/.test(type) && !type.startsWith('{') ? `(${type})` : type)
const distinct = (types: readonly string[]): string[] => [...new Set(types)]

export function union(types: readonly string[]): string {
  return types.includes('unknown')
    ? 'unknown'
    : distinct(types)
        .filter(type => type !== 'never')
        .join(' | ') || 'never'
}

function intersection(types: readonly string[]): string {
  const known = distinct(types).filter(type => type !== 'unknown')
  if (known.length === 0) return 'unknown'
  return known.length === 1 ? (known[0] ?? '') : known.map(type => (type.includes('|') ? `(${type})` : type)).join(' & ')
}

/** The type that holds one JSON value. */
function literalType(value: unknown): string {
  if (Array.isArray(value)) return `readonly [${value.map(literalType).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([name, member]) => `readonly ${memberName(name)}: ${literalType(member)}`)
    return members.length === 0 ? 'Readonly<Record<string, never>>' : `{ ${members.join('; ')} }`
  }
  return typeof value === 'string' ? literal(value) : String(value)
}

export const memberName = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : literal(name))

/** A text as a literal of TypeScript, in which nothing ends the literal. */
export const literal = (text: string): string => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

const descriptionOf = (schema: Schema): string =>
  typeof schema === 'object' && typeof schema.description === 'string' ? schema.description : ''

export function comment(text: string, indent: string): string {
  const plain = text.replaceAll(/\s+/g, ' ').replaceAll('*/', '* /').trim()
  return plain === '' ? '' : `${indent}/** ${plain} */\n`
}
