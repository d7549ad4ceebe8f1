import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { lossesIn } from './json-losses.ts'

class Ranking {
  #score = 1
  get score() {
    return this.#score
  }
}

const losing: readonly [what: string, value: unknown, text: RegExp][] = [
  ['a promise that nobody awaited', Promise.resolve([]), /^is a Promise, which became \{\}: await it$/],
  ['a map', new Map([[1, 2]]), /^is a Map, .*Object\.fromEntries/],
  ['a set', new Set([1]), /^is a Set, .*\[\.\.\.set\]/],
  ['a weak map', new WeakMap(), /^is a WeakMap, which became \{\}/],
  ['a generator', [1].values(), /^is a .*Iterator, which became \{\}/],
  ['an error', new RangeError('no'), /^is an error \(RangeError\), which lost its message/],
  ['an error with members', Object.assign(new Error('no'), { code: 1 }), /^is an error \(Error\), /],
  ['a regular expression', /x/, /^is a RegExp, /],
  ['a typed array', new Float32Array(2), /^is a Float32Array, which became an object, not a list/],
  ['an object with private state', new Ranking(), /^is a Ranking, which became \{\}: return a plain object$/],
  ['an invalid date', new Date('x'), /^is an invalid date, which became null/],
  ['NaN', Number.NaN, /^is NaN, which became null/],
  ['infinity', -Infinity, /^is -Infinity, which became null/],
  ['undefined', undefined, /^is undefined and was left out/],
  ['a function', () => 1, /^is a function, which was left out/],
  ['a symbol', Symbol('s'), /^is a symbol, which was left out/],
]

for (const [what, value, text] of losing) {
  test(`${what} in an answer is found, with its place and what to do`, () => {
    const [loss, ...more] = lossesIn({ rows: [{ id: 1 }, { id: 2, 'a/b': value }] }, 100)
    assert.equal(loss?.path, '/rows/1/a~1b')
    assert.match(loss.text, text)
    assert.deepEqual(more, [])
  })
}

test('the holes of a list, and undefined in it, are found, since they become null', () => {
  // biome-ignore lint/suspicious/noSparseArray: it is what is tested
  assert.match(lossesIn([1, , 3], 100)[0]?.text ?? '', /^is undefined, which became null/)
})

test('what all items of a list lose alike is found once, and what they lose differently each time', () => {
  const found = lossesIn([{ score: Number.NaN }, { score: Number.NaN }, { score: undefined }], 100)
  assert.deepEqual(
    found.map(({ path }) => path),
    ['/0/score', '/2/score'],
  )
})

test('what has a toJSON, is boxed, or has no prototype loses nothing', () => {
  const groups = Object.assign(Object.create(null), { a: 1 })
  assert.deepEqual(lossesIn([new Date(0), new URL('http://x/'), Object(1), Object('x'), groups, new (class {})()], 100), [])
})

test('a look ends after so many values, and does not go deeper than the stack allows', () => {
  const long = [Array.from({ length: 1000 }, () => 1), Number.NaN]
  assert.deepEqual(lossesIn(long, 1001), [])
  assert.equal(lossesIn(long, 1003).length, 1)
  let deep: unknown = Number.NaN
  for (let level = 0; level < 1e5; level++) deep = [deep]
  assert.deepEqual(lossesIn(deep, 1e6), [])
})

test('any value that JSON holds loses nothing', () => {
  fc.assert(fc.property(fc.jsonValue(), value => assert.deepEqual(lossesIn(value, 1e6), [])))
})

test('a value that JSON gives back otherwise loses something', () => {
  const values = fc.letrec(tie => ({
    value: fc.oneof(fc.integer(), fc.string(), fc.constantFrom(null, undefined, Number.NaN), tie('list'), tie('object')),
    list: fc.array(tie('value'), { maxLength: 3 }),
    object: fc.dictionary(fc.string(), tie('value'), { maxKeys: 3 }),
  })).value
  const isKept = (value: unknown) => {
    try {
      assert.deepStrictEqual(JSON.parse(JSON.stringify({ value })), { value })
      return true
    } catch {
      return false
    }
  }
  const plain = (value: unknown): unknown => structuredClone(value)
  fc.assert(fc.property(values, value => assert.equal(lossesIn({ value: plain(value) }, 1e6).length === 0, isKept(plain(value)))))
})
