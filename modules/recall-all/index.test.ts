import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openSlot } from '@berth/sdk/testing'
import { itemsOf } from './index.ts'

const slot = await openSlot<typeof import('./index.ts')>(import.meta.dirname, { params: { campaign: 'men' } })
const features = ['a', 'b', 'c', 'd']

async function recallIds(body: unknown, campaign = 'men'): Promise<number[]> {
  const { output } = await slot.run('recall', body, { params: { campaign } })
  return output.map(({ itemId }) => itemId)
}

test('every item of the campaign is a candidate', async () => {
  assert.deepEqual(await recallIds({}), [...Array(34).keys()])
  assert.deepEqual(await recallIds({ user: { features, affinity: { 3: 1 } } }, 'women'), [...Array(46).keys()])
})

test('excluded items are left out and excluded ids of other catalogues do no harm', async () => {
  assert.deepEqual(await recallIds({ exclude: [0, 33, 999] }), [...Array(34).keys()].slice(1, 33))
})

test('a stage that writes to a candidate throws instead of spoiling the next request', () => {
  const [first] = itemsOf('men')
  assert.throws(() => Object.assign(first ?? {}, { score: 1 }), TypeError)
})

const badBodies: readonly [body: unknown, message: string][] = [
  [null, 'the body must be an object such as {"user": {"features": [...]}}, got null'],
  [[], 'the body must be an object such as {"user": {"features": [...]}}, got []'],
  [{ user: 'u1' }, 'user must be an object, got "u1"'],
  [{ user: { features: ['a'] } }, 'user.features must be a list of 4 strings, got ["a"]'],
  [{ user: { features: [1, 2, 3, 4] } }, 'user.features must be a list of 4 strings, got [1,2,3,4]'],
  [{ user: { features: null } }, 'user.features must be a list of 4 strings, got null'],
  [{ user: { affinity: [1] } }, 'user.affinity must be an object of past clicks by item id, got [1]'],
  [{ user: { affinity: { shoes: 1 } } }, 'user.affinity must have item ids as its keys, got "shoes"'],
  [{ user: { affinity: { 7: '1' } } }, 'user.affinity["7"] must be a number of clicks from 0 to 1000000, got "1"'],
  [{ user: { affinity: { 7: -1 } } }, 'user.affinity["7"] must be a number of clicks from 0 to 1000000, got -1'],
  [{ user: { affinity: { 7: 1e300 } } }, 'user.affinity["7"] must be a number of clicks from 0 to 1000000, got 1e+300'],
  [{ exclude: 7 }, 'exclude must be a list of item ids, got 7'],
  [{ exclude: ['7'] }, 'exclude must be a list of item ids, got ["7"]'],
  [{ exclude: [1.5] }, 'exclude must be a list of item ids, got [1.5]'],
]

test('a body that does not fit is refused with what was expected where and what came', async () => {
  for (const [body, message] of badBodies) {
    await assert.rejects(recallIds(body), { code: 'REQUEST_REJECTED', reason: 'BODY_UNFIT', message: `Cannot recall items: ${message}` })
  }
})

test('what came is cut short in the message', async () => {
  await assert.rejects(recallIds({ exclude: 'x'.repeat(100_000) }), (error: Error) => error.message.length < 200)
})

test('a campaign without items is refused with the names of those that have some', async () => {
  await assert.rejects(recallIds({}, 'kids'), {
    message: 'Cannot recall items: params.campaign must be one of men, women, got "kids"',
  })
})
