import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedRandom, stageContext } from '../testing.ts'
import { sampleBeta, sampleGamma } from './beta.ts'
import counts from './counts.json' with { type: 'json' }
import { rank } from './index.ts'

const items = counts.campaigns.men.map(({ itemId }) => ({ itemId }))

function rankMen(candidates: readonly { itemId: number }[] = items) {
  const ranked = rank(candidates, stageContext({ campaign: 'men' }, {}))
  assert(Array.isArray(ranked))
  return ranked
}

function moments(draw: () => number, draws = 40_000): { mean: number; variance: number } {
  const values = Array.from({ length: draws }, draw)
  const mean = values.reduce((sum, value) => sum + value, 0) / draws
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws }
}

/** The mean within four standard errors, the variance within 8 %. */
function assertMoments(draw: () => number, expected: { mean: number; variance: number }): void {
  const { mean, variance } = moments(draw)
  assert(Math.abs(mean - expected.mean) < 4 * Math.sqrt(expected.variance / 40_000), `mean ${mean}, expected ${expected.mean}`)
  assert(Math.abs(variance / expected.variance - 1) < 0.08, `variance ${variance}, expected ${expected.variance}`)
}

for (const shape of [0.3, 1, 2.5, 400]) {
  test(`gamma draws of shape ${shape} have its mean and variance`, t => {
    seedRandom(t, 2)
    assertMoments(() => sampleGamma(shape), { mean: shape, variance: shape })
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
    assertMoments(() => sampleBeta(alpha, beta), { mean: alpha / sum, variance: (alpha * beta) / (sum ** 2 * (sum + 1)) })
  })
}

test('every candidate comes back once, highest draw first', t => {
  seedRandom(t, 4)
  const ranked = rankMen()
  assert.deepEqual(
    ranked.map(({ itemId }) => itemId).sort((a, b) => a - b),
    items.map(({ itemId }) => itemId),
  )
  assert.deepEqual(
    ranked,
    ranked.toSorted((a, b) => b.score - a.score),
  )
})

test('an item is drawn from the posterior of its own counts', t => {
  seedRandom(t, 5)
  const { clicks, impressions } = counts.campaigns.men.find(({ itemId }) => itemId === 13) ?? assert.fail()
  const alpha = counts.prior.alpha + clicks
  const sum = counts.prior.alpha + counts.prior.beta + impressions
  assertMoments(() => rankMen([{ itemId: 13 }])[0]?.score ?? Number.NaN, {
    mean: alpha / sum,
    variance: (alpha * (sum - alpha)) / (sum ** 2 * (sum + 1)),
  })
})

test('an item without counts is drawn from the prior', t => {
  seedRandom(t, 6)
  const { alpha, beta } = counts.prior
  const sum = alpha + beta
  assertMoments(() => rankMen([{ itemId: 999 }])[0]?.score ?? Number.NaN, {
    mean: alpha / sum,
    variance: (alpha * beta) / (sum ** 2 * (sum + 1)),
  })
})

test('a scene with a campaign that has no counts is told which ones do', () => {
  assert.throws(() => rank([], stageContext({ campaign: 'kids' }, {})), {
    message: 'Cannot rank: params.campaign must be one of men, women, got "kids"',
  })
})
