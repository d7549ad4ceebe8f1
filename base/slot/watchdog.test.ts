/**
 * When the watchdog finds that a slot has to be killed, by clocks that the tests move. That the slot is killed then is tested in
 * slot.test.ts.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { limits } from '../kernel/limits.ts'
import { type Pending, pendingOf } from './slot-call.ts'
import { Watchdog } from './watchdog.ts'

const { unresponsiveMsMax, idleCpuMsMax, outsideCpuMsPerSecond, outsideCpuMsMax } = limits.slot

function request(no: number, { cpuMs = 100, deadlineAt = 10_000, done = false } = {}): Pending {
  const call = { requestId: 'r', body: '1', unit: undefined, deadlineAt, cpuMs, params: '{}', chain: ['home'] }
  const answered = () => assert.fail('the watchdog answers nobody')
  return { ...pendingOf(call, { resolve: answered, reject: answered }), no, done }
}

/** Why a slot is killed whose code runs for no request that is known. */
const unknown = /^code after an "await", in a promise reaction or in a timer used \d+ ms of CPU without coming to an end$/

/** A slot whose isolate has been called. Nothing is seen to run in it, and it answers no probe. */
function watch(t: TestContext) {
  let [now, cpuMs] = [0, 0]
  t.mock.method(performance, 'now', () => now)
  const slot = {
    current: undefined as Pending | undefined,
    run: 0,
    running: true,
    settled: 0,
    pending: 1,
    leftMs: 0,
    waiting: [] as Pending[],
    probes: [] as (() => void)[],
  }
  const watched = {
    current: () => slot.current,
    run: () => slot.run,
    isRunning: () => slot.running,
    settled: () => slot.settled,
    pending: () => slot.pending,
    leftMs: () => slot.leftMs,
    waiting: () => slot.waiting,
    probe: () => new Promise<void>(resolve => slot.probes.push(resolve)),
  }
  const cpu = {
    readMs: () => cpuMs,
  }
  const watchdog = new Watchdog(watched, cpu)
  /** Looks again after so many milliseconds, in which the isolate has used so many milliseconds of CPU. */
  const look = (laterMs = 0, usedMs = 0): string | undefined => {
    now += laterMs
    cpuMs += usedMs
    return watchdog.look(now)
  }
  return { slot, watchdog, look }
}

test('a request is killed for the CPU that it has used itself, and for no time that it has waited', t => {
  const { slot, look } = watch(t)
  slot.current = request(1)
  assert.equal(look(0, 5000), undefined)
  assert.equal(look(9000, 100), undefined)
  slot.current = request(2)
  slot.run = 2
  assert.equal(look(10, 90), undefined)
  assert.equal(look(10, 100), undefined)
  assert.equal(look(10, 1), 'over the limit traffic.cpuMs of scene "home": a request used more than 100 ms of CPU')
})

test('a request may use its CPU again each time that it goes on, and the message says what its limit is a part of', t => {
  const { slot, look } = watch(t)
  const { call, ...rest } = request(1, { cpuMs: 100 })
  slot.current = { ...rest, call: { ...call, deadlineMs: 400 } }
  look()
  for (slot.run = 1; slot.run < 5; slot.run++) assert.equal(look(10, 90), undefined)
  assert.equal(look(10, 90), undefined)
  assert.match(
    look(10, 101) ?? 'lives',
    /traffic\.cpuMs of scene "home", a quarter of its deadline of 400 ms: a request used more than 100 ms/,
  )
})

test('an answered request that goes on past its deadline is killed once it has used the CPU of a loop', t => {
  const { slot, look } = watch(t)
  slot.current = request(1, { deadlineAt: 100, done: true })
  assert.equal(look(100), undefined)
  assert.equal(look(unresponsiveMsMax + 1, unresponsiveMsMax / 2), undefined)
  assert.equal(look(1, 1), 'stuck past the deadline of a request')
})

test('a slot that leaves a probe unanswered is stuck when it uses CPU and settles nothing, not when it waits for a processor', t => {
  const { slot, look } = watch(t)
  assert.equal(look(), undefined)
  assert.equal(slot.probes.length, 1)
  assert.equal(look(60_000, idleCpuMsMax - 1), undefined)
  slot.settled++
  assert.equal(look(60_000, idleCpuMsMax), undefined)
  assert.equal(look(unresponsiveMsMax - 1, idleCpuMsMax), undefined)
  assert.match(look(1) ?? 'lives', unknown)
  assert.equal(slot.probes.length, 1)
})

test('a slot that answers its probe is probed anew, and gets the CPU of a request that may go on in it', async t => {
  const { slot, look } = watch(t)
  look()
  slot.probes[0]?.()
  await new Promise(resolve => setImmediate(resolve))
  slot.waiting = [request(1, { cpuMs: 2000 })]
  assert.equal(look(60_000, 60_000), undefined)
  assert.equal(slot.probes.length, 2)
  assert.equal(look(60_000, 1999), undefined)
  assert.match(look(0, 1) ?? 'lives', unknown)
})

test('the shortest bound holds of those that a probe is sent with, and what was used before a fresh start does not count', t => {
  const { watchdog, look } = watch(t)
  look()
  watchdog.expectSign(20)
  assert.equal(look(10, 20), undefined)
  watchdog.startAfresh()
  assert.equal(look(unresponsiveMsMax, 19), undefined)
  assert.match(look(0, 1) ?? 'lives', unknown)
})

/** A slot with no request in it. */
function watchIdle(t: TestContext) {
  const watched = watch(t)
  Object.assign(watched.slot, { running: false, pending: 0 })
  for (let i = 0; i < 3; i++) assert.equal(watched.look(10), undefined)
  return watched
}

test('what a slot uses while no request is in it is bounded over time, and work now and then is not', t => {
  const { look } = watchIdle(t)
  for (let minute = 0; minute < 100; minute++) assert.equal(look(60_000, outsideCpuMsMax), undefined)
  assert.equal(look(1000, outsideCpuMsMax + outsideCpuMsPerSecond), undefined)
  assert.match(look(10, outsideCpuMsPerSecond) ?? 'lives', /CPU a second outside of requests/)
})

test('what requests use is not charged to what they leave behind, nor is what is read of it late', t => {
  const { slot, look } = watchIdle(t)
  for (let i = 0; i < 100; i++) {
    slot.settled++
    assert.equal(look(10, 100), undefined)
    assert.equal(look(10, 10), undefined)
  }
  slot.pending = 1
  for (let i = 0; i < 100; i++) assert.equal(look(10, 10), undefined)
})

test('timers that answered requests have left behind are charged while others wait, by no more than the slot has used', t => {
  const { slot, look } = watchIdle(t)
  slot.pending = 1
  for (let i = 0; i < 100; i++) {
    slot.leftMs += 1000
    assert.equal(look(10, 1), undefined)
  }
  slot.leftMs += outsideCpuMsMax + outsideCpuMsPerSecond
  assert.match(look(10, 2 * outsideCpuMsMax) ?? 'lives', /outside of requests/)
})
