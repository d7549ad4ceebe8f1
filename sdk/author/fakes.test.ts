import assert from 'node:assert/strict'
import { test } from 'node:test'
import { featuresOf } from './fakes.ts'

test('faked feature tables refuse a number that may be a rounded key, as those of a base do', () => {
  const { get, getMany } = featuresOf({ items: { '9007199254740992': { n: 1 }, '7': { n: 2 } } })
  assert.deepEqual(getMany?.('items', ['9007199254740992', 7]), [{ n: 1 }, { n: 2 }])
  assert.throws(() => get?.('items', 2 ** 53), { code: 'SERVICE_INPUT_INVALID', message: /9007199254740992 .*: pass such ids as strings/ })
  assert.throws(() => getMany?.('items', [7, 1e23]), { code: 'SERVICE_INPUT_INVALID' })
})
