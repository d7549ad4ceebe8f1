import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ticker } from './ticker.ts'

test('a ticker ticks from its start until nothing is left to do, however often it is started meanwhile', t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let [ticks, left] = [0, 2]
  const ticker = new Ticker(10, () => {
    ticks++
    return --left > 0
  })
  t.mock.timers.tick(100)
  assert.equal(ticks, 0)
  ticker.start()
  ticker.start()
  t.mock.timers.tick(100)
  assert.equal(ticks, 2)
  left = 3
  ticker.start()
  t.mock.timers.tick(10)
  assert.equal(ticks, 3)
  ticker.stop()
  t.mock.timers.tick(100)
  assert.equal(ticks, 3)
})
