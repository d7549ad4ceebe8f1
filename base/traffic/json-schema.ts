/**
 * Which JSON schemas a scene may declare: a part of draft 2020-12 in which every keyword is enforced or is a remark. A schema that passes here compiles in
 * any slot, refers to nothing outside of itself, and comes to an end for every value.
 */
import { limits } from '../kernel/limits.ts'

const DIALECT = 'https://json-schema.org/draft/2020-12/schema'
const REFERENCE = /^#\/\$defs\/[^/]+$/

const types: readonly unknown[] = ['null', 'boolean', 'object', 'array', 'number', 'integer', 'string']
const formats: readonly unknown[] = ['date', 'date-time', 'duration', 'email', 'hostname', 'ipv4', 'ipv6', 'time', 'uri', 'uuid']

/** What the value of a keyword has to be, in words, and whether it is. */
interface Kind {
  readonly is: string
  readonly holds: (value: unknown) => boolean
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isSchema = (value: unknown): boolean => isObject(value) || typeof value === 'boolean'
const isList = (value: unknown, holds: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.length > 0 && value.every(holds)
const isType = (value: unknown): boolean => types.includes(value)
const isNames = (value: unknown): boolean => Array.isArray(value) && value.every(item => typeof item === 'string')

const anything: Kind = { is: 'any JSON', holds: () => true }
const schema: Kind = { is: 'a schema', holds: isSchema }
const schemas: Kind = { is: 'a list of schemas', holds: value => isList(value, isSchema) }
const named: Kind = { is: 'an object of schemas', holds: value => isObject(value) && Object.values(value).every(isSchema) }
const count: Kind = { is: 'a whole number from 0', holds: value => Number.isSafeInteger(value) && Number(value) >= 0 }
const number: Kind = { is: 'a number', holds: value => typeof value === 'number' }
const text: Kind = { is: 'a text', holds: value => typeof value === 'string' }
const flag: Kind = { is: 'true or false', holds: value => typeof value === 'boolean' }
const names: Kind = { is: 'a list of names', holds: isNames }
const patternFault = (pattern: string): string | undefined => {
  try {
    new RegExp(pattern, 'u')
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const kinds: readonly (readonly [Kind, string])[] = [
  [anything, 'default const'],
  [schema, 'items contains additionalProperties propertyNames not if then else'],
  [schemas, 'allOf anyOf oneOf prefixItems'],
  [named, '$defs properties patternProperties dependentSchemas'],
  [count, 'minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties'],
  [number, 'minimum maximum exclusiveMinimum exclusiveMaximum'],
  [text, '$comment title description pattern'],
  [flag, 'deprecated readOnly writeOnly uniqueItems'],
  [names, 'required'],
  [{ is: `"${DIALECT}"`, holds: value => value === DIALECT }, '$schema'],
  [{ is: 'a reference such as "#/$defs/NAME": there are no others', holds: value => REFERENCE.test(String(value)) }, '$ref'],
  [{ is: 'a list', holds: Array.isArray }, 'examples'],
  [{ is: `one of ${types.join(', ')}, or a list of these`, holds: value => isType(value) || isList(value, isType) }, 'type'],
  [{ is: 'a list that is not empty', holds: value => isList(value, () => true) }, 'enum'],
  [{ is: `one of ${formats.join(', ')}`, holds: value => formats.includes(value) }, 'format'],
  [{ is: 'a number above 0', holds: value => typeof value === 'number' && value > 0 }, 'multipleOf'],
  [{ is: 'an object of lists of names', holds: value => isObject(value) && Object.values(value).every(isNames) }, 'dependentRequired'],
]

const keywords: ReadonlyMap<string, Kind> = new Map(
  kinds.flatMap(([kind, list]) => list.split(' ').map(keyword => [keyword, kind] as const)),
)

/** Keywords whose schemas are for the very value that their own schema is for. */
const IN_PLACE = ['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else', 'dependentSchemas']

/** What is wrong with a schema of a scene, with a JSON pointer into it; undefined when nothing is. Whoever has read it has bounded how deeply it is nested. */
export function faultInSchema(root: unknown): string | undefined {
  if (!isObject(root)) return 'it must be an object'
  const { length } = JSON.stringify(root)
  if (length > limits.schemas.charsMax) return `it has ${length} characters as JSON, the limit is ${limits.schemas.charsMax}`
  return faultIn(root, '', root) ?? circleFault(root)
}

function faultIn(node: unknown, pointer: string, root: Readonly<Record<string, unknown>>): string | undefined {
  if (!isObject(node)) return undefined
  for (const [keyword, value] of Object.entries(node)) {
    const place = `${pointer}/${escaped(keyword)}`
    const fault = keywordFault(keyword, value, place, root)
    if (fault !== undefined) return fault
    for (const [part, partPlace] of partsOf(keyword, value, place)) {
      const inner = faultIn(part, partPlace, root)
      if (inner !== undefined) return inner
    }
  }
  return undefined
}

function keywordFault(keyword: string, value: unknown, place: string, root: Readonly<Record<string, unknown>>): string | undefined {
  const kind = keywords.get(keyword)
  if (kind === undefined) return `${place} is a keyword that is not supported`
  if (!kind.holds(value)) return `${place} must be ${kind.is}`
  if ((keyword === '$defs' || keyword === '$schema') && place !== `/${keyword}`) return `${place} must be at the top of the schema`
  if (keyword === '$ref' && definitionOf(root, String(value)) === undefined)
    return `${place} refers to ${JSON.stringify(value)}, which is not there`
  const inherited = namesIn(keyword, value).find(name => name in {})
  if (inherited !== undefined) return `${place} has the name "${inherited}", which every object of JavaScript has: choose another`
  const patterns = keyword === 'pattern' ? [String(value)] : keyword === 'patternProperties' ? Object.keys(Object(value)) : []
  const broken = patterns.map(patternFault).find(fault => fault !== undefined)
  return broken === undefined ? undefined : `${place} is no regular expression: ${broken}`
}

/** The names of members that a keyword looks for. */
function namesIn(keyword: string, value: unknown): string[] {
  if (keyword === 'required') return value as string[]
  if (keyword === 'dependentRequired')
    return Object.entries(value as Record<string, string[]>).flatMap(([name, others]) => [name, ...others])
  return keyword === 'properties' || keyword === 'dependentSchemas' ? Object.keys(Object(value)) : []
}

/** The schemas in the value of a keyword, each with its place. */
function partsOf(keyword: string, value: unknown, place: string): [unknown, string][] {
  const kind = keywords.get(keyword)
  if (kind === schema) return [[value, place]]
  return kind === schemas || kind === named ? Object.entries(Object(value)).map(([name, part]) => [part, `${place}/${escaped(name)}`]) : []
}

/** References that come back to where they began without a step into the value would never end. */
function circleFault(root: Readonly<Record<string, unknown>>): string | undefined {
  const ends = new Set<string>()
  const visit = (node: unknown, path: readonly string[]): string | undefined => {
    for (const ref of referencesIn(node)) {
      if (path.includes(ref)) return `it refers to itself for the same value: ${[...path.slice(path.indexOf(ref)), ref].join(' → ')}`
      if (ends.has(ref)) continue
      const fault = visit(definitionOf(root, ref), [...path, ref])
      if (fault !== undefined) return fault
      ends.add(ref)
    }
    return undefined
  }
  return (
    visit(root, []) ??
    Object.keys(Object(root.$defs))
      .map(name => visit({ $ref: `#/$defs/${escaped(name)}` }, []))
      .find(fault => fault !== undefined)
  )
}

/** The references of a schema to others for the same value. */
function referencesIn(node: unknown): string[] {
  if (!isObject(node)) return []
  const own = typeof node.$ref === 'string' ? [node.$ref] : []
  const parts = IN_PLACE.flatMap(keyword => (keyword in node ? partsOf(keyword, node[keyword], '') : []))
  return [...own, ...parts.flatMap(([part]) => referencesIn(part))]
}

function definitionOf({ $defs }: Readonly<Record<string, unknown>>, ref: string): unknown {
  const name = ref.slice('#/$defs/'.length).replaceAll('~1', '/').replaceAll('~0', '~')
  return isObject($defs) && Object.hasOwn($defs, name) ? $defs[name] : undefined
}

const escaped = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')
