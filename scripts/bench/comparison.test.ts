import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Comparison, type Result, type Run, ratioOf, warningsOf } from './comparison.ts'
import { judge, showMeasured, targets, unjudged, type Verdict } from './targets.ts'

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
  assert.match(noisy(run(100), run(130)), /rounds are far apart in requests\/s \(Fastify 26 %\)$/)
  assert.match(noisy(run(100, { cpuUs: 60 }), run(100, { p99Ms: 9 })), /far apart in CPU \(Fastify 18 %\), in p99 \(Fastify 127 %\)$/)
  assert.match(noisy(run(100, { others: 0.5 }), run(100, { others: 0.5 })), /other programs used 50 %/)
  assert.match(noisy(run(100, { stolen: 0.2 }), run(100, { stolen: 0.2 })), /host withheld 20 %/)
  assert.match(noisy(run(100, { failed: 1 })), /Requests to Fastify failed/)
  assert.match(
    warningsOf([result('Fastify', 100, 101), result('Berth', 70, 100)]).join(),
    /rounds are far apart in requests\/s \(Berth 35 %\)$/,
  )
})

test('a target is judged by the pinned runs where there are some', () => {
  const comparison = (way: Comparison['way'], berth: number): Comparison => ({
    ...{ scenario: 'connections-256', title: '', load: '', hasOwnLoad: true, way },
    results: [result('Fastify', 100), result('Berth', berth)],
  })
  const target = targets.find(({ scenario }) => scenario === 'connections-256')
  assert.ok(target)
  assert.equal(judge(target, []), undefined)
  assert.equal(judge(target, [comparison('free', 90)])?.holds, true)
  assert.equal(judge(target, [comparison('free', 90), comparison('pinned', 70)])?.holds, false)
})

/** The verdict on the target of a scenario by the runs of Fastify and Berth. */
function judged(scenario: string, fastify: readonly Run[], berth: readonly Run[], hasOwnLoad = true): Verdict | undefined {
  const target = targets.find(target => target.scenario === scenario)
  assert.ok(target)
  const results = Object.entries({ Fastify: fastify, Berth: berth }).map(([subject, runs]) => ({ subject, runs }))
  return judge(target, [{ scenario, title: '', load: '', hasOwnLoad, way: 'pinned', results }])
}

test('a target does not hold when requests failed, and is in doubt when the machine was noisy', () => {
  const outcome = (berth: Partial<Run>) => {
    const verdict = judged('connections-256', [run(100)], [run(90, berth)])
    return [verdict?.holds, verdict?.isDoubtful]
  }
  assert.deepEqual(outcome({}), [true, false])
  assert.deepEqual(outcome({ failed: 1 }), [false, true])
  assert.deepEqual(outcome({ others: 1 }), [true, true])
})

test('a target is in doubt when the rounds of what it compares are far apart, whatever else is', () => {
  const tails = [2, 14, 5].map(p99Ms => run(100, { p99Ms }))
  const openLoop = judged('half-rate', [run(100)], tails)
  assert.deepEqual([openLoop?.holds, openLoop?.isDoubtful], [false, true])
  assert.equal(judged('connections-256', [run(100)], tails)?.isDoubtful, false)
  assert.equal(judged('half-rate', [run(100), run(50)], [run(100)])?.isDoubtful, false)
})

test('a target is not judged by another load than that of its scenario', () => {
  assert.equal(judged('connections-256', [run(100)], [run(90)], false), undefined)
  const comparison: Comparison = { scenario: 'connections-256', title: '', load: '', hasOwnLoad: false, way: 'free', results: [] }
  assert.deepEqual(
    unjudged([comparison]).map(({ what }) => what),
    ['256 connections: throughput against Fastify'],
  )
})

test('what was measured has as many digits as it takes to see whether a target holds', () => {
  const shown = (berth: number) => {
    const verdict = judged('connections-256', [run(1000)], [run(berth)])
    assert.ok(verdict)
    return [showMeasured(verdict), verdict.holds]
  }
  assert.deepEqual(shown(900), ['0.90x (0.90–0.90)', true])
  assert.deepEqual(shown(848), ['0.848x (0.848–0.848)', false])
})
