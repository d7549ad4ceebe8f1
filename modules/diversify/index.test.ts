import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'
import type { Params, Scored } from './index.ts'

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname)

const shirt = ['shirt', 'acme', 'blue']
const shoe = ['shoe', 'bolt', 'red']
const candidates: readonly Scored[] = [
  { itemId: 1, hashed: shirt, score: 0.009 },
  { itemId: 2, hashed: shirt, score: 0.008 },
  { itemId: 3, hashed: shoe, score: 0.007 },
  { itemId: 4, hashed: shoe, score: 0.001 },
]

const rerankWith = async (params: Params, items: readonly Scored[] = candidates) => (await slot.run('rerank', items, { params })).output

async function idsWith(params: Params, items?: readonly Scored[]): Promise<number[]> {
  return (await rerankWith(params, items)).items.map(({ itemId }) => itemId)
}

test('without diversity the order by score survives', async () => {
  assert.deepEqual(await idsWith({ diversity: 0, topK: 4 }), [1, 2, 3, 4])
})

test('equal scores without diversity keep the order of the policy', async () => {
  const drawn = [4, 1, 3, 2].map(itemId => ({ itemId, hashed: shirt, score: 0.25 }))
  assert.deepEqual(await idsWith({ diversity: 0, topK: 4 }, drawn), [4, 1, 3, 2])
})

test('an item like one already shown gives way to a different one of nearly its score', async () => {
  assert.deepEqual(await idsWith({ diversity: 0.3, topK: 4 }), [1, 3, 2, 4])
})

test('similarity counts the features that are equal', async () => {
  const half = { itemId: 5, hashed: ['shirt', 'bolt', 'green'], score: 0.0075 }
  // Relevance 0.875, 0.8125, 0.75 and similarity to item 1 of 1, 1/3, 0: 0.7r - 0.3s = 0.3125, 0.46875, 0.525.
  assert.deepEqual(await idsWith({ diversity: 0.3, topK: 2 }, [...candidates.slice(0, 2), half, ...candidates.slice(2)]), [1, 3])
  // 0.9r - 0.1s = 0.6875, 0.6979, 0.675.
  assert.deepEqual(await idsWith({ diversity: 0.1, topK: 2 }, [...candidates.slice(0, 2), half, ...candidates.slice(2)]), [1, 5])
})

test('the answer says item, score and position, how many candidates there were and how diverse it is', async () => {
  assert.deepEqual(await rerankWith({}), {
    items: [
      { itemId: 1, score: 0.009, position: 1 },
      { itemId: 3, score: 0.007, position: 2 },
      { itemId: 2, score: 0.008, position: 3 },
    ],
    candidates: 4,
    diversity: 0.3,
  })
})

test('propensities reach the caller only while they are true', async () => {
  const drawn = candidates.map(candidate => ({ ...candidate, propensity: 0.25 }))
  assert.deepEqual((await rerankWith({ diversity: 0, topK: 1 }, drawn)).items, [{ itemId: 1, score: 0.009, position: 1, propensity: 0.25 }])
  assert.deepEqual((await rerankWith({ diversity: 0.3, topK: 1 }, drawn)).items, [{ itemId: 1, score: 0.009, position: 1 }])
})

test('fewer candidates than slots fill fewer slots', async () => {
  assert.deepEqual(await idsWith({ topK: 9 }), [1, 3, 2, 4])
  assert.deepEqual(await idsWith({}, []), [])
})

test('params out of range are refused by name', async () => {
  await assert.rejects(rerankWith({ topK: 0 }), {
    name: 'RangeError',
    message: 'Cannot fill slots: params.topK must be a whole number from 1, got 0',
  })
  await assert.rejects(rerankWith({ topK: 1.5 }), { name: 'RangeError' })
  await assert.rejects(rerankWith({ diversity: 1.1 }), { message: 'Cannot fill slots: params.diversity must be from 0 to 1, got 1.1' })
  await assert.rejects(rerankWith({ diversity: -0.1 }), { name: 'RangeError' })
})
