import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { areaUnderCurve, logLoss, logLossGain, type Prediction } from './metrics.ts'

const predictions = (positives: readonly number[], negatives: readonly number[]): Prediction[] => [
  ...positives.map(probability => ({ probability, positive: true })),
  ...negatives.map(probability => ({ probability, positive: false })),
]

const near = (actual: number, expected: number): void => assert(Math.abs(actual - expected) < 1e-12, `${actual}, expected ${expected}`)

test('the log-loss is the mean surprise at what happened', () => {
  near(logLoss(predictions([0.5], [0.75])), (Math.log(2) + Math.log(4)) / 2)
})

test('the base rate gains nothing over itself', () => {
  assert.deepEqual(logLossGain(predictions([0.1, 0.1], [0.1]), 0.1), { value: 0, standardError: 0 })
})

test('a gain is the difference of two log-losses', () => {
  const model = predictions([0.8, 0.6], [0.3, 0.1])
  const constant = model.map(({ positive }) => ({ positive, probability: 0.5 }))
  near(logLossGain(model, 0.5).value, logLoss(constant) - logLoss(model))
})

const someProbabilities = fc.array(fc.constantFrom(0.1, 0.2, 0.3, 0.4, 0.5), { minLength: 2, maxLength: 30 })

test('the area under the curve is the share of pairs in the right order, ties counting half', () => {
  fc.assert(
    fc.property(someProbabilities, someProbabilities, (positives, negatives) => {
      const pairs = positives.flatMap(p => negatives.map(n => (p > n ? 1 : p === n ? 0.5 : 0)))
      near(areaUnderCurve(predictions(positives, negatives)).value, pairs.reduce<number>((sum, pair) => sum + pair, 0) / pairs.length)
    }),
  )
})

test('the standard error of the area is that of DeLong', () => {
  // Shares of negatives below each positive: 1, 2/3. Shares of positives above each negative: 1/2, 1, 1. Variances 1/18 and 1/12.
  const { value, standardError } = areaUnderCurve(predictions([0.9, 0.4], [0.5, 0.1, 0.3]))
  near(value, 5 / 6)
  near(standardError, Math.sqrt(1 / 18 / 2 + 1 / 12 / 3))
})
