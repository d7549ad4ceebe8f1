import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'
import { shuffle } from './index.ts'

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, { seed: 1 })
const candidates = [{ itemId: 1 }, { itemId: 2 }, { itemId: 3 }]

const rankOnce = async (items: readonly object[] = candidates) => (await slot.run('rank', items)).output

test('every order is equally likely', async () => {
  const draws = 1200
  const orders: string[] = []
  for (let i = 0; i < draws; i += 200) {
    const ranked = await Promise.all(Array.from({ length: 200 }, () => rankOnce()))
    orders.push(...ranked.map(items => items.map(item => ('itemId' in item ? item.itemId : '?')).join()))
  }
  const counts = Object.values(Object.groupBy(orders, order => order)).map(same => same?.length ?? 0)
  assert.equal(counts.length, 6)
  const expected = draws / 6
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  assert(chiSquare < 20.5, `chi-square ${chiSquare} is above the 0.999 quantile for 5 degrees of freedom`)
})

test('each candidate carries its chance of standing at any one position', async () => {
  for (const { score, propensity } of await rankOnce()) assert.deepEqual([score, propensity], [1 / 3, 1 / 3])
})

test('the candidates of the stage before stay as they were', () => {
  const frozen = Object.freeze(candidates.map(candidate => Object.freeze(candidate)))
  shuffle(frozen)
  assert.deepEqual(frozen, [{ itemId: 1 }, { itemId: 2 }, { itemId: 3 }])
})

test('no candidates give no order', async () => {
  assert.deepEqual(await rankOnce([]), [])
})
