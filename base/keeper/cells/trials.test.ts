import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Machine } from '../../kernel/machine.ts'
import type { Cleanup } from '../../store/fixtures/folder.ts'
import { startTrials, type Trials } from './trials.ts'

function startStubTrials(t: Cleanup, msMax = 60_000, entry = stub, machine?: Machine): Trials {
  const trials = startTrials({ args: ['--disable-warning=ExperimentalWarning', entry], env: {} }, msMax, machine)
  t.after(() => trials.close())
  return trials
}

const stub = join(import.meta.dirname, '../fixtures', 'trial.ts')
const candidate = (bundle: string) => ({ name: 'rank@1.0.0', stages: ['rank'], bundle })

test('a bundle that loads passes, one that throws is refused with what the trial says', async t => {
  const trials = startStubTrials(t)
  await trials.pass(candidate('fine'))
  await assert.rejects(trials.pass(candidate('throw')), { code: 'MODULE_LOAD_THREW', message: 'Cannot load: it threw' })
})

test('a bundle that hangs or ends its process is refused, and the next one gets a process of its own', async t => {
  const trials = startStubTrials(t, 2000)
  await assert.rejects(trials.pass(candidate('hang')), { code: 'MODULE_LOAD_KILLED', message: /"rank@1.0.0".*2000 ms/ })
  await assert.rejects(trials.pass(candidate('die')), { code: 'MODULE_LOAD_KILLED', message: /exit code 7/ })
  await trials.pass(candidate('fine'))
})

test('a trial that the kernel killed for want of memory says nothing against its module', async t => {
  let oomKills = 0
  const machine = { memoryMB: 512, memoryFile: undefined, cores: 1, oomKills: () => oomKills++ }
  const trials = startStubTrials(t, 60_000, stub, machine)
  await assert.rejects(trials.pass(candidate('be killed')), { code: 'MEMORY_SHORT', message: /memory is short, so the kernel ended/ })
  await trials.pass(candidate('fine'))
})

test('bundles offered at once are tried one after the other, each with its own outcome', async t => {
  const trials = startStubTrials(t)
  const outcomes = await Promise.allSettled(['fine', 'throw', 'die', 'fine'].map(text => trials.pass(candidate(text))))
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  )
})

test('a trial process that cannot start is a fault of the base, not of the module', async t => {
  const trials = startStubTrials(t, 60_000, join(import.meta.dirname, 'nothing-here.ts'))
  await assert.rejects(trials.pass(candidate('fine')), { code: 'INTERNAL', message: /did not start \(exit code 1\)/ })
})

test('closing ends the trial under way without blaming its module', async t => {
  const trials = startStubTrials(t)
  const outcome = assert.rejects(trials.pass(candidate('hang')), { code: 'BASE_DRAINING' })
  // It is under way once the microtasks of the call have run.
  await new Promise(resolve => setImmediate(resolve))
  trials.close()
  await outcome
})
