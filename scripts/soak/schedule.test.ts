import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faults, operations, stepsOf } from './schedule.ts'

const sequence = (seed: number, count: number) =>
  stepsOf(seed, 'operations', operations, 1000)
    .take(count)
    .map(({ no, kind, waitMs, random }) => ({ no, kind, waitMs, dice: [random(), random()] }))
    .toArray()

test('a seed gives one sequence of steps, and another seed another', () => {
  assert.deepEqual(sequence(7, 100), sequence(7, 100))
  assert.notDeepEqual(
    sequence(7, 100).map(({ kind }) => kind),
    sequence(8, 100).map(({ kind }) => kind),
  )
})

test('every kind comes once in each round', () => {
  for (const kinds of [faults, operations]) {
    const steps = [...stepsOf<string>(3, 'lane', kinds, 1000).take(kinds.length * 3)].map(({ kind }) => kind)
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(steps.slice(round * kinds.length, (round + 1) * kinds.length).sort(), [...kinds].sort())
    }
  }
})

test('what a step leaves to chance does not depend on what the steps before it drew', () => {
  const drawn = [...stepsOf(1, 'lane', faults, 1000).take(5)].map(({ random }) => [random(), random(), random()])
  const [, , third] = [...stepsOf(1, 'lane', faults, 1000).take(5)].map(({ random }) => random())
  assert.equal(third, drawn[2]?.[0])
})

test('pauses between steps are as long as was asked, on average', () => {
  const waits = sequence(1, 2000).map(({ waitMs }) => waitMs)
  const average = waits.reduce((sum, ms) => sum + ms) / waits.length
  assert.ok(Math.abs(average - 1000) < 50, `${average}`)
})
