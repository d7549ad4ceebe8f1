import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fitLogistic, probability, type SparseRow } from './logistic.ts'

const row = (entries: readonly (readonly [number, number])[], positive: boolean): SparseRow => ({
  indices: Uint16Array.from(entries, ([index]) => index),
  values: Float64Array.from(entries, ([, value]) => value),
  positive,
})

const repeat = (count: number, made: SparseRow): SparseRow[] => Array<SparseRow>(count).fill(made)

/** Rows of which 1 in 10 is positive without the column, and 6 in 10 with it. */
const twoGroups = [
  ...repeat(1, row([], true)),
  ...repeat(9, row([], false)),
  ...repeat(6, row([[0, 1]], true)),
  ...repeat(4, row([[0, 1]], false)),
]

test('hardly penalised, two groups get their own log-odds', () => {
  const { intercept, weights } = fitLogistic(twoGroups, 1, 1e-8)
  assert(Math.abs(intercept - Math.log(1 / 9)) < 1e-6)
  assert(Math.abs((weights[0] ?? Number.NaN) - (Math.log(6 / 4) - Math.log(1 / 9))) < 1e-6)
})

test('heavily penalised, every row gets the base rate', () => {
  const model = fitLogistic(twoGroups, 1, 1e9)
  for (const each of twoGroups) assert(Math.abs(probability(model, each) - 7 / 20) < 1e-6)
})

const entry = fc.tuple(fc.nat(4), fc.double({ min: -3, max: 3, noNaN: true }))
const anyRow = fc
  .tuple(fc.uniqueArray(entry, { selector: ([index]) => index, maxLength: 5 }), fc.boolean())
  .map(([entries, positive]) => row(entries, positive))

test('at the optimum the gradient of loss and penalty is zero in every column', () => {
  fc.assert(
    fc.property(fc.array(anyRow, { minLength: 2, maxLength: 40 }), fc.constantFrom(0.1, 1, 30), (rows, penalty) => {
      fc.pre(new Set(rows.map(each => each.positive)).size === 2)
      const model = fitLogistic(rows, 5, penalty)
      const gradient = [...model.weights, 0].map((weight, column) => {
        const slope = (each: SparseRow): number => {
          const value = column === 5 ? 1 : (each.values[each.indices.indexOf(column)] ?? 0)
          return value * (probability(model, each) - Number(each.positive))
        }
        return rows.reduce((sum, each) => sum + slope(each), penalty * weight)
      })
      for (const part of gradient) assert(Math.abs(part) < 1e-6, `gradient ${gradient}`)
    }),
  )
})

test('a column that separates the classes has a finite weight', () => {
  const rows = [row([[0, 1]], true), row([[0, -1]], false)]
  assert(Number.isFinite(fitLogistic(rows, 1, 0.1).weights[0]))
})

test('rows of one class are refused', () => {
  assert.throws(() => fitLogistic([row([], false)], 0, 1), { message: 'Cannot fit: 0 of 1 rows are positive, both classes are needed' })
})
