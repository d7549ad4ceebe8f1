import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultInSchema } from './json-schema.ts'

const TREE = { $ref: '#/$defs/tree', $defs: { tree: { type: 'array', items: { $ref: '#/$defs/tree' } } } }

for (const schema of [
  {},
  TREE,
  { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'any', examples: [1], default: { anything: { unknown: 1 } } },
  { type: ['string', 'null'], pattern: '^\\p{L}+$', format: 'uuid', enum: [{ minimun: 1 }] },
  { properties: { minimun: { type: 'number', multipleOf: 0.5 } }, additionalProperties: false, required: [] },
  JSON.parse('{"if":{"required":["a"]},"then":false,"else":{"dependentRequired":{"b":["c"]}}}'),
  { $ref: '#/$defs/a~1b', $defs: { 'a/b': true } },
]) {
  test(`a scene may declare ${JSON.stringify(schema)}`, () => assert.equal(faultInSchema(schema), undefined))
}

for (const [schema, fault] of [
  [true, 'it must be an object'],
  [[], 'it must be an object'],
  [{ items: { type: 'text' } }, '/items/type must be one of null, boolean, object, array, number, integer, string, or a list of these'],
  [{ anyOf: [{ minLength: 1 }, { minLength: -1 }] }, '/anyOf/1/minLength must be a whole number from 0'],
  [{ properties: [] }, '/properties must be an object of schemas'],
  [{ patternProperties: { '[': true } }, '/patternProperties is no regular expression: '],
  [{ format: 'colour' }, '/format must be one of date, date-time, '],
  [{ required: ['id', 'toString'] }, '/required has the name "toString", which every object of JavaScript has'],
  [{ properties: { a: { properties: { valueOf: true } } } }, '/properties/a/properties has the name "valueOf"'],
  [{ $id: 'a' }, '/$id is a keyword that is not supported'],
  [{ unevaluatedProperties: false }, '/unevaluatedProperties is a keyword that is not supported'],
  [{ items: { $defs: {} } }, '/items/$defs must be at the top of the schema'],
  [{ $ref: '#' }, '/$ref must be a reference such as "#/$defs/NAME"'],
  [{ $ref: '#/$defs/toString', $defs: {} }, '/$ref refers to "#/$defs/toString", which is not there'],
  [
    { $defs: { a: { allOf: [{ $ref: '#/$defs/b' }] }, b: { not: { $ref: '#/$defs/a' } } } },
    'it refers to itself for the same value: #/$defs/a → #/$defs/b → #/$defs/a',
  ],
] as const) {
  test(`a schema is refused because ${fault}`, () => {
    const found = faultInSchema(schema)
    assert.ok(found?.startsWith(fault), String(found))
  })
}
