import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedRandom, stageContext } from '../testing.ts'
import { rank } from './index.ts'

const candidates = [{ itemId: 1 }, { itemId: 2 }, { itemId: 3 }]

function rankOnce(items: readonly object[] = candidates) {
  const ranked = rank(items, stageContext({}, {}))
  assert(Array.isArray(ranked))
  return ranked
}

test('every order is equally likely', t => {
  seedRandom(t, 1)
  const draws = 6000
  const orders = Array.from({ length: draws }, () =>
    rankOnce()
      .map(item => ('itemId' in item ? item.itemId : '?'))
      .join(),
  )
  const counts = Object.values(Object.groupBy(orders, order => order)).map(same => same?.length ?? 0)
  assert.equal(counts.length, 6)
  const expected = draws / 6
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  assert(chiSquare < 20.5, `chi-square ${chiSquare} is above the 0.999 quantile for 5 degrees of freedom`)
})

test('each candidate carries its chance of standing at any one position', () => {
  for (const { score, propensity } of rankOnce()) assert.deepEqual([score, propensity], [1 / 3, 1 / 3])
})

test('the candidates of the stage before stay as they were', () => {
  const frozen = Object.freeze(candidates.map(candidate => Object.freeze(candidate)))
  rankOnce(frozen)
  assert.deepEqual(frozen, [{ itemId: 1 }, { itemId: 2 }, { itemId: 3 }])
})

test('no candidates give no order', () => {
  assert.deepEqual(rankOnce([]), [])
})
