/** The file that "sdk types" writes: what scenes take, answer and read, and what a base offers modules, as TypeScript. */
import type { FeatureTable } from '../../../base/contract/feature-api.ts'
import type { BaseService } from '../../../base/contract/service-api.ts'
import { limits } from '../../../base/kernel/limits.ts'
import type { Params, SceneDefinition } from '../../../base/traffic/schema.ts'
import { comment, Declarations, grouped, literal, memberName, type Schema, union } from './schema-types.ts'

export interface TypedScene extends Pick<SceneDefinition, 'id' | 'schemas' | 'attributes'> {
  readonly params?: Params
  /** Values that versions and experiments set over the parameters. */
  readonly overrides?: readonly Params[]
}

/** What a base offers modules beside scenes. */
export interface Offer {
  /** Without `features`. */
  readonly services: readonly BaseService[]
  readonly tables: readonly Pick<FeatureTable, 'name' | 'version' | 'columns' | 'versions'>[]
}

const HEAD = `// Made by "sdk types". Not to be changed by hand: run it again when scenes, services or feature tables have changed.

/** What each scene takes and answers: \`createClient<Scenes>\` for callers, \`Stage<Scenes['…']['input'], …>\` for the first stage. */
`
const PARAMS = "/** What stages see as `ctx.params`, by scene: `Stage<…, …, { params: Params['…'] }>`. */\n"
const ATTRIBUTES = '/** What experiments may be targeted on, by scene, as `sdk explain` and `POST /api/scenes/ID/explain` take it. */\n'

/**
 * The text of the file. The same contents give the same text, in whatever order they come.
 * @param offer is declared for the modules that import `@berth/sdk`; without it, the file is for callers too, who may not have that package
 */
export function typesOf(scenes: readonly TypedScene[], offer?: Offer): string {
  const sorted = scenes.toSorted(byOrder(({ id }) => id))
  const declarations = new Declarations(['Scenes', 'Params', 'Attributes', 'KnownScenes'])
  const members = sorted.map(scene => `  readonly ${literal(scene.id)}: ${sceneType(scene, declarations)}\n`)
  const offered = offer === undefined ? [] : [offerType(offer, declarations)]
  const declared = declarations.texts
  const more = [
    ...interfaceOf('Params', PARAMS, sorted.filter(hasParams), paramsType),
    ...interfaceOf(
      'Attributes',
      ATTRIBUTES,
      sorted.filter(({ attributes }) => attributes !== undefined),
      attributesType,
    ),
  ]
  return `${HEAD}export interface Scenes {\n${members.join('')}}\n${[...declared, ...more, ...offered].map(text => `\n${text}`).join('')}`
}

const byOrder =
  <T>(keyOf: (value: T) => string) =>
  (a: T, b: T): number =>
    keyOf(a) < keyOf(b) ? -1 : 1

function interfaceOf(name: string, about: string, scenes: readonly TypedScene[], typeOf: (scene: TypedScene) => string): string[] {
  if (scenes.length === 0) return []
  const members = scenes.map(scene => `  readonly ${literal(scene.id)}: ${typeOf(scene)}\n`)
  return [`${about}export interface ${name} {\n${members.join('')}}\n`]
}

// Scenes

function sceneType({ id, schemas = {}, attributes = {} }: TypedScene, declarations: Declarations): string {
  const typeOf = (part: string, schema: Schema | undefined) =>
    schema === undefined ? 'unknown' : declarations.declare(`${id}-${part}`, schema)
  const headers = Object.values(attributes).flatMap(place =>
    typeof place === 'object' && 'header' in place ? `readonly ${literal(place.header)}?: ${headerTypes[place.type ?? 'string']}` : [],
  )
  const parts = [`readonly input: ${typeOf('input', schemas.request)}`, `readonly output: ${typeOf('output', schemas.answer)}`]
  return `{ ${[...parts, ...(headers.length === 0 ? [] : [`readonly headers: { ${[...new Set(headers)].sort().join('; ')} }`])].join('; ')} }`
}

/** What the header of an attribute may be, by the type of the attribute. */
const headerTypes = { string: 'string', semver: 'string', number: `\`$\{number}\``, boolean: "'true' | 'false'" }
const attributeTypes = { string: 'string', semver: 'string', number: 'number', boolean: 'boolean' }

