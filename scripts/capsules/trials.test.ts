import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tryAll } from './trials.ts'

test('validation finds every simulated fault by its reason, and raises no alarm over a harmless change', async () => {
  const { harmless, wrong, faulty } = await tryAll({ from: 1, trials: 1 })
  assert.deepEqual(
    [...harmless, ...wrong, ...faulty].flatMap(({ name, bad }) => bad.map(seed => `${name}: ${seed}`)),
    [],
  )
})
