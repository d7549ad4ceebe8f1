import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Guesses, networkOf } from './guesses.ts'
import { limits } from './limits.ts'

const { tokenGuessesPerMinuteMax: most, tokenGuessAddressesMax: kept } = limits.http

test('guesses over the limit are refused for their rate until the minute is over, and are reported once a minute', () => {
  const reported: string[] = []
  let now = 0
  const guesses = new Guesses(
    address => reported.push(address),
    () => now,
  )
  const codes = (times: number) => Array.from({ length: times }, () => guesses.refuse('10.0.0.1', 'no').code)
  assert.deepEqual(new Set(codes(most)), new Set(['UNAUTHENTICATED']))
  now = 59_000
  assert.deepEqual(new Set(codes(5)), new Set(['RATE_LIMITED']))
  assert.equal(guesses.refuse('10.0.0.1', 'no').retryAfterSeconds, 1)
  assert.equal(guesses.refuse('10.0.0.2', 'no').code, 'UNAUTHENTICATED')
  assert.deepEqual(reported, ['10.0.0.1'])
  now = 60_000
  assert.deepEqual(codes(1), ['UNAUTHENTICATED'])
  codes(most)
  assert.deepEqual(reported, ['10.0.0.1', '10.0.0.1'])
})

test('of any number of addresses only so many are remembered, those that guessed last', () => {
  const guesses = new Guesses(() => undefined)
  for (let i = 0; i < 3 * kept; i++) guesses.refuse(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 'no')
  assert.equal(guesses.addresses, kept)
  assert.equal(guesses.total, 3 * kept)
})

test('the addresses of one network of IPv6 are one', () => {
  assert.equal(networkOf('::ffff:10.0.0.1'), '10.0.0.1')
  for (const address of ['2001:db8:0:7::1', '2001:db8:0:7:8::', '2001:db8:0:7:ffff:1:2:3'])
    assert.equal(networkOf(address), '2001:db8:0:7::/64')
  assert.equal(networkOf('2001:db8::1'), '2001:db8:0:0::/64')
  assert.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64')
  assert.equal(networkOf('::1'), '0:0:0:0::/64')
})
