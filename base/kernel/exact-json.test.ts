import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { atPath } from '../traffic/pointer.ts'
import { messageOf } from './errors.ts'
import { checkNumbers, idOfNumber, parseKeepingNumbers, sourceAt } from './exact-json.ts'
import { exactValue, numbers } from './fixtures/json-numbers.ts'

test('numbers have the same id only when they are equal', () => {
  fc.assert(
    fc.property(fc.array(numbers, { minLength: 2, maxLength: 30 }), sources => {
      const byId = new Map<string, string>()
      const byValue = new Map<string, string>()
      for (const source of sources) {
        const id = idOfNumber(source)
        if (id === undefined) continue
        const value = exactValue(source)
        assert.equal(byId.get(id) ?? value, value, `${source} has the id ${id}`)
        assert.equal(byValue.get(value) ?? id, id, `${source} has the id ${id}`)
        byId.set(id, value)
        byValue.set(value, id)
        assert.equal(exactValue(id), value)
      }
    }),
  )
})

test('an integer that is written as digits always has an id, which is the digits', () => {
  fc.assert(fc.property(fc.bigInt().map(String), source => assert.equal(idOfNumber(source), source)))
})

test('a number that JavaScript holds exactly has the id that JavaScript writes, however it is written', () => {
  const exact = fc.oneof(
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true, maxExcluded: true, min: -(2 ** 52), max: 2 ** 52 }),
  )
  fc.assert(
    fc.property(exact, number => {
      for (const source of [JSON.stringify(number), number.toExponential()]) assert.equal(idOfNumber(source), String(number))
    }),
  )
})

test('the ids of numbers', () => {
  const ids = {
    '7': '7',
    '7.0': '7',
    '70e-1': '7',
    '1e3': '1000',
    '-0': '0',
    '-0.0e5': '0',
    '1.50': '1.5',
    '0.000001e-1': '1e-7',
    '9007199254740991.0': '9007199254740991',
    '9007199254740993': '9007199254740993',
    '-9007199254740993': '-9007199254740993',
    '123456789012345678901234567890': '123456789012345678901234567890',
    '9007199254740993.0': undefined,
    '9007199254740992e0': undefined,
    '1E400': undefined,
    '1e-400': undefined,
    '1.00000000000000000001': undefined,
    '9007199254740991.2': undefined,
  }
  for (const [source, id] of Object.entries(ids)) assert.equal(idOfNumber(source), id, source)
})

test('a number of many digits takes no more time than its length', () => {
  const zeros = '0'.repeat(500_000)
  assert.equal(idOfNumber(`1.${zeros}1`), undefined)
  assert.equal(idOfNumber(`7.${zeros}`), '7')
  assert.equal(idOfNumber(`1${zeros}1`), `1${zeros}1`)
})

/** Every path to a value in a value. */
const pathsIn = (value: unknown): string[][] =>
  typeof value !== 'object' || value === null
    ? [[]]
    : [[], ...Object.entries(value).flatMap(([name, member]) => pathsIn(member).map(path => [name, ...path]))]

test('the source at a path is the text of what JSON.parse finds there', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom('', '\r\n\t '), (value, indent) => {
      const json = `${indent}${JSON.stringify(value, undefined, indent)}${indent}`
      const parsed: unknown = JSON.parse(json)
      for (const path of pathsIn(parsed)) {
        assert.deepEqual(JSON.parse(sourceAt(json, path) ?? ''), atPath(parsed, path))
        assert.equal(sourceAt(json, [...path, 'missing']), undefined)
        assert.equal(sourceAt(json, [...path, '99']), undefined)
      }
    }),
  )
})

test('the source at a path heeds escapes, and of members with one name it is that of the last', () => {
  const json = String.raw`{"a\"b":1,"s":"]}\\\"{","\u0061":{"b":[ 1 , [],"x\\" , 1.50 ]},"a":{"b" : [1,{},2.0,{"c":7e0}]} ,"b":"a"}`
  assert.equal(sourceAt(json, ['a"b']), '1')
  assert.equal(sourceAt(json, ['s']), String.raw`"]}\\\"{"`)
  assert.equal(sourceAt(json, ['a', 'b', '3', 'c']), '7e0')
  assert.equal(sourceAt(json, ['a', 'b', '3'], 'first'), '1.50')
  for (const path of [['c'], ['s', '0'], ['a', 'b', '4'], ['a', 'b', '01'], ['a', 'b', '-1'], ['a', 'b', 'length']]) {
    assert.equal(sourceAt(json, path), undefined)
  }
})

test('of all numbers in a text, the first that JavaScript rounds to a whole number is refused with its place', () => {
  const refused = (json: string) => {
    try {
      checkNumbers(json)
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }
  assert.equal(refused('[0.1000000000000000000001,1e22,9007199254740992,"9007199254740993",{"9007199254740993":1e3}]'), undefined)
  assert.match(refused('{"~/":[{},9007199254740993,9007199254740995]}') ?? '', /^it has the number 9007199254740993 at \/~0~1\/1, which/)
  assert.match(refused('1e999') ?? '', /^it has the number 1e999, which/)
  fc.assert(
    fc.property(numbers, source => {
      const number = Number(source)
      const isKept =
        Math.abs(number) <= Number.MAX_SAFE_INTEGER || (Number.isFinite(number) && exactValue(source) === exactValue(String(number)))
      assert.equal(refused(`{"a":[1,${source}]}`)?.includes(' at /a/1, '), isKept ? undefined : true)
    }),
  )
})

test('numbers come out of parsing and writing with the same value', () => {
  fc.assert(
    fc.property(fc.array(numbers, { minLength: 1 }), sources => {
      const written = JSON.stringify(parseKeepingNumbers(`{"a":[${sources}]}`))
      for (const [index, source] of sources.entries()) {
        const kept = sourceAt(written, ['a', String(index)]) ?? ''
        if (Math.abs(Number(source)) > Number.MAX_SAFE_INTEGER) assert.equal(exactValue(kept), exactValue(source))
        else assert.equal(Number(kept), Number(source) + 0)
      }
    }),
  )
})