function attributesType({ attributes = {} }: TypedScene): string {
  const members = Object.entries(attributes).sort(byOrder(([name]) => name))
  const texts = members.map(([name, given]) => {
    const place = typeof given === 'string' ? { pointer: given } : given
    const where = 'header' in place ? `header ${place.header}` : `${place.pointer} of the body`
    const type = place.type ?? 'string'
    const how = type === 'semver' ? ', compared as a semver' : ''
    return `${comment(`${where}${how}`, '    ')}    readonly ${memberName(name)}?: ${attributeTypes[type]}\n`
  })
  return `{\n${texts.join('')}  }`
}

const hasParams = ({ params, overrides = [] }: TypedScene): boolean => params !== undefined || overrides.length > 0

function paramsType({ params = {}, overrides = [] }: TypedScene): string {
  const names = [...new Set([params, ...overrides].flatMap(Object.keys))].sort()
  // Of this type nothing can be read, so a stage that reads a parameter is refused.
  if (names.length === 0) return 'object'
  const valuesOf = (name: string) => [params, ...overrides].flatMap(values => (Object.hasOwn(values, name) ? [values[name]] : []))
  const members = names.map(
    name => `    readonly ${memberName(name)}${Object.hasOwn(params, name) ? '' : '?'}: ${typeOfValues(valuesOf(name), '    ')}\n`,
  )
  return `{\n${members.join('')}  }`
}

/** A type in which all the values fit, and others of their kinds. */
function typeOfValues(values: readonly unknown[], indent: string): string {
  const lists = values.filter(Array.isArray)
  const objects = values.filter(isObject)
  const scalars = values.filter(value => !isObject(value) && !Array.isArray(value)).map(value => (value === null ? 'null' : typeof value))
  const items = lists.flat()
  const list = lists.length === 0 ? [] : [`readonly ${items.length === 0 ? 'unknown' : grouped(typeOfValues(items, indent))}[]`]
  return union([...scalars.sort(), ...list, ...(objects.length === 0 ? [] : [objectType(objects, indent)])])
}

function objectType(objects: readonly Readonly<Record<string, unknown>>[], indent: string): string {
  const names = [...new Set(objects.flatMap(Object.keys))].sort()
  if (names.length === 0) return 'Readonly<Record<string, unknown>>'
  const members = names.map(name => {
    const values = objects.flatMap(object => (Object.hasOwn(object, name) ? [object[name]] : []))
    const isOptional = values.length < objects.length
    return `${indent}  readonly ${memberName(name)}${isOptional ? '?' : ''}: ${typeOfValues(values, `${indent}  `)}\n`
  })
  return `{\n${members.join('')}${indent}}`
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

// What a base offers

function offerType({ services, tables }: Offer, declarations: Declarations): string {
  const parts = [
    ...block(
      'Services',
      services.toSorted(byOrder(({ name }) => name)).map(service => serviceType(service, declarations)),
    ),
    ...block('FeatureTables', tables.toSorted(byOrder(({ name }) => name)).map(tableType)),
    '  interface KnownScenes extends Scenes {}\n',
  ]
  return `declare module '@berth/sdk' {\n${parts.join('')}}\n`
}

const block = (name: string, members: readonly string[]): string[] =>
  members.length === 0 ? [] : [`  interface ${name} {\n${members.join('')}  }\n`]

function serviceType({ name, methods }: BaseService, declarations: Declarations): string {
  const lines = methods.toSorted(byOrder(({ name }) => name)).map(method => {
    const wish = `${name}-${method.name}`
    const args = declarations.inline(`${wish}-input`, schemaIn(method.input), '      ')
    const output = method.output === undefined ? 'unknown' : declarations.inline(`${wish}-output`, schemaIn(method.output), '      ')
    return `      ${method.name}(...args: ${args.startsWith('readonly ') ? args : 'readonly unknown[]'}): Promise<${output}>\n`
  })
  return `    readonly ${memberName(name)}: {\n${lines.join('')}    }\n`
}

/** The code of a service gives any value as a schema. What is none says nothing. */
const schemaIn = (value: unknown): Schema => (isObject(value) || typeof value === 'boolean' ? value : true)

/** All columns of a table in CSV are in every row, as text. Of other rows only the names of their members are known. */
function tableType({ name, version, columns, versions }: Offer['tables'][number]): string {
  const format = versions.find(({ digest }) => digest === version)?.format
  const isText = format === 'csv' || format === 'tsv'
  const member = (column: string) =>
    isText ? `${memberName(column)}: string` : column === 'key' ? 'key: string | number' : `${memberName(column)}?: unknown`
  const members = columns.map(column => `      readonly ${member(column)}\n`)
  const others = columns.length < limits.features.columnsMax ? '' : '      readonly [column: string]: unknown\n'
  return `    readonly ${memberName(name)}: {\n${members.join('')}${others}    }\n`
}
