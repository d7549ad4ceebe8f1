import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SourceMapThread } from './source-map-thread.ts'

const modules = [{ name: 'm', version: '1.0.0', sourceMap: 's' }]
const threadOf = (mappings: string) =>
  new SourceMapThread(async () => Buffer.from(JSON.stringify({ version: 3, sources: ['score.ts'], names: [], mappings })))
const frame = { functionName: 'f', scriptId: '1', url: 'berth:///m@1.0.0.js', lineNumber: 0, columnNumber: 12 }
const profile = { nodes: [{ id: 1, callFrame: frame, hitCount: 1 }], startTime: 0, endTime: 1, samples: [1], timeDeltas: [1] }
const stack = 'Error: x\n    at f (berth:///m@1.0.0.js:1:13)'

test('a thread reads stacks and profiles by source maps', async () => {
  const thread = threadOf('UAEI')
  const at = { file: 'score.ts', line: 3, column: 5 }
  assert.deepEqual(await thread.locate(stack, modules), { stack: 'Error: x\n    at f (m/score.ts:3:5)', place: 'score.ts:3:5', at })
  const { nodes } = JSON.parse(await thread.mapProfile(profile, modules))
  assert.equal(nodes[0].callFrame.url, 'berth:///m@1.0.0/score.ts')
})

test('a source map that is made to grow leaves stacks and profiles as they were', async () => {
  const thread = threadOf(';'.repeat(8_000_000))
  assert.match((await thread.locate(stack, modules)).stack, /^Error: x\n {4}at f \(berth:.*\n {4}\(.*it maps over 1000000 places\)$/)
  assert.deepEqual(JSON.parse(await thread.mapProfile(profile, modules)), profile)
})
