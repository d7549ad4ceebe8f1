import assert from 'node:assert/strict'
import { test } from 'node:test'
import { typesOf } from './generated-types.ts'

/** The declarations that follow the interface of all scenes. */
const declared = (request: object): string =>
  typesOf([{ id: 'home', schemas: { request: request as never } }])
    .split('\n\n')
    .slice(2)
    .join('\n')
    .trimEnd()

for (const [schema, type] of [
  [{}, 'unknown'],
  [{ properties: { a: { type: 'string' } } }, 'unknown'],
  [{ type: ['integer', 'null'] }, 'number | null'],
  [{ enum: ['a', "it's", 1, null, { b: [true] }] }, `'a' | 'it\\'s' | 1 | null | { readonly b: readonly [true] }`],
  [{ type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'boolean' }] } }, 'readonly (string | boolean)[]'],
  [{ type: 'array', prefixItems: [{ type: 'string' }, { type: 'number' }], items: false, minItems: 1 }, 'readonly [string, number?]'],
  [{ type: 'object', additionalProperties: { type: 'number' } }, 'Readonly<Record<string, number>>'],
  [{ type: 'object', additionalProperties: false }, 'Readonly<Record<string, never>>'],
  [{ oneOf: [{ const: 'a' }, { type: 'number' }], not: { const: 1 } }, `'a' | number`],
  [{ allOf: [{ anyOf: [{ const: 1 }, { const: 2 }] }, { type: 'integer' }] }, '(1 | 2) & number'],
] as const) {
  test(`${JSON.stringify(schema)} is ${type}`, () => assert.equal(declared(schema), `export type HomeInput = ${type}`))
}

test('members are named as they are, required where they are, and described; definitions become types of their own', () => {
  const schema = {
    type: 'object',
    description: 'What a visitor */ sends',
    required: ['items', 'b-c'],
    properties: {
      items: { type: 'array', items: { $ref: '#/$defs/item' } },
      user: { type: 'object', properties: { age: { type: 'integer', description: 'in\n years' } } },
    },
    $defs: { item: { type: 'object', required: ['id'], properties: { id: { type: 'string' }, like: { $ref: '#/$defs/item' } } } },
  }
  assert.equal(
    declared(schema),
    `/** What a visitor * / sends */
export type HomeInput = {
  readonly items: readonly HomeInputItem[]
  readonly user?: {
    /** in years */
    readonly age?: number
  }
  readonly 'b-c': unknown
}
export type HomeInputItem = {
  readonly id: string
  readonly like?: HomeInputItem
}`,
  )
})

test('the text is the same whatever the order of the scenes, every type has a name of its own, and a scene without schemas is unknown', () => {
  const scenes = [
    { id: 'a.b', schemas: { request: { type: 'string' }, answer: { type: 'number' } } },
    { id: 'a-b', schemas: { request: { type: 'null' } } },
    { id: '1' },
  ]
  const text = typesOf(scenes)
  assert.equal(typesOf(scenes.toReversed()), text)
  assert.ok(
    text.endsWith(`export interface Scenes {
  readonly '1': { readonly input: unknown; readonly output: unknown }
  readonly 'a-b': { readonly input: ABInput; readonly output: unknown }
  readonly 'a.b': { readonly input: ABInput2; readonly output: ABOutput }
}

export type ABInput = null

export type ABInput2 = string

export type ABOutput = number
`),
    text,
  )
})

test('a parameter has the types of all values that the scene, its versions and its experiments set, and is optional where the scene sets none', () => {
  const params = { k: 1, list: [1], by: { price: 1 } }
  const text = typesOf([{ id: 'home', params, overrides: [{ k: null }, { list: ['a'] }, { by: { price: 2, age: true } }, { mode: 'x' }] }])
  assert.ok(
    text.endsWith(`export interface Params {
  readonly 'home': {
    readonly by: {
      readonly age?: boolean
      readonly price: number
    }
    readonly k: null | number
    readonly list: readonly (number | string)[]
    readonly mode?: string
  }
}
`),
    text,
  )
  assert.doesNotMatch(text, /declare module/)
})

test('what a service says in no schema is unknown, and a table with more columns than are known has any others', () => {
  const services = [{ name: 'geo', methods: [{ name: 'near', input: 'any', output: { $ref: '#/definitions/place' } }] }]
  const columns = Array.from({ length: 200 }, (_, i) => `c${i}`)
  const text = typesOf([], { services, tables: [{ name: 'wide.1', version: null, columns, versions: [] }] })
  assert.match(text, /readonly geo: \{\n {6}near\(\.\.\.args: readonly unknown\[\]\): Promise<unknown>\n/)
  assert.match(
    text,
    /readonly 'wide\.1': \{\n {6}readonly c0\?: unknown\n[^}]*readonly c199\?: unknown\n {6}readonly \[column: string\]: unknown\n/,
  )
})
