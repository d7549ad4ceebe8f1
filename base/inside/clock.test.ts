/** The clock and the timers inside, on a made-up machine whose wall clock is set at random. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SlotClock } from '../slot/slot-clock.ts'
import type { InsideLimits, Posted } from './protocol.ts'

const TICK_MS = 10
/** What the clock inside may be ahead or behind while the cell has not written since the wall clock was set. */
const OFF_MS_MAX = 500

/** A machine with a cell that has one isolate: its time passes only in `run`. */
class Machine {
  /** Milliseconds since the machine was switched on, and by how much the wall clock is ahead of them. */
  time = 5000.5
  #wallAhead = 1.7e12
  #wakeUps: { readonly no: number; readonly at: number }[] = []

  readonly wall = (): number => Math.floor(this.time + this.#wallAhead)
  readonly clock = new SlotClock({ monotonic: () => this.time, wall: this.wall })

  set(byMs: number): void {
    this.#wallAhead += byMs
  }

  readonly post = (kind: string, ...[no, delayMs]: Posted[]): void => {
    if (kind === 'timer') this.#wakeUps.push({ no: Number(no), at: this.time + Number(delayMs) })
  }

  /** Lets time pass: the cell writes the clock every ten milliseconds, and enters the isolate for wake-ups. */
  async run(ms: number, fireTimer: (no: number) => void): Promise<void> {
    for (const until = this.time + ms; this.time < until; ) {
      const tickAt = (Math.floor(this.time / TICK_MS) + 1) * TICK_MS
      const wakeUp = this.#wakeUps.sort((a, b) => a.at - b.at)[0]
      this.time = Math.max(this.time, Math.min(until, tickAt, wakeUp?.at ?? until))
      this.clock.write()
      if (wakeUp === undefined || wakeUp.at > this.time) continue
      this.#wakeUps.shift()
      fireTimer(wakeUp.no)
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}

const machine = new Machine()
const bounds: InsideLimits = {
  resultChars: 1e6,
  requestCalls: 100,
  callChars: 1e6,
  fetchBytes: 1e6,
  slotTimers: 100,
  logLinesPerSecond: 100,
  logLineChars: 1000,
  paramsKept: 10,
  rejectionChars: 8192,
  misfits: 8,
}
// The code inside takes hold of the clock, and of what the cell gives it, when it is loaded.
const native = Date.now
Date.now = machine.wall
Object.assign(globalThis, { given: [machine.post, new SharedArrayBuffer(16), machine.clock.memory, bounds, '', undefined] })
const { cellTime, readWrittenTime, monotonicTime } = await import('./clock.ts')
const { closeTimer, fireTimer, openTimer } = await import('./globals/timers.ts')
Date.now = native

const run = (ms: number) => machine.run(ms, fireTimer)
const ms = fc.integer({ min: 0, max: 500 })
const step = fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -1e10, max: 1e10 }))
const actions = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('run' as const), ms }),
    fc.record({ type: fc.constant('set' as const), ms: step }),
    fc.record({ type: fc.constant('open' as const), ms, repeats: fc.boolean() }),
  ),
  { maxLength: 30 },
)

test('however the wall clock is set, no timer fires early by more than a tick of the cell, or late by more than half a second', async () => {
  await fc.assert(
    fc.asyncProperty(actions, async all => {
      const open = new Map<number, { dueAt: number; everyMs: number | undefined }>()
      const faults: string[] = []
      const onFire = (id: number) => {
        const timer = open.get(id)
        if (timer === undefined) return
        const lateMs = machine.time - timer.dueAt
        if (lateMs < -TICK_MS - 3 || lateMs > OFF_MS_MAX + 3) faults.push(`timer ${id} of ${JSON.stringify(timer)} is ${lateMs} ms late`)
        if (timer.everyMs === undefined) open.delete(id)
        else timer.dueAt = machine.time + timer.everyMs
      }
      const numbers: number[] = []
      for (const [id, action] of all.entries()) {
        if (action.type === 'run') await run(action.ms)
        else if (action.type === 'set') machine.set(action.ms)
        else {
          open.set(id, { dueAt: machine.time + action.ms, everyMs: action.repeats ? Math.max(action.ms, 1) : undefined })
          numbers.push(openTimer('setTimeout', () => onFire(id), action.ms, [], action.repeats))
        }
      }
      await run(1100)
      for (const no of numbers) closeTimer(no)
      assert.deepEqual(faults, [])
      const once = [...open.values()].filter(({ everyMs }) => everyMs === undefined)
      assert.deepEqual(once, [], 'a timer has not fired')
      await run(1500)
    }),
    { numRuns: 100 },
  )
})

test('however the wall clock is set, the monotonic clock never goes back, and is right as soon as the cell has written', async () => {
  let last = monotonicTime()
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ ms: fc.integer({ min: 0, max: 150 }), step })), async all => {
      for (const { ms, step } of all) {
        machine.set(step)
        const atOnce = monotonicTime()
        assert.ok(atOnce >= last, 'it went back')
        assert.ok(
          Math.abs(atOnce - machine.time) <= OFF_MS_MAX + 1,
          `it is wrong by ${atOnce - machine.time} ms before the cell has written`,
        )
        assert.ok(readWrittenTime() <= machine.time)
        machine.clock.write()
        assert.ok(Math.abs(cellTime() - machine.time) <= 1.001, `it is wrong by ${cellTime() - machine.time} ms after the cell has written`)
        last = monotonicTime()
        await run(ms)
      }
    }),
    { numRuns: 100 },
  )
})

test('between two writings of the cell the monotonic clock moves on, and no further than half a second', () => {
  machine.clock.write()
  const from = machine.time
  for (const ms of [0, 1, 7, 60, 499]) {
    machine.time = from + ms
    assert.ok(Math.abs(cellTime() - machine.time) <= 1.001)
  }
  machine.time = from + 5000
  assert.equal(cellTime(), from + OFF_MS_MAX)
})
