import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'
import { sampleBeta, sampleGamma } from './beta.ts'
import counts from './counts.json' with { type: 'json' }

const items = counts.campaigns.men.map(({ itemId }) => ({ itemId }))

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, { params: { campaign: 'men' }, seed: 4, deadlineMs: 10_000 })
const rankMen = async (candidates: readonly { itemId: number }[] = items) => (await slot.run('rank', candidates)).output

/** Makes `Math.random` repeatable until the test ends, with Lehmer's generator and the parameters of Park and Miller. */
function seedRandom(t: TestContext, seed: number): void {
  const { random } = Math
  t.after(() => Object.assign(Math, { random }))
  let state = seed
  // `t.mock` is not used, because it would record hundreds of thousands of calls.
  Math.random = () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

const DRAWS = 40_000
const drawn = (draw: () => number) => Array.from({ length: DRAWS }, draw)

/** Asserts the mean within four standard errors and the variance within 8 %. */
function assertMoments(values: readonly number[], expected: { mean: number; variance: number }): void {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  assert(Math.abs(mean - expected.mean) < 4 * Math.sqrt(expected.variance / values.length), `mean ${mean}, expected ${expected.mean}`)
  assert(Math.abs(variance / expected.variance - 1) < 0.08, `variance ${variance}, expected ${expected.variance}`)
}

for (const shape of [0.3, 1, 2.5, 400]) {
  test(`gamma draws of shape ${shape} have its mean and variance`, t => {
    seedRandom(t, 2)
    assertMoments(
      drawn(() => sampleGamma(shape)),
      { mean: shape, variance: shape },
    )
  })
}

for (const [alpha, beta] of [
  [1, 199],
  [17, 2209],
  [0.5, 0.5],
] as const) {
  test(`beta draws of ${alpha} and ${beta} have their mean and variance`, t => {
    seedRandom(t, 3)
    const sum = alpha + beta
    assertMoments(
      drawn(() => sampleBeta(alpha, beta)),
      { mean: alpha / sum, variance: (alpha * beta) / (sum ** 2 * (sum + 1)) },
    )
  })
}

/** The scores of one item that is a candidate `DRAWS` times. */
const drawsOf = async (itemId: number) => (await rankMen(Array.from({ length: DRAWS }, () => ({ itemId })))).map(({ score }) => score)

test('every candidate comes back once, highest draw first', async () => {
  const ranked = await rankMen()
  assert.deepEqual(
    ranked.map(({ itemId }) => itemId).sort((a, b) => a - b),
    items.map(({ itemId }) => itemId),
  )
  assert.deepEqual(
    ranked,
    ranked.toSorted((a, b) => b.score - a.score),
  )
})

test('an item is drawn from the posterior of its own counts', async () => {
  const { clicks, impressions } = counts.campaigns.men.find(({ itemId }) => itemId === 13) ?? assert.fail()
  const alpha = counts.prior.alpha + clicks
  const sum = counts.prior.alpha + counts.prior.beta + impressions
  assertMoments(await drawsOf(13), {
    mean: alpha / sum,
    variance: (alpha * (sum - alpha)) / (sum ** 2 * (sum + 1)),
  })
})

test('an item without counts is drawn from the prior', async () => {
  const { alpha, beta } = counts.prior
  const sum = alpha + beta
  assertMoments(await drawsOf(999), {
    mean: alpha / sum,
    variance: (alpha * beta) / (sum ** 2 * (sum + 1)),
  })
})

test('a campaign without counts is refused with the names of those that have some', async () => {
  await assert.rejects(slot.run('rank', [], { params: { campaign: 'kids' } }), {
    message: 'Cannot rank: params.campaign must be one of men, women, got "kids"',
  })
})
