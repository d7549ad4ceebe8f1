import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clickRates, type Estimate, itemReader, type Outcome } from './estimate.ts'

function near(actual: Estimate | null, rate: number, standardError: number): void {
  assert(actual !== null && actual.standardError !== null)
  assert(Math.abs(actual.rate - rate) < 1e-12, `rate ${actual.rate}, not ${rate}`)
  assert(Math.abs(actual.standardError - standardError) < 1e-12, `standard error ${actual.standardError}, not ${standardError}`)
}

test('four rows give the rates and standard errors that a hand computes', () => {
  const rates = clickRates([
    { clicked: 1, propensity: 0.5, answers: 1, matches: 1 },
    { clicked: 0, propensity: 0.25, answers: 1, matches: 1 },
    { clicked: 1, propensity: 0.25, answers: 1, matches: 0 },
    { clicked: 0, propensity: 0.5, answers: 1, matches: 1 },
  ])
  near(rates.logged, 1 / 2, 1 / 4)
  // Three rows match, one of them clicked: √(⅓ · ⅔ / 3).
  near(rates.replay, 1 / 3, Math.sqrt(2 / 27))
  // The matches weigh 2, 0, 0, 0: the rate is their mean, and the error √(3 / 3 / 4).
  near(rates.ips, 1 / 2, 1 / 2)
  // Weights 2, 4, 0, 2: 2 / 8, and √((2 · ¾)² + (4 · ¼)² + (2 · ¼)²) / 8.
  near(rates.snips, 1 / 4, Math.sqrt(3.5) / 8)
  assert.equal(rates.effectiveRows, 64 / 24)
  assert.deepEqual([rates.rows, rates.clicks, rates.matchedRows, rates.matchedClicks, rates.uniform], [4, 2, 3, 1, false])
})

test('a row that matches in half of its answers has half the weight', () => {
  const rates = clickRates([
    { clicked: 1, propensity: 0.5, answers: 2, matches: 1 },
    { clicked: 0, propensity: 0.5, answers: 2, matches: 2 },
  ])
  // Weights ½ and 1: a third, and √((½ · ⅔)² + (1 · ⅓)²) / 1½.
  near(rates.replay, 1 / 3, Math.sqrt(2 / 9) / 1.5)
  // The rows weigh 1 and 0.
  near(rates.ips, 1 / 2, 1 / 2)
  assert.deepEqual([rates.matches, rates.matchedRows, rates.uniform], [3, 2, true])
})

test('a log that was written by the tested policy itself gives its own rate, whatever the way', () => {
  const rates = clickRates([1, 0, 0, 0].map(clicked => ({ clicked: clicked === 1 ? 1 : 0, propensity: 1, answers: 1, matches: 1 })))
  const binomial = Math.sqrt((0.25 * 0.75) / 4)
  for (const estimate of [rates.logged, rates.replay, rates.snips]) near(estimate, 0.25, binomial)
  near(rates.ips, 0.25, Math.sqrt(0.75 / 3 / 4))
})

test('without a match nothing is said of the policy, and without rows nothing of the log', () => {
  const rates = clickRates([{ clicked: 1, propensity: 0.5, answers: 1, matches: 0 }])
  assert.deepEqual([rates.replay, rates.ips, rates.snips, rates.effectiveRows], [null, null, null, 0])
  assert.deepEqual(rates.logged, { rate: 1, standardError: null })
  assert.equal(clickRates([]).logged, null)
})

test('matches without a click do not claim to know the rate exactly', () => {
  const { replay, ips, snips } = clickRates([
    { clicked: 0, propensity: 0.5, answers: 1, matches: 1 },
    { clicked: 0, propensity: 0.5, answers: 1, matches: 1 },
  ])
  for (const estimate of [replay, ips, snips]) assert.deepEqual(estimate, { rate: 0, standardError: null })
})

/** Uniform in [0, 1) from a seed: mulberry32, a 32-bit generator by Tommy Ettinger. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function draw(probabilities: readonly number[], random: () => number): number {
  let left = random()
  for (const [index, probability] of probabilities.entries()) {
    left -= probability
    if (left < 0) return index
  }
  return probabilities.length - 1
}

const clickRate = [0.02, 0.05, 0.1, 0.2]
const uniform = [0.25, 0.25, 0.25, 0.25]
const skewed = [0.1, 0.2, 0.3, 0.4]
const tested = [0.1, 0.1, 0.2, 0.6]
/** This is 0.1 · 0.02 + 0.1 · 0.05 + 0.2 · 0.1 + 0.6 · 0.2. */
const truth = 0.147

function simulate(logging: readonly number[], rows: number, passes: number, random: () => number): Outcome[] {
  return Array.from({ length: rows }, () => {
    const item = draw(logging, random)
    let matches = 0
    for (let pass = 0; pass < passes; pass++) matches += Number(draw(tested, random) === item)
    return { clicked: random() < (clickRate[item] ?? 0) ? 1 : 0, propensity: logging[item] ?? 0, answers: passes, matches }
  })
}

/**
 * The share of so many logs of 1500 rows whose interval of two standard errors holds the true rate. It is 95 % when estimate and error are
 * right.
 */
function coverage(logging: readonly number[], passes: number, estimator: 'replay' | 'ips' | 'snips', logs = 300): number {
  const random = seeded(11)
  let covered = 0
  for (let log = 0; log < logs; log++) {
    const { [estimator]: estimate } = clickRates(simulate(logging, 1500, passes, random))
    assert(estimate !== null && estimate.standardError !== null)
    covered += Number(Math.abs(estimate.rate - truth) < 2 * estimate.standardError)
  }
  return covered / logs
}

for (const [logging, passes, estimator] of [
  [uniform, 1, 'replay'],
  [uniform, 5, 'replay'],
  [skewed, 1, 'ips'],
  [skewed, 5, 'ips'],
  [skewed, 1, 'snips'],
  [skewed, 5, 'snips'],
] as const) {
  const log = logging === uniform ? 'uniform' : 'skewed'
  test(`${estimator} finds a known rate within its standard error from ${log} logs and ${passes} answers to a row`, () => {
    const share = coverage(logging, passes, estimator)
    assert(share > 0.91 && share < 0.99, `${share} of the intervals hold the true rate`)
  })
}

test('replay on a log that was not uniform is biased: the check that this simulation can fail', () => {
  assert(coverage(skewed, 1, 'replay') < 0.9)
})

test('an item is read at its position, from a list of objects or of ids', () => {
  const read = itemReader('/data/it~1ems', 'id')
  const answer = JSON.stringify({ data: { 'it/ems': [{ id: 7 }, { id: 'b' }, 3] } })
  assert.deepEqual(
    [1, 2, 3].map(position => read(answer, position)),
    ['7', 'b', '3'],
  )
  assert.equal(itemReader('', 'id')('["x"]', 1), 'x')
})

test('a list that ends early shows nothing there; an answer without a list, or an entry without an id, cannot be read', () => {
  const read = itemReader('/items', 'itemId')
  assert.equal(read('{"items":[]}', 1), null)
  for (const answer of [null, {}, { items: 5 }, [], { items: [{}] }, { items: [null] }]) {
    assert.equal(read(JSON.stringify(answer), 1), undefined)
  }
  assert.equal(read('502 Bad Gateway', 1), undefined)
})

test('items beyond 2^53 are told apart by their last digits', () => {
  const answer = '{"items":[{"itemId":9007199254740993},9007199254740992]}'
  const read = itemReader('/items', 'itemId')
  assert.deepEqual([read(answer, 1), read(answer, 2)], ['9007199254740993', '9007199254740992'])
})
