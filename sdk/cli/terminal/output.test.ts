import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ageOf } from './output.ts'

test('an age is in the largest unit of which there is one, and none is negative when the clock was ahead', () => {
  const now = Date.parse('2026-06-02T00:00:00Z')
  const ages = ['2026-05-30T12:00:00Z', '2026-06-01T21:30:00Z', '2026-06-01T23:55:00Z', '2026-06-01T23:59:59.5Z', '2026-06-02T00:00:05Z']
  assert.deepEqual(
    ages.map(at => ageOf(at, now)),
    ['2 d', '2 h', '5 min', '0 s', '0 s'],
  )
})
