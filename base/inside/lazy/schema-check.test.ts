/** How bodies and answers are checked. This runs in Node.js; that the same code works in a slot, test/callers-fault.test.ts shows. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { faultInSchema } from '../../traffic/json-schema.ts'
import part from './schema-check.ts'

function misfits(schema: object, value: unknown, most = 8): [pointer: string, expected: string][] {
  assert.equal(faultInSchema(schema), undefined)
  const check = part.compileSchema(JSON.stringify(schema))
  return check.fits(value) ? [] : check.misfits(value, most).map(({ pointer, expected }) => [pointer, expected])
}

const item = { type: 'object', properties: { id: { type: ['string', 'null'] }, tags: { uniqueItems: true } }, required: ['id', 'kind'] }

for (const [schema, value, ...expected] of [
  [{ type: 'object' }, null, ['', 'must be an object']],
  [
    { items: item },
    [
      { id: 'a', kind: 1 },
      { id: 7, tags: [1, 1] },
    ],
    ['/1/id', 'must be a string or null'],
    ['/1/tags', 'must not have the same item twice'],
    ['/1', 'must have "kind"'],
  ],
  [{ prefixItems: [{ const: 1 }], items: false }, [2, 3], ['/0', 'must be 1'], ['/1', 'must not be there']],
  [{ properties: { 'a/b~c': { minimum: 3 } } }, { 'a/b~c': 2 }, ['/a~1b~0c', 'must be at least 3']],
  [
    { patternProperties: { '^n': { type: 'number' } }, additionalProperties: false },
    { n1: 'x', m: 1 },
    ['/n1', 'must be a number'],
    ['/m', 'must not be there'],
  ],
  [
    { $ref: '#/$defs/a', minItems: 2, $defs: { a: { items: { $ref: '#/$defs/b' } }, b: { maxLength: 1 } } },
    ['xy'],
    ['/0', 'must have at most 1 character'],
    ['', 'must have at least 2 items'],
  ],
  [
    { allOf: [{ properties: { a: { format: 'uuid' } } }, { maxProperties: 1 }] },
    { a: 'x', b: 1 },
    ['/a', 'must have the format "uuid"'],
    ['', 'must have at most 1 member'],
  ],
  [{ items: { anyOf: [{ type: 'string' }, { type: 'null' }] } }, ['a', 1], ['/1', 'must be one of what "anyOf" allows']],
  [{ contains: { const: 1 }, minContains: 2 }, [1, 2], ['', 'must contain as many items as "contains" asks for']],
  [JSON.parse('{"if":{"required":["a"]},"then":{"required":["b"]}}'), { a: 1 }, ['', 'must be as "then" or "else" asks for']],
  [{ enum: ['a', { b: 1 }] }, 'c', ['', 'must be one of "a", {"b":1}']],
] as const) {
  test(`${JSON.stringify(value)} does not fit ${JSON.stringify(schema)}, and is told where`, () => {
    assert.deepEqual(misfits(schema, value), expected)
  })
}

test('text of a schema is never code', () => {
  const names = [`'`, '"', '`', '\\', '\u2028', ')];throw 1//', '*/throw 1/*', `$\{(()=>{throw 1})()}`, 'value', 'External', 'Guard']
  const object = (member: (name: string) => unknown): object => Object.fromEntries(names.map(name => [name, member(name)]))
  const schema = { properties: object(name => ({ enum: [name, { [name]: name }], description: name })), required: names }
  assert.deepEqual(
    misfits(
      schema,
      object(name => name),
    ),
    [],
  )
  assert.equal(
    misfits(
      schema,
      object(() => 1),
      100,
    ).length,
    names.length,
  )
  assert.deepEqual(misfits(schema, {}, 1), [['', `must have "'"`]])
})

test('members of a body that have names of the language are members like any other', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  const body = JSON.parse(`{${names.map(name => `"${name}":1`).join()}}`)
  assert.deepEqual(misfits({ additionalProperties: { type: 'number' }, minProperties: 4 }, body), [])
  assert.deepEqual(
    misfits({ additionalProperties: false }, body).map(([pointer]) => pointer),
    names.map(name => `/${name}`),
  )
})

test('of any value that does not fit, a place that is in it is named, and no more places than asked for', () => {
  const schema = { type: 'object', additionalProperties: { type: 'array', maxItems: 2, items: { type: 'integer', minimum: 0 } } }
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 1, max: 3 }), (value, most) => {
      const found = misfits(schema, value, most)
      assert.ok(found.length <= most)
      for (const [pointer] of found) {
        const names = pointer
          .split('/')
          .slice(1)
          .map(name => name.replaceAll('~1', '/').replaceAll('~0', '~'))
        let at: unknown = value
        for (const name of names) {
          assert.ok(Object.hasOwn(at as object, name), pointer)
          at = (at as Record<string, unknown>)[name]
        }
      }
    }),
  )
})
