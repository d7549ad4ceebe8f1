import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TraceMap } from '@jridgewell/trace-mapping'
import type { CpuProfile } from '../../contract/profile-api.ts'
import { mapProfile, mergeProfiles } from './cpu-profile.ts'

const frame = (functionName: string, url = '', lineNumber = -1, columnNumber = -1) => ({
  functionName,
  scriptId: '1',
  url,
  lineNumber,
  columnNumber,
})
const url = 'berth:///rank@1.0.0.js'

/** A part whose samples have `score` on top, at these times after the start. */
function part(startTime: number, ...times: readonly number[]): CpuProfile {
  const nodes = [
    { id: 1, callFrame: frame('(root)'), hitCount: 0, children: [2] },
    { id: 2, callFrame: frame('score', url, 0, 10), hitCount: times.length, positionTicks: [{ line: 1, ticks: times.length }] },
  ]
  const timeDeltas = times.map((at, index) => at - (times[index - 1] ?? 0))
  return { nodes, startTime, endTime: startTime + (times.at(-1) ?? 0), samples: times.map(() => 2), timeDeltas }
}

test('parts make one profile, in which the time between them is idle', () => {
  const { nodes, samples, timeDeltas, startTime, endTime } = mergeProfiles([part(1000, 500, 1000), part(50_000, 500)])
  const score = nodes.find(({ callFrame }) => callFrame.functionName === 'score')
  const idle = nodes.find(({ callFrame }) => callFrame.functionName === '(idle)')
  assert.ok(score !== undefined && idle !== undefined)
  assert.equal(nodes.filter(({ callFrame }) => callFrame.functionName === 'score').length, 1)
  assert.equal(score.hitCount, 3)
  assert.deepEqual(score.positionTicks, [{ line: 1, ticks: 3 }])
  assert.deepEqual(samples, [score.id, score.id, idle.id, score.id])
  assert.deepEqual(timeDeltas, [500, 500, 1000, 47_500])
  assert.deepEqual([startTime, endTime], [1000, 50_500])
})

test('no part at all is a profile of nothing', () => {
  const { nodes, samples } = mergeProfiles([])
  assert.deepEqual([nodes.map(({ callFrame }) => callFrame.functionName), samples], [['(root)', '(idle)'], []])
})

test('functions of a module get their place in the source, others keep theirs', () => {
  // The first line from column 10 on is line 3, column 4 of score.ts.
  const map = new TraceMap({ version: 3, sources: ['score.ts'], names: [], mappings: 'UAEI' })
  const merged = mergeProfiles([part(0, 500)])
  const mapped = mapProfile(merged, module => (module === 'rank@1.0.0' ? map : undefined))
  const score = mapped.nodes.find(({ callFrame }) => callFrame.functionName === 'score')
  assert.deepEqual(score?.callFrame, { ...frame('score'), url: 'berth:///rank@1.0.0/score.ts', lineNumber: 2, columnNumber: 4 })
  assert.deepEqual(score?.positionTicks, [{ line: 3, ticks: 1 }])
  assert.deepEqual(
    mapProfile(merged, () => undefined),
    merged,
  )
})

test('ticks of a function are not lost to a function far away in the source that stands before it on the same line', () => {
  // The first line is line 91 of score.ts, and from column 10 on line 3, column 4.
  const map = new TraceMap({ version: 3, sources: ['score.ts'], names: [], mappings: 'AA0FA,UAxFI' })
  const mapped = mapProfile(mergeProfiles([part(0, 500)]), () => map)
  const score = mapped.nodes.find(({ callFrame }) => callFrame.functionName === 'score')
  assert.deepEqual(score?.positionTicks, [{ line: 3, ticks: 1 }])
})
