/**
 * The schemas of scenes as TypeScript. The base has checked the schemas (`traffic/json-schema.ts`), so every keyword is known: what a type cannot say, such as
 * a pattern, it leaves out, and so it holds all values that fit.
 */
import type { SceneDefinition } from '../../../base/traffic/schema.ts'

type Schema = boolean | { readonly [keyword: string]: unknown }
type TypedScene = Pick<SceneDefinition, 'id' | 'schemas'>

const HEAD = `// Made by "sdk types". Not to be changed by hand: change the schemas of the scenes, and run it again.

/** What each scene takes and answers: \`createClient<Scenes>\` for callers, \`Stage<Scenes['…']['input'], …>\` for the first stage. */
`

/** The text of a file of types. The same scenes give the same text, in whatever order they come. */
export function typesOf(scenes: readonly TypedScene[]): string {
  const names = new Names()
  const sorted = scenes.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const declared: string[] = []
  const members = sorted.map(({ id, schemas = {} }) => {
    const typeOf = (part: string, schema: Schema | undefined) =>
      schema === undefined ? 'unknown' : declare(names, declared, `${id}-${part}`, schema)
    return `  readonly ${literal(id)}: { readonly input: ${typeOf('input', schemas.request)}; readonly output: ${typeOf('output', schemas.answer)} }\n`
  })
  return `${HEAD}export interface Scenes {\n${members.join('')}}\n${declared.map(text => `\n${text}`).join('')}`
}

/** Declares the type of a schema, and those of its definitions. @returns its name */
function declare(names: Names, declared: string[], wish: string, schema: Schema): string {
  const name = names.take(wish)
  const definitions = Object.entries(Object(typeof schema === 'object' ? schema.$defs : undefined) as Record<string, Schema>)
  const named = new Map(
    definitions.map(([key]) => [`#/$defs/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, names.take(`${wish}-${key}`)]),
  )
  const writer = new Writer(named)
  const all: [string, Schema][] = [
    [name, schema],
    ...definitions.map(([key, part], i): [string, Schema] => [[...named.values()][i] ?? key, part]),
  ]
  for (const [own, part] of all) declared.push(`${comment(part, '')}export type ${own} = ${writer.type(part, '')}\n`)
  return name
}

/** Names of types, each given once. */
class Names {
  readonly #taken = new Set<string>(['Scenes'])

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
    return type === 'integer' ? 'number' : type
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
      return `${comment(own, inner)}${inner}readonly ${memberName(name)}${required.includes(name) ? '' : '?'}: ${this.type(own, inner)}\n`
    }
    const others = typeof rest === 'object' || schema.patternProperties !== undefined ? `${inner}readonly [name: string]: unknown\n` : ''
    return `{\n${names.map(member).join('')}${others}${indent}}`
  }

  #list(schema: Exclude<Schema, boolean>, indent: string): string {
    const { prefixItems = [], items = true, minItems = 0 } = schema as { prefixItems?: Schema[]; items?: Schema; minItems?: number }
    const rest = this.type(items, indent)
    if (prefixItems.length === 0) return `readonly ${grouped(rest)}[]`
    const first = prefixItems.map((part, i) => (i < minItems ? this.type(part, indent) : `${grouped(this.type(part, indent))}?`))
    return `readonly [${[...first, ...(items === false ? [] : [`...${grouped(rest)}[]`])].join(', ')}]`
  }
}

const grouped = (type: string): string => (/[ |&]/.test(type) && !type.startsWith('{') ? `(${type})` : type)
const distinct = (types: readonly string[]): string[] => [...new Set(types)]

function union(types: readonly string[]): string {
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

const memberName = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : literal(name))

/** A text as a literal of TypeScript, in which nothing ends the literal. */
const literal = (text: string): string => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

function comment(schema: Schema, indent: string): string {
  const text = typeof schema === 'object' && typeof schema.description === 'string' ? schema.description : ''
  const plain = text.replaceAll(/\s+/g, ' ').replaceAll('*/', '* /').trim()
  return plain === '' ? '' : `${indent}/** ${plain} */\n`
}
