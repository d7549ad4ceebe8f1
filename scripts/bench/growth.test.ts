import assert from 'node:assert/strict'
import { test } from 'node:test'
import { growthOf, isFlat, slopeOf } from './growth.ts'

test('a slope is that of most points, whatever a quarter of them do', () => {
  const points = Array.from({ length: 400 }, (_, x) => ({ x, y: x % 4 === 0 ? 1e6 : 50 + 2 * x }))
  assert.ok(Math.abs(slopeOf(points) - 2) < 0.1, `${slopeOf(points)}`)
})

test('what only rises and falls is flat, and what grows beneath that is not', () => {
  const samples = (perHour: number) =>
    Array.from({ length: 360 }, (_, i) => ({ x: i / 360, y: 150 + 6 * Math.sin(i / 3) + (perHour * i) / 360 }))
  const [none, much] = [growthOf(samples(0)), growthOf(samples(40))]
  assert.ok(none.low <= 0 && none.high >= 0, JSON.stringify(none))
  assert.ok(much.low > 0 && Math.abs(much.slope - 40) < 10, JSON.stringify(much))
  assert.deepEqual([isFlat(none), isFlat(much)], [true, false])
})

test('of too few samples no interval is made, so that nothing is called flat', () => {
  const growth = growthOf([1, 2, 3].map(x => ({ x, y: 100 * x })))
  assert.ok(Number.isNaN(growth.low))
  assert.equal(isFlat(growth), false)
})
