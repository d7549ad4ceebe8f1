import assert from 'node:assert/strict'
import { test } from 'node:test'
import { featuresOf, openSlot } from '@berth/sdk/testing'
import { type Item, itemFeatures, scorer, sigmoid, userFeatures } from './features.ts'
import type { Request } from './index.ts'
import weights from './weights.json' with { type: 'json' }

const hashed = ['135f410ec21307919cd92df77f1e2a36', 'none', 'none']
const features = ['81ce123cbb5bd8ce818f60fb3586bba5', '03a5648a76832f83c859d46bc06cb64a', 'none', 'none']
const unknown = (itemId: number) => ({ itemId, numeric: 0, hashed: ['none', 'none', 'none'] })

let rows: Readonly<Record<string, Item>> = {}
const tables = () => featuresOf({ 'items-men': rows, 'users-men': { u1: { key: 'u1', features } } })
const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, {
  params: { campaign: 'men' },
  services: { features: { get: (table, key) => tables().get?.(table, key), getMany: (table, keys) => tables().getMany?.(table, keys) } },
})

/** Ranks items after putting them into the feature table; the candidates have only ids. */
async function rankMen(items: readonly Item[], request: Request = {}, unit?: string) {
  rows = Object.fromEntries(items.map(item => [item.itemId, item]))
  const candidates = items.map(({ itemId }) => ({ itemId }))
  return (await slot.run('rank', candidates, { request, ...(unit !== undefined && { unit }) })).output
}

test('candidates come back with their features and a score, highest first', async () => {
  const ranked = await rankMen([unknown(900), { ...unknown(901), hashed }])
  assert.deepEqual(
    ranked.map(({ itemId }) => itemId),
    [901, 900],
  )
  assert.deepEqual(ranked[0], { itemId: 901, numeric: 0, hashed, score: ranked[0]?.score })
})

test('the score is the logistic function of the committed weights', async () => {
  const { intercept, classes } = weights.men
  assert.equal((await rankMen([unknown(900)]))[0]?.score, sigmoid(intercept))
  assert.equal(
    (await rankMen([{ ...unknown(900), hashed }]))[0]?.score,
    sigmoid(intercept + classes.item1[hashed[0] as keyof typeof classes.item1]),
  )
})

test('equal scores keep the order of the stage before', async () => {
  assert.deepEqual(
    (await rankMen([3, 1, 2].map(id => unknown(900 + id)))).map(({ itemId }) => itemId),
    [903, 901, 902],
  )
})

test('what training never saw adds nothing, whatever a caller names it', async () => {
  const strange = { user: { features: ['constructor', '__proto__', 'toString', 'unseen'] } }
  assert.deepEqual(await rankMen([unknown(900)], strange), await rankMen([unknown(900)]))
})

test('an item that the table lacks is ranked as one without features', async () => {
  rows = {}
  const { output } = await slot.run('rank', [{ itemId: 900 }], { request: {} })
  assert.deepEqual(output, [{ itemId: 900, numeric: 0, hashed: [], score: sigmoid(weights.men.intercept) }])
})

test('a user that the request does not describe is looked up by the unit id', async () => {
  const described = await rankMen([unknown(900)], { user: { features } })
  assert.notDeepEqual(described, await rankMen([unknown(900)]))
  assert.deepEqual(await rankMen([unknown(900)], {}, 'u1'), described)
  assert.deepEqual(await rankMen([unknown(900)], {}, 'u2'), await rankMen([unknown(900)]))
  assert.deepEqual(await rankMen([unknown(900)], { user: { features } }, 'u2'), described)
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

test('a campaign without weights is refused with the names of those that have some', async () => {
  await assert.rejects(slot.run('rank', [], { params: { campaign: 'kids' } }), {
    message: 'Cannot rank: params.campaign must be one of men, women, got "kids"',
  })
})
