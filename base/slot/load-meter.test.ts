import assert from 'node:assert/strict'
import { test } from 'node:test'
import type ivm from 'isolated-vm'
import { limits } from '../kernel/limits.ts'
import { LoadMeter } from './load-meter.ts'

test('a load is charged for the time that its isolate ran, and at most for its share of the CPU of the process', t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let processUs = 0
  t.mock.method(process, 'cpuUsage', () => ({ user: processUs, system: 0 }))
  const [busy, quick] = [{ cpuTime: 0n }, { cpuTime: 0n }]
  const meters = [busy, quick].map(isolate => new LoadMeter(isolate as ivm.Isolate, () => undefined))
  const used = () => meters.map(({ usedMs }) => usedMs)
  // A busy machine gave this process 4 ms in a tick in which the code of one isolate was under way all the time.
  busy.cpuTime += 10_000_000n
  quick.cpuTime += 1_000_000n
  processUs += 4000
  t.mock.timers.tick(limits.slot.watchdogTickMs)
  assert.deepEqual(used(), [2, 1])
  // A machine with cores to spare.
  busy.cpuTime += 10_000_000n
  processUs += 40_000
  t.mock.timers.tick(limits.slot.watchdogTickMs)
  assert.deepEqual(used(), [12, 1])
  meters[1]?.stop()
  busy.cpuTime += 10_000_000n
  quick.cpuTime += 10_000_000n
  processUs += 4000
  t.mock.timers.tick(limits.slot.watchdogTickMs)
  assert.deepEqual(used(), [16, 1])
  meters[0]?.stop()
})
