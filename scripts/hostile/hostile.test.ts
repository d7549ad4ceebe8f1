/** Runs a sample of the table on one base, and tests how a row is judged. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOf, type NamedCase } from './case.ts'
import { cases } from './cases.ts'
import { changeOf, faultsOf, type Saved, savedOf } from './judge.ts'
import type { Observed } from './run.ts'
import { makeTable } from './table.ts'
import { worst } from './worst.ts'

/** One of each family that takes little time: the whole table is `npm run test:hostile`. */
const sample = [
  'return-cycle',
  'tamper-json-stringify',
  'escape-fetch-response',
  'reject-for-others-together',
  'loop-in-prepare-stack-trace',
  'grow-objects',
  'flood-timers',
  'load-throw',
]

const supported = process.platform === 'linux' ? false : 'it reads /proc'
const named = (name: string): NamedCase => cases.find(each => each.name === name) ?? assert.fail(`There is no case ${name}`)

test('hostile modules get the codes that they should, cost no neighbour a request, and leave nothing behind', {
  timeout: 240_000,
  skip: supported,
}, async () => {
  const rows = await makeTable([sample.map(named)], { isTimed: false, saved: {}, onRow: () => undefined })
  assert.equal(rows.length, sample.length)
  assert.deepEqual(
    rows.filter(({ faults }) => faults.length > 0).map(({ name, faults }) => [name, ...faults]),
    [],
  )
  for (const { name, seen } of rows) assert.ok(seen && seen.same.answered > 0 && seen.other.answered > 0, name)
})

const fine: Observed = {
  codes: { MODULE_KILLED: 1 },
  detail: '',
  wrong: undefined,
  lateMs: 20,
  same: { answered: 10, failures: [], worstMs: 5 },
  other: { answered: 10, failures: [], worstMs: 5 },
  gapMs: 40,
  cellsLost: 0,
  isIdle: true,
  cpuSeconds: 0.5,
  memoryMB: { before: 100, peak: 300, after: 110 },
  commitMs: undefined,
  cellsMost: undefined,
}

test('a row is wrong for each thing that is not as promised', () => {
  const judge = (seen: Partial<Observed>, name = 'loop-sync') => faultsOf(named(name), { ...fine, ...seen }, { isTimed: true })
  assert.deepEqual(judge({}), [])
  assert.match(judge({ codes: { MODULE_KILLED: 1, INTERNAL: 2 } }).join(), /saw INTERNAL instead of DEADLINE_EXCEEDED or MODULE_KILLED/)
  assert.match(judge({ codes: { OK: 1 }, wrong: 'escaped' }, 'escape-context').join(), /got "escaped" instead of "inside"/)
  assert.match(judge({ other: { ...fine.other, failures: ['BROKEN'] } }).join(), /a neighbour in the other cell lost 1 requests: BROKEN/)
  assert.match(judge({ cellsLost: 1 }).join(), /it cost 1 cells/)
  assert.deepEqual(judge({ cellsLost: 1 }, 'stuck-in-includes'), [])
  assert.match(judge({ cellsLost: 3 }, 'later-stuck').join(), /it cost 3 cells/)
  assert.match(judge({ cellsMost: 5 }, 'later-stuck').join(), /there were 5 cells at once/)
  assert.match(judge({ codes: { OK: 1 } }, 'later-stuck').join(), /saw OK instead of VERSION_QUARANTINED/)
  assert.match(judge({ isIdle: false }).join(), /burns on/)
  assert.match(judge({ memoryMB: { before: 100, peak: 900, after: 900 } }).join(), /has 900 MB, after 100 before/)
  assert.match(judge({ lateMs: 106 }).join(), /106 ms after its deadline/)
  assert.match(judge({ gapMs: 1006 }).join(), /did not answer for 1006 ms/)
})

test('times are not judged where the machine may be busy', () => {
  assert.deepEqual(faultsOf(named('loop-sync'), { ...fine, lateMs: 500, gapMs: 5000, commitMs: 5000 }, { isTimed: false }), [])
})

test('a row is changed when its codes or its cell are not as they were saved, and not when the case itself is new', () => {
  const before = savedOf(named('loop-sync'), fine)
  const now = savedOf(named('loop-sync'), { ...fine, codes: { DEADLINE_EXCEEDED: 1 }, cellsLost: 1 })
  assert.equal(changeOf(before, before), undefined)
  assert.equal(changeOf(before, now), 'was MODULE_KILLED, cell kept; is DEADLINE_EXCEEDED, cell replaced')
  assert.equal(changeOf(undefined, now), undefined)
  assert.equal(changeOf({ ...before, digest: 'other' }, now), undefined)
})

test('the outcome of every case is saved as the case is now', () => {
  const saved = JSON.parse(readFileSync(join(import.meta.dirname, 'results.json'), 'utf8')) as Record<string, Saved>
  const stale = cases.filter(each => saved[each.name]?.digest !== digestOf(each)).map(({ name }) => name)
  assert.deepEqual(stale, [], 'Run them with "npm run test:hostile -- --save"')
  assert.deepEqual(Object.keys(saved).length, cases.length)
})

test('each of the worst cases is one of the table', () => {
  for (const name of worst) named(name)
})
