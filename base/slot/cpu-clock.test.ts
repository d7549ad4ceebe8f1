/** How the CPU of the threads is shared out among the isolates, by clocks that the tests move. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CpuClock, CpuMeter } from './cpu-clock.ts'

/** A process in which `pass` lets time go by: its threads use so much CPU, and isolates are held for so long. */
function makeProcess() {
  let [now, threadsMs] = [0, 0]
  const meter = new CpuMeter({ now: () => now, threadsMs: () => threadsMs })
  const isolates: { cpuTime: bigint }[] = []
  const addIsolate = () => {
    const isolate = { cpuTime: 0n }
    isolates.push(isolate)
    return isolate
  }
  const makeClock = (isolate = addIsolate()): CpuClock => {
    const clock = new CpuClock(isolate, meter)
    clock.run()
    return clock
  }
  const pass = (usedMs: number, ...heldMs: number[]): void => {
    now += 10
    threadsMs += usedMs
    for (const [i, isolate] of isolates.entries()) isolate.cpuTime += BigInt((heldMs[i] ?? 0) * 1e6)
  }
  return { addIsolate, makeClock, pass }
}

test('an isolate that has a processor to itself is charged for as long as it is held, and for no more', () => {
  const { makeClock, pass } = makeProcess()
  const clock = makeClock()
  for (let i = 0; i < 5; i++) {
    // The garbage collector has threads of its own.
    pass(14, 10)
    assert.equal(clock.readMs(), 10 * (i + 1))
  }
})

test('isolates that wait for a processor share what the threads have used, by how long each was held', () => {
  const { makeClock, pass } = makeProcess()
  const [first, second] = [makeClock(), makeClock()]
  for (let i = 0; i < 10; i++) {
    pass(4, 10, 5)
    first.readMs()
  }
  const [a, b] = [first.readMs(), second.readMs()]
  assert.ok(Math.abs(a + b - 40) < 1e-9, `${a} + ${b}`)
  assert.ok(Math.abs(a - 2 * b) < 1e-9, `${a}, ${b}`)
})

test('what the system counts late is charged when it has been counted', () => {
  const { makeClock, pass } = makeProcess()
  const clock = makeClock()
  pass(6, 10)
  assert.equal(clock.readMs(), 6)
  clock.rest()
  pass(4, 0)
  assert.equal(clock.readMs(), 10)
})

test('an isolate that was not called is charged nothing, and one that has ended keeps what it had used', () => {
  const { makeClock, pass } = makeProcess()
  const [ended, idle] = [makeClock(), makeClock()]
  pass(10, 10, 0)
  ended.end()
  for (let i = 0; i < 3; i++) {
    pass(10)
    assert.deepEqual([ended.readMs(), idle.readMs()], [10, 0])
  }
})

test('what an isolate uses after a clock of it has ended is charged to its next clock alone, also on a busy machine', () => {
  const { addIsolate, makeClock, pass } = makeProcess()
  const isolate = addIsolate()
  const load = makeClock(isolate)
  pass(5, 10)
  load.readMs()
  load.end()
  const slot = makeClock(isolate)
  const before = slot.readMs()
  for (let i = 0; i < 10; i++) {
    pass(5, 10)
    slot.readMs()
  }
  // What the load has not been charged for yet, it may be charged for late.
  const usedMs = slot.readMs() - before
  assert.ok(usedMs > 45 && usedMs <= 50, `${usedMs}`)
  assert.ok(load.readMs() <= 10)
})
