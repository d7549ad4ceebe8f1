import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../kernel/log.ts'
import type { Stacks } from '../kernel/stacks.ts'
import type { Kill } from '../slot/kill.ts'
import { ModuleError } from '../slot/module-error.ts'
import { compileTable } from '../traffic/scene.ts'
import { emptyTable } from '../traffic/table.ts'
import { LogFeed } from './log-feed.ts'
import { Metrics } from './metrics.ts'
import { ModuleLog } from './module-log.ts'
import { Telemetry } from './telemetry.ts'

const nothing = {
  slots: () => 0,
  inFlight: () => 0,
  connections: () => 0,
  revision: () => 0,
  breakers: () => [],
  serviceFaults: () => [],
  hasScene: () => true,
  tokenGuesses: () => 0,
}

const stacks: Stacks = { locate: async stack => ({ stack }) }
const plan = { key: 'home/v1@128', scene: 'home', version: 'v1', memoryMB: 128, lock: [] }

function startTelemetry(): Telemetry {
  const log = createLog('cell-1', 'silent')
  const moduleLog = new ModuleLog(log, stacks, new LogFeed(() => undefined))
  return new Telemetry(log, moduleLog, new Metrics(1, nothing))
}

const overCpu: Kill = { reason: 'over its CPU', blame: 'module', isForMemory: false, where: {}, sight: undefined }

test('kills are reported once, with what their version has answered since the last report or the start of the cell', async () => {
  const telemetry = startTelemetry()
  const { metrics } = telemetry
  const report = (kills: number, answers: number) => [{ scene: 'home', version: 'v1', kills, answers, why: 'over its CPU' }]
  const answer = (count: number) => {
    for (let i = 0; i < count; i++) metrics.count({ scene: 'home', version: 'v1' }, 'OK', 0.001)
    metrics.count({ scene: 'home', version: 'v1' }, 'MODULE_THREW', 0.001)
  }
  assert.deepEqual(telemetry.takeKills(), [])
  answer(3)
  telemetry.onSlotKilled(plan, overCpu)
  telemetry.onSlotKilled(plan, overCpu)
  telemetry.onSlotKilled(plan, { ...overCpu, reason: 'a caller sent too much', blame: 'caller' })
  assert.deepEqual(telemetry.takeKills(), report(2, 3))
  assert.deepEqual(telemetry.takeKills(), [])
  answer(2)
  // What was collected meanwhile counts all the same.
  await metrics.collect()
  answer(1)
  telemetry.onSlotKilled(plan, overCpu)
  assert.deepEqual(telemetry.takeKills(), report(1, 3))
  telemetry.onTable(compileTable(emptyTable))
  telemetry.onSlotKilled(plan, overCpu)
  assert.deepEqual(telemetry.takeKills(), report(1, 6))
})

test('a version that had to be killed while it was loaded counts as killed, and one that only failed does not', async () => {
  const telemetry = startTelemetry()
  const failed = (code: 'MODULE_LOAD_KILLED' | 'MODULE_LOAD_THREW') =>
    telemetry.explainLoad(new ModuleError({ code, message: `Cannot load: ${code}` }), plan)
  await failed('MODULE_LOAD_THREW')
  assert.deepEqual(telemetry.takeKills(), [])
  assert.equal((await failed('MODULE_LOAD_KILLED')).code, 'MODULE_LOAD_KILLED')
  assert.deepEqual(telemetry.takeKills(), [{ scene: 'home', version: 'v1', kills: 1, answers: 0, why: 'Cannot load: MODULE_LOAD_KILLED' }])
})
