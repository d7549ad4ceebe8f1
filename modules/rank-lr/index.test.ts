import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stageContext } from '../testing.ts'
import { itemFeatures, scorer, sigmoid, userFeatures } from './features.ts'
import { type Request, rank } from './index.ts'
import weights from './weights.json' with { type: 'json' }

const hashed = ['135f410ec21307919cd92df77f1e2a36', 'none', 'none']
const unknown = (itemId: number) => ({ itemId, numeric: 0, hashed: ['none', 'none', 'none'] })

function rankMen(candidates: Parameters<typeof rank>[0], request: Request = {}) {
  const ranked = rank(candidates, stageContext({ campaign: 'men' }, request))
  assert(Array.isArray(ranked))
  return ranked
}

test('candidates come back with their fields and a score, highest first', () => {
  const ranked = rankMen([unknown(900), { ...unknown(901), hashed }])
  assert.deepEqual(
    ranked.map(({ itemId }) => itemId),
    [901, 900],
  )
  assert.deepEqual(ranked[0], { itemId: 901, numeric: 0, hashed, score: ranked[0]?.score })
})

test('the score is the logistic function of the committed weights', () => {
  const { intercept, classes } = weights.men
  assert.equal(rankMen([unknown(900)])[0]?.score, sigmoid(intercept))
  assert.equal(
    rankMen([{ ...unknown(900), hashed }])[0]?.score,
    sigmoid(intercept + classes.item1[hashed[0] as keyof typeof classes.item1]),
  )
})

test('equal scores keep the order of the stage before', () => {
  assert.deepEqual(
    rankMen([3, 1, 2].map(id => unknown(900 + id))).map(({ itemId }) => itemId),
    [903, 901, 902],
  )
})

test('what training never saw adds nothing, whatever a caller names it', () => {
  const strange = { user: { features: ['constructor', '__proto__', 'toString', 'unseen'] } }
  assert.deepEqual(rankMen([unknown(900)], strange), rankMen([unknown(900)]))
})

test('past clicks count for the item they were on', () => {
  const user = { features: [], affinity: { 7: 3 } }
  const own = (itemId: number) => itemFeatures(unknown(itemId), user).find(([field]) => field === 'affinityOwn')?.[1]
  assert.equal(own(7), Math.log(4))
  assert.equal(own(8), 0)
  assert.deepEqual(userFeatures(user), [['affinityAny', Math.log(4)]])
})

test('a scorer weighs numbers by size and strings by class', () => {
  const logOdds = scorer({ intercept: 9, numbers: { price: 0.5 }, classes: { brand: { acme: 2 } } })
  assert.equal(
    logOdds([
      ['price', 3],
      ['brand', 'acme'],
    ]),
    3.5,
  )
  assert.equal(
    logOdds([
      ['price', 3],
      ['brand', 'other'],
      ['colour', 'red'],
    ]),
    1.5,
  )
})

test('a scene with a campaign that has no weights is told which ones do', () => {
  assert.throws(() => rank([], stageContext({ campaign: 'kids' }, {})), {
    message: 'Cannot rank: params.campaign must be one of men, women, got "kids"',
  })
})
