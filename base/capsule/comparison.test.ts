import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareAnswers, Layout, longestRise, type Tolerances } from './comparison.ts'

const json = fc.jsonValue({ maxDepth: 4 }).map(value => JSON.parse(JSON.stringify(value)) as unknown)

const compare = (before: unknown, after: unknown, tolerances: Tolerances = {}, others: readonly unknown[] = []) =>
  compareAnswers(before, after, new Layout([before, ...others], tolerances))
const shown = (...given: Parameters<typeof compare>) => compare(...given).map(({ kind, path }) => `${kind} ${path}`)

test('an answer does not differ from itself, whatever it is', () => {
  fc.assert(
    fc.property(json, fc.array(json), (answer, others) => assert.deepEqual(compare(answer, structuredClone(answer), {}, others), [])),
  )
})

test('two answers that differ in more than the last digits of numbers have a field that differs', () => {
  const differ = (one: unknown, other: unknown) => JSON.stringify(one) !== JSON.stringify(other)
  const plain = fc.jsonValue({ maxDepth: 4 }).map(value => rounded(JSON.parse(JSON.stringify(value)) as unknown))
  fc.assert(
    fc.property(plain, plain, (before, after) => {
      fc.pre(differ(sorted(before), sorted(after)))
      assert.notDeepEqual(compare(before, after), [])
    }),
  )
})

/** Numbers of few digits, none of them -0. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Math.round(Math.max(-1e6, Math.min(1e6, value))) + 0
  return inside(value, rounded)
}

const sorted = (value: unknown): unknown => {
  const members = inside(value, sorted)
  if (typeof members !== 'object' || members === null || Array.isArray(members)) return members
  return Object.fromEntries(Object.entries(members).sort(([one], [other]) => (one < other ? -1 : 1)))
}

function inside(value: unknown, change: (member: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(change)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, change(member)]))
}

test('items that have an id are compared with the item of the same id, and the list says which were moved, added and lost', () => {
  const items = (...ids: string[]) => ({ items: ids.map((id, index) => ({ id, score: id === 'b' ? index : 1 })) })
  const [list, score] = compare(items('a', 'b', 'c', 'd'), items('c', 'a', 'b', 'e'))
  assert.deepEqual([score?.kind, score?.path], ['list', '/items'])
  assert.deepEqual(score?.list, { moved: 1, added: 1, missing: 1 })
  assert.deepEqual([list?.kind, list?.path, list?.before, list?.after, list?.shift], ['value', '/items/*/score', 1, 2, 1])
})

test('lists of ids are compared as such, and lists of measures by their places', () => {
  assert.deepEqual(compare(['x', 'y', 'z'], ['z', 'x', 'y'])[0]?.list, { moved: 1, added: 0, missing: 0 })
  assert.deepEqual(shown([0.25, 0.5], [0.5, 0.5]), ['value /*'])
  assert.deepEqual(compare([0.25], [0.25, 1])[0]?.list, { moved: 0, added: 1, missing: 0 })
})

test('a member that was always there is missing, one that sometimes was not there has another value', () => {
  assert.deepEqual(shown({ a: 1, b: 2 }, { a: 1 }), ['missing /b'])
  assert.deepEqual(shown({ a: 1, b: 2 }, { a: 1 }, {}, [{ a: 1 }]), ['value /b'])
  assert.deepEqual(shown({ a: 1 }, { a: 1, b: 2 }), ['new /b'])
  assert.deepEqual(shown({ a: 1 }, { a: 1, b: 2 }, {}, [{ b: 1 }]), ['value /b'])
})

test('a field has another type only when it never had it with the baseline', () => {
  assert.deepEqual(shown({ a: 1 }, { a: '1' }), ['type /a'])
  assert.deepEqual(shown({ a: 1 }, { a: null }, {}, [{ a: null }]), ['value /a'])
})

test('the members of an object with ids for names are one field', () => {
  const scores = (from: number, by: number) => ({
    scores: Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`i${from + index}`, by])),
  })
  assert.deepEqual(shown(scores(0, 1), scores(0, 2), {}, [scores(100, 1)]), ['value /scores/*'])
})

test('tolerances are of single fields: absolute, relative, in any order, by another id, or not compared at all', () => {
  assert.deepEqual(shown({ a: 1, b: 1 }, { a: 1.05, b: 1.05 }, { '/a': { absolute: 0.1 } }), ['value /b'])
  assert.deepEqual(shown({ a: 100 }, { a: 101 }, { '/a': { relative: 0.02 } }), [])
  assert.deepEqual(shown(['x', 'y'], ['y', 'x'], { '': { order: 'any' } }), [])
  assert.deepEqual(
    shown(
      [
        { n: 1.5, k: 'x' },
        { n: 2.5, k: 'y' },
      ],
      [
        { n: 2.5, k: 'y' },
        { n: 1.5, k: 'x' },
      ],
      { '': { key: 'k' } },
    ),
    ['list '],
  )
  assert.deepEqual(shown({ a: { b: 1 } }, { a: 2 }, { '/a': { ignore: true } }), [])
  assert.deepEqual(shown({ 'a/b': 1 }, { 'a/b': 2 }, { '/a~1b': { ignore: true } }), [])
})

test('the order of a sum is no difference, and one more is one', () => {
  assert.deepEqual(compare(0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1), [])
  assert.deepEqual(shown(1_790_000_000_000, 1_790_000_000_001), ['value '])
})

test('the longest rise is as long as the longest part of the numbers that rises', () => {
  const slow = (numbers: readonly number[]): number => {
    const lengths: number[] = []
    for (const [at, number] of numbers.entries()) {
      lengths.push(1 + Math.max(0, ...lengths.filter((_, before) => (numbers[before] ?? 0) < number && before < at)))
    }
    return Math.max(0, ...lengths)
  }
  const distinct = fc.uniqueArray(fc.integer({ min: 0, max: 30 }))
  fc.assert(fc.property(distinct, numbers => assert.equal(longestRise(numbers), slow(numbers))))
})
