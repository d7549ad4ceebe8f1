import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Cleanup } from '../../store/fixtures/folder.ts'
import { startTrials, type TrialSettings, type Trials } from './trials.ts'

function startStubTrials(t: Cleanup, settings: TrialSettings = {}, entry = stub): Trials {
  const trials = startTrials({ args: ['--disable-warning=ExperimentalWarning', entry], env: {} }, settings)
  t.after(() => trials.close())
  return trials
}

const stub = join(import.meta.dirname, '../fixtures', 'trial.ts')
const candidate = (bundle: string) => ({ name: 'rank@1.0.0', stages: ['rank'], bundle })

test('a bundle that loads passes, one that throws is refused with what the trial says', async t => {
  const trials = startStubTrials(t)
  await trials.pass(candidate('fine'), 'alice')
  await assert.rejects(trials.pass(candidate('throw'), 'alice'), { code: 'MODULE_LOAD_THREW', message: 'Cannot load: it threw' })
})

test('a bundle that hangs or ends its process is refused, and the next one gets a process of its own', async t => {
  const trials = startStubTrials(t, { idleMsMax: 2000 })
  await assert.rejects(trials.pass(candidate('hang'), 'alice'), { code: 'MODULE_LOAD_KILLED', message: /"rank@1.0.0".*2000 ms/ })
  await assert.rejects(trials.pass(candidate('die'), 'alice'), { code: 'MODULE_LOAD_KILLED', message: /exit code 7/ })
  await trials.pass(candidate('fine'), 'alice')
})

test('a trial that the kernel killed for want of memory says nothing against its module', async t => {
  let oomKills = 0
  const machine = { memoryMB: 512, memoryFile: undefined, cores: 1, oomKills: () => oomKills++ }
  const trials = startStubTrials(t, { machine })
  await assert.rejects(trials.pass(candidate('be killed'), 'alice'), {
    code: 'MEMORY_SHORT',
    message: /memory is short, so the kernel ended/,
  })
  await trials.pass(candidate('fine'), 'alice')
})

test('a trial that uses up its CPU is killed, however long it has waited for a processor', async t => {
  const trials = startStubTrials(t, { cpuMsMax: 200 })
  await assert.rejects(trials.pass(candidate('burn'), 'alice'), { code: 'MODULE_LOAD_KILLED', message: /used more than 200 ms of CPU/ })
})

test('bundles of one publisher that hang hold up no bundle of another', async t => {
  const trials = startStubTrials(t)
  const hanging = Array.from({ length: 4 }, () => assert.rejects(trials.pass(candidate('hang'), 'mallory'), { code: 'BASE_DRAINING' }))
  await trials.pass(candidate('fine'), 'alice')
  trials.close()
  await Promise.all(hanging)
})

test('bundles offered at once are tried side by side, each with its own outcome', async t => {
  const trials = startStubTrials(t)
  const outcomes = await Promise.allSettled(['fine', 'throw', 'die', 'fine'].map(text => trials.pass(candidate(text), 'alice')))
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  )
})

test('a trial process that cannot start is a fault of the base, not of the module', async t => {
  const trials = startStubTrials(t, {}, join(import.meta.dirname, 'nothing-here.ts'))
  await assert.rejects(trials.pass(candidate('fine'), 'alice'), { code: 'INTERNAL', message: /did not start \(exit code 1\)/ })
})

test('closing ends the trial under way without blaming its module', async t => {
  const trials = startStubTrials(t)
  const outcome = assert.rejects(trials.pass(candidate('hang'), 'alice'), { code: 'BASE_DRAINING' })
  // It is under way once the microtasks of the call have run.
  await new Promise(resolve => setImmediate(resolve))
  trials.close()
  await outcome
})
