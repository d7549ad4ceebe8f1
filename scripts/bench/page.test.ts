import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Comparison, Report, Run } from './comparison.ts'
import { drawingOf } from './drawing.ts'
import { mergeReports, resultsOf, withResults } from './page.ts'

const run = (requestsPerSecond: number, rest: Partial<Run> = {}): Run => ({
  ...{ requestsPerSecond, p50Ms: 1, p99Ms: 2, cpuUs: 50, failed: 0, others: 0, stolen: 0 },
  threads: { '3 main': 30, '3 node-MainThread': 15 },
  ...rest,
})

function comparison(scenario: string, rest: Partial<Comparison> = {}, ...berth: Run[]): Comparison {
  const results = [
    { subject: 'Fastify', runs: [run(1000), run(1000)] },
    { subject: 'Berth', runs: berth },
  ]
  return { scenario, title: scenario, load: '256 connections', hasOwnLoad: true, way: 'pinned', results, ...rest }
}

const report = (...comparisons: Comparison[]): Report => ({ machine: 'M', generator: 'wrk', seconds: 2, rounds: 2, comparisons })
const steady = comparison('connections-256', {}, run(900), run(900))
const noisy = comparison('connections-256', {}, run(900), run(1400))

test('the tables say what was measured under which load, whether it holds, and what threads cost', () => {
  const text = resultsOf(report(steady))
  const command = 'npm run bench -- --generator wrk --seconds 2 --rounds 2 --ways pinned --json FILE'
  assert.ok(text.startsWith(`M; load by wrk; medians of 2 rounds of 2 s (\`${command}\`).\n`), text)
  assert.match(text, /^\| connections-256, pinned \| 256 connections \| Fastify \| 1000 \| {2}\| 50 \| {2}\| 1\.0 \| 2\.0 \| {2}\|$/m)
  assert.match(text, /^\| {2}\| {2}\| Berth \| 900 \| 0\.90x \(0\.90–0\.90\) \| 50 \| 1\.00x/m)
  assert.match(text, /^\| 256 connections: throughput against Fastify \| at least 0\.85x \| 0\.90x \(0\.90–0\.90\) \| yes \|$/m)
  assert.match(text, /^\| connections-256, pinned \| 30\.0 \| 15\.0 \| 0\.0 \| 5\.0 \|$/m)
  assert.doesNotMatch(text, /warned/)
})

test('what is in doubt is marked in the tables, and the warnings are below them', () => {
  const text = resultsOf(report(noisy))
  assert.match(text, /^\| 256 connections: .* \| yes, in doubt \|$/m)
  assert.match(text, /^- connections-256, pinned\. Noisy: rounds are far apart in requests\/s \(Berth 43 %\)\.$/m)
})

test('reports are merged in the order of the scenarios, and only those that were measured alike', () => {
  const first = report(steady)
  const other = report(comparison('connections-2', {}, run(500), run(500)))
  const scenarios = mergeReports([first, other]).comparisons.map(({ scenario }) => scenario)
  assert.deepEqual(scenarios, ['connections-2', 'connections-256'])
  assert.throws(() => mergeReports([first, { ...other, rounds: 3 }]), /differ in rounds: 2 and 3/)
  assert.throws(() => mergeReports([first, { ...other, machine: 'N' }]), /differ in machine: M and N/)
  assert.throws(() => mergeReports([first, first]), /connections-256 was measured more than once, pinned/)
  assert.throws(() => mergeReports([report({ ...steady, hasOwnLoad: false })]), /another load than its own: 256 connections/)
})

test('results replace those between the markers of a page, and a page without markers is refused', () => {
  const [begin, end] = ['<!-- Written by `npm run bench:picture`, until -->', '<!-- here -->']
  const page = `before\n${begin}\nold\n${end}\nafter\n`
  assert.equal(withResults(page, 'new'), `before\n${begin}\nnew\n${end}\nafter\n`)
  assert.throws(() => withResults(page.replace(begin, ''), 'new'), /no line <!-- Written by/)
  assert.throws(() => withResults(page.replace(end, ''), 'new'), /no line <!-- here -->/)
})

test('the picture marks a range that is wider than its panel', () => {
  assert.doesNotMatch(drawingOf(report(steady)), /<path|An arrow/)
  assert.match(drawingOf(report(comparison('connections-256', {}, run(1600), run(900)))), /<path[\s\S]*An arrow: it goes on\./)
})
