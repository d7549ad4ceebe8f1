import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Breaker, type BreakerOutcome, type BreakerRules, rateShare, shareOf, TokenBucket } from './admission.ts'

/** Tries to take one token at each of these times. @returns how many there were */
function taken(bucket: TokenBucket, rate: { perSecond: number; capacity: number }, times: readonly number[]): number {
  return times.filter(now => {
    if (bucket.fill(rate, now) < 1) return false
    bucket.spend(1)
    return true
  }).length
}

test('a bucket gives its burst at once, then its rate', () => {
  const rate = { perSecond: 10, capacity: 5 }
  const bucket = new TokenBucket(rate.capacity, 0)
  assert.equal(taken(bucket, rate, Array(20).fill(0)), 5)
  assert.equal(bucket.waitMs(1, rate), 100)
  assert.equal(taken(bucket, rate, [99, 100, 101, 200]), 2)
  // However long a pause is, no more than the burst is saved up.
  assert.equal(taken(bucket, rate, Array(20).fill(60_000)), 5)
})

test('a bucket that is overdrawn fills up again first, and says how long that takes', () => {
  const rate = { perSecond: 1000, capacity: 100 }
  const bucket = new TokenBucket(rate.capacity, 0)
  bucket.spend(600)
  assert.equal(bucket.fill(rate, 100), -400)
  assert.equal(bucket.waitMs(0, rate), 400)
  assert.equal(bucket.fill(rate, 500), 0)
})

test('a bucket takes new settings on the way, and a clock that stands still or goes back adds nothing', () => {
  const bucket = new TokenBucket(10, 1000)
  assert.equal(bucket.fill({ perSecond: 1, capacity: 4 }, 1000), 4)
  assert.equal(bucket.fill({ perSecond: 1, capacity: 100 }, 500), 4)
  assert.equal(bucket.fill({ perSecond: 50, capacity: 100 }, 2000), 54)
})

test('whenever requests come, the buckets of all cells together admit no more than the rate of the whole base and its burst', () => {
  const arrivals = fc.array(fc.record({ cell: fc.nat(3), gapMs: fc.nat(50) }), { maxLength: 300 })
  fc.assert(
    fc.property(arrivals, fc.integer({ min: 1, max: 200 }), fc.integer({ min: 4, max: 50 }), (requests, rps, burst) => {
      const share = rateShare(rps, burst, 4)
      const buckets = Array.from({ length: 4 }, () => new TokenBucket(share.capacity, 0))
      let now = 0
      let admitted = 0
      for (const { cell, gapMs } of requests) {
        now += gapMs
        admitted += taken(buckets[cell] as TokenBucket, share, [now])
      }
      assert.ok(admitted <= burst + (rps * now) / 1000 + 1e-6, `${admitted} in ${now} ms`)
    }),
  )
})

test('the shares of the cells add up to the limit, and none is zero', () => {
  const shares = (limit: number, cells: number) => Array.from({ length: cells }, (_, i) => shareOf(limit, i + 1, cells))
  assert.deepEqual(shares(256, 2), [128, 128])
  assert.deepEqual(shares(7, 3), [3, 2, 2])
  assert.deepEqual(shares(1, 3), [1, 1, 1])
  // One of three cells is being replaced.
  assert.deepEqual([shareOf(10, 2, 2), shareOf(10, 3, 2)], [5, 5])
})

const rules: BreakerRules = { failureRatio: 0.5, minRequests: 4, windowMs: 1000, openMs: 5000, probes: 2 }

/** Runs requests one after the other. @returns for each, whether it was admitted */
function ask(breaker: Breaker, now: number, outcomes: readonly BreakerOutcome[]): boolean[] {
  return outcomes.map(outcome => {
    const epoch = breaker.enter(rules, now)
    if (epoch !== undefined) breaker.leave(epoch, outcome, rules, now)
    return epoch !== undefined
  })
}

const opened = (now: number): Breaker => {
  const breaker = new Breaker()
  ask(breaker, now, ['failed', 'failed', 'failed', 'failed'])
  assert.equal(breaker.state, 'open')
  return breaker
}

test('a breaker opens at the ratio of failures, not before it has seen enough', () => {
  const breaker = new Breaker()
  ask(breaker, 0, ['failed', 'failed', 'failed'])
  assert.equal(breaker.state, 'closed')
  ask(breaker, 0, ['ok', 'ok', 'ok', 'ok'])
  ask(breaker, 0, ['failed'])
  assert.equal(breaker.state, 'open')
})

test('a breaker does not open below the ratio, nor for failures that the version is not to blame for', () => {
  const breaker = new Breaker()
  for (let i = 0; i < 100; i++) ask(breaker, i, ['ok', 'ok', 'failed', 'neither', 'neither'])
  assert.equal(breaker.state, 'closed')
  const blameless = new Breaker()
  ask(blameless, 0, Array(100).fill('neither'))
  assert.equal(blameless.state, 'closed')
})

test('failures that the window has left behind open no breaker', () => {
  const breaker = new Breaker()
  ask(breaker, 0, ['failed', 'failed', 'failed'])
  ask(breaker, 1100, ['failed', 'failed', 'failed'])
  assert.equal(breaker.state, 'closed')
  ask(breaker, 1900, ['failed'])
  assert.equal(breaker.state, 'open')
})

test('an open breaker refuses at once and says for how long', () => {
  const breaker = opened(0)
  assert.deepEqual(ask(breaker, 1000, ['ok', 'ok']), [false, false])
  assert.equal(breaker.waitMs(1000), 4000)
  assert.equal(breaker.state, 'open')
})

test('a half-open breaker admits a few probes at a time, and closes when as many in a row succeed', () => {
  const breaker = opened(0)
  const probes = [1, 2, 3].map(() => breaker.enter(rules, 5000))
  assert.equal(breaker.state, 'halfOpen')
  assert.equal(probes[2], undefined)
  breaker.leave(probes[0] as number, 'ok', rules, 5001)
  // One probe has ended, so another may begin.
  const next = breaker.enter(rules, 5001)
  assert.notEqual(next, undefined)
  // A probe that says nothing about the version lets another begin, and changes nothing else.
  breaker.leave(next as number, 'neither', rules, 5001)
  assert.equal(breaker.state, 'halfOpen')
  breaker.leave(probes[1] as number, 'ok', rules, 5002)
  assert.equal(breaker.state, 'closed')
  // The failures from before it opened no longer count.
  ask(breaker, 5003, ['failed', 'failed', 'failed'])
  assert.equal(breaker.state, 'closed')
})

test('a probe that fails opens the breaker for as long again', () => {
  const breaker = opened(0)
  assert.deepEqual(ask(breaker, 5000, ['ok', 'failed', 'ok']), [true, true, false])
  assert.equal(breaker.waitMs(6000), 4000)
})

test('requests from before a breaker opened are no probes', () => {
  const breaker = new Breaker()
  const early = [1, 2, 3].map(() => breaker.enter(rules, 0) as number)
  ask(breaker, 0, ['failed', 'failed', 'failed', 'failed'])
  for (const epoch of early) breaker.leave(epoch, 'ok', rules, 5000)
  assert.equal(breaker.state, 'open')
  const probe = breaker.enter(rules, 5000) as number
  for (const epoch of early) breaker.leave(epoch, 'failed', rules, 5000)
  assert.equal(breaker.state, 'halfOpen')
  breaker.leave(probe, 'ok', rules, 5000)
  ask(breaker, 5000, ['ok'])
  assert.equal(breaker.state, 'closed')
})
