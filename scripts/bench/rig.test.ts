import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Comparison, type Result, type Run, ratioOf, warningsOf } from './rig.ts'
import { judge, targets } from './targets.ts'

const run = (requestsPerSecond: number, rest: Partial<Run> = {}): Run => ({
  ...{ requestsPerSecond, p50Ms: 1, p99Ms: 2, cpuUs: 50, failed: 0, others: 0, stolen: 0, threads: {} },
  ...rest,
})
const result = (subject: string, ...rates: number[]): Result => ({ subject, runs: rates.map(rate => run(rate)) })

test('a ratio is that of the medians, with the lowest and the highest of the rounds', () => {
  const ratio = ratioOf(result('one', 80, 100, 90), result('other', 100, 80, 120), 'requestsPerSecond')
  assert.deepEqual(ratio, { value: 0.9, low: 0.75, high: 1.25 })
})

test('a comparison says so when a subject, other programs or the host were too noisy, or requests failed', () => {
  const noisy = (...runs: Run[]) => warningsOf([{ subject: 'Fastify', runs }]).join()
  assert.equal(noisy(run(100), run(105)), '')
  assert.match(noisy(run(100), run(130)), /rounds of Fastify are 26 % apart/)
  assert.match(noisy(run(100, { others: 0.5 }), run(100, { others: 0.5 })), /other programs used 50 %/)
  assert.match(noisy(run(100, { stolen: 0.2 }), run(100, { stolen: 0.2 })), /host withheld 20 %/)
  assert.match(noisy(run(100, { failed: 1 })), /Requests to Fastify failed/)
  assert.match(warningsOf([result('Fastify', 100, 101), result('Berth', 70, 100)]).join(), /rounds of Berth are 35 % apart/)
})

test('a target is judged by the pinned runs where there are some', () => {
  const comparison = (way: Comparison['way'], berth: number): Comparison => ({
    ...{ scenario: 'connections-256', title: '', load: '', way },
    results: [result('Fastify', 100), result('Berth', berth)],
  })
  const target = targets.find(({ scenario }) => scenario === 'connections-256')
  assert.ok(target)
  assert.equal(judge(target, []), undefined)
  assert.equal(judge(target, [comparison('free', 90)])?.holds, true)
  assert.equal(judge(target, [comparison('free', 90), comparison('pinned', 70)])?.holds, false)
})

test('a target does not hold when requests failed, and is in doubt when the machine was noisy', () => {
  const target = targets.find(({ scenario }) => scenario === 'connections-256')
  assert.ok(target)
  const judged = (berth: Partial<Run>) => {
    const results = [result('Fastify', 100), { subject: 'Berth', runs: [run(90, berth)] }]
    return judge(target, [{ scenario: 'connections-256', title: '', load: '', way: 'pinned', results }])
  }
  assert.deepEqual([judged({})?.holds, judged({})?.isDoubtful], [true, false])
  assert.deepEqual([judged({ failed: 1 })?.holds, judged({ failed: 1 })?.isDoubtful], [false, true])
  assert.deepEqual([judged({ others: 1 })?.holds, judged({ others: 1 })?.isDoubtful], [true, true])
})
