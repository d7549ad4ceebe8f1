import assert from 'node:assert/strict'
import { test } from 'node:test'
import { featuresOf } from './fakes.ts'

test('faked feature tables refuse a number that may be a rounded key, as those of a base do', () => {
  const { get, getMany } = featuresOf({ items: { '9007199254740992': { n: 1 }, '7': { n: 2 } } })
  assert.deepEqual(getMany?.('items', ['9007199254740992', 7]), [
    { key: '9007199254740992', n: 1 },
    { key: '7', n: 2 },
  ])
  assert.throws(() => get?.('items', 2 ** 53), { code: 'SERVICE_INPUT_INVALID', message: /9007199254740992 .*: pass such ids as strings/ })
  assert.throws(() => getMany?.('items', [7, 1e23]), { code: 'SERVICE_INPUT_INVALID' })
})

test('faked rows have their key, as those of a base do, and no row that a base would refuse', () => {
  const { get } = featuresOf({ items: { i1: { price: 9 }, 7: { key: 7 }, '1e3': { key: '1e3' } } })
  assert.deepEqual(
    [get?.('items', 'i1'), get?.('items', 7), get?.('items', '7'), get?.('items', 1000)],
    [{ key: 'i1', price: 9 }, { key: 7 }, { key: 7 }, null],
  )
  const refused: readonly (readonly [row: unknown, why: RegExp])[] = [
    [{ key: 'i2' }, /Cannot fake the row "i1" of feature table "items": its member "key" is "i2"/],
    [{ key: 2 ** 60 }, /pass such ids as strings/],
    [[1], /it is not an object/],
  ]
  for (const [row, why] of refused) assert.throws(() => featuresOf({ items: { i1: row } }), why)
  assert.equal(featuresOf({ items: {} }).get?.('items', 'toString'), null)
})
