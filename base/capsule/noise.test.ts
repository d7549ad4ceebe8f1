import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fisherTail, isLarger, isMoreFrequent, smirnovTail } from './noise.ts'

test('the exact test says of small tables what can be counted by hand', () => {
  // Of 8 with 4 sightings, the 4 of one side have all of them in 1 of 70 ways, and at least 3 in 17.
  assert.ok(Math.abs(fisherTail({ seen: 4, of: 4 }, { seen: 0, of: 4 }) - 1 / 70) < 1e-12)
  assert.ok(Math.abs(fisherTail({ seen: 3, of: 4 }, { seen: 1, of: 4 }) - 17 / 70) < 1e-12)
})

test('both tests give probabilities, and more sightings are never more likely', () => {
  const count = fc.integer({ min: 1, max: 60 }).chain(of => fc.record({ seen: fc.integer({ min: 0, max: of }), of: fc.constant(of) }))
  fc.assert(
    fc.property(count, count, (one, other) => {
      const tail = fisherTail(one, other)
      assert.ok(tail > 0 && tail <= 1)
      if (one.seen < one.of) assert.ok(fisherTail({ seen: one.seen + 1, of: one.of }, other) <= tail + 1e-9)
    }),
  )
  const amounts = fc.array(fc.integer({ min: -5, max: 5 }), { maxLength: 40 })
  fc.assert(
    fc.property(amounts, amounts, (one, other) => {
      const likelihood = smirnovTail(one, other)
      assert.ok(likelihood >= 0 && likelihood <= 1)
      assert.equal(smirnovTail(one, one), 1)
    }),
  )
})

test('one sighting is more than no noise, and as many sightings as the noise has are not more', () => {
  assert.equal(isMoreFrequent({ seen: 1, of: 450 }, { seen: 0, of: 900 }), true)
  assert.equal(isMoreFrequent({ seen: 9, of: 450 }, { seen: 9, of: 900 }), false)
  assert.equal(isMoreFrequent({ seen: 450, of: 450 }, { seen: 9, of: 900 }), true)
})

test('amounts that are larger are seen among amounts of the same spread, and smaller ones are not', () => {
  const spread = (shift: number) => Array.from({ length: 450 }, (_, index) => ((index * 7919) % 450) / 450 + shift)
  assert.equal(isLarger(spread(0), spread(0)), false)
  assert.equal(isLarger(spread(0.5), spread(0)), true)
  assert.equal(isLarger(spread(0), spread(0.5)), false)
})
