import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Capsule, Entry } from '../../capsule/capsule.ts'
import { limits } from '../../kernel/limits.ts'
import { createLog } from '../../kernel/log.ts'
import { startDriver } from '../fixtures/driver.ts'
import { type KeptCapsules, spread, WarmUps } from './warm-ups.ts'

const log = createLog('keeper', 'silent')

/** A capsule of the scene "home" that asks a service for a reply, or for nothing. */
function capsuleOf(id: string, version: string, { at = new Date(0).toISOString(), body = '1', reply = false, failed = false } = {}) {
  const asked: Entry['asked'] = reply ? [['calls', 1, 1, 'profiles', 'get', '[]']] : []
  const facts = { atMs: 0, readings: [], wallMinusMonotonic: 0, said: '' }
  const turn: Entry = { ...facts, kind: 'turn', values: [1, ['r', body, '', 0, '{"recorded":true}', -1]], asked }
  const settled: Entry = { ...facts, kind: 'settleCalls', values: [[1, 1, '{}']], asked: [] }
  const arms = [{ layer: 'ui', experiment: 'e', arm: 'a', values: { topK: 9 } }]
  const outcome: Capsule['answer'] = failed ? { failure: { code: 'MODULE_THREW', message: 'no' } } : { json: '1' }
  const numbers = { tookMs: 1, cpuMs: 1, stageMs: [], deadlineMs: 200, no: 1, entries: [1, 2] as const }
  const lists = { logs: [], inexact: [], redacted: [], arms }
  const names = { format: 1, recording: 'r', scene: 'home', requestId: 'r', why: 'sampled', because: 'baseline' } as const
  const capsule: Capsule = { ...names, ...numbers, ...lists, id, version, at, answer: outcome }
  return { capsule, entries: [turn, settled] }
}

type Kept = ReturnType<typeof capsuleOf>

function storeOf(kept: readonly Kept[]): KeptCapsules {
  return {
    newest: (scene, version, count) =>
      kept
        .map(({ capsule }) => capsule)
        .filter(capsule => capsule.scene === scene && capsule.version === version)
        .slice(0, count)
        .map(({ id, tookMs, answer }) => ({ id, tookMs, ...('failure' in answer && { failed: answer.failure.code }) })),
    readAlone: async ids => kept.filter(({ capsule }) => ids.includes(capsule.id)),
  }
}

/** The scene "home" with the baseline v1 and the version v2. */
async function start(t: TestContext, kept: readonly Kept[], now?: () => Date) {
  const { book, addVersion, change } = await startDriver(t, undefined, now)
  await addVersion({ as: 'baseline' })
  await addVersion({})
  return { book, change, warmUps: new WarmUps(book, storeOf(kept), log, 'serving') }
}

test('a version warms up with its own capsules, or with those of the baseline while it has none that are good', async t => {
  const kept = [capsuleOf('a', 'v1'), capsuleOf('b', 'v1', { failed: true }), capsuleOf('c', 'v2', { failed: true })]
  const { warmUps, change } = await start(t, kept)
  const ofBaseline = await warmUps.ofVersion('home', 'v1')
  assert.deepEqual([ofBaseline?.isProven, ofBaseline?.requests.length], [true, 1])
  const other = await warmUps.ofVersion('home', 'v2')
  assert.deepEqual([other?.isProven, other?.requests.length, other?.plan.version], [false, 1, 'v2'])
  await change('promote version', { version: 'v2', to: 'baseline' })
  assert.equal((await warmUps.ofVersion('home', 'v2'))?.requests.length, 1, 'of the baseline before')
  assert.equal(await warmUps.ofVersion('home', 'v9'), undefined)
  assert.equal(await warmUps.ofVersion('away', 'v1'), undefined)
})

test('in development nothing warms up, since every save would wait for it', async t => {
  const { book } = await start(t, [])
  assert.equal(await new WarmUps(book, storeOf([capsuleOf('a', 'v1')]), log, 'development').ofVersion('home', 'v1'), undefined)
})

test('the parameters are those of today, with the values of the arms that the request had', async t => {
  const { book, warmUps } = await start(t, [capsuleOf('a', 'v1')])
  const { definition, ...scene } = book.scenes.get('home')
  const params = { topK: 1, color: 'red', weight: 1 }
  const plan = (await warmUps.ofVersion('home', 'v2'))?.plan
  assert.ok(plan)
  const rules = { ...scene.rules, versionParams: { v2: { weight: 2 } } }
  const found = await warmUps.ofPlan(plan, { ...scene, rules, definition: { ...definition, params } })
  assert.deepEqual(JSON.parse(found?.requests[0]?.params ?? ''), { topK: 9, color: 'red', weight: 2 })
})

test('recorded replies are used while they are young, and requests that got none at any age', async t => {
  const nextDay = () => new Date(24 * 3_600_000)
  const kept = [capsuleOf('old', 'v1', { reply: true }), capsuleOf('none', 'v1', { body: '"none"' })]
  const young = capsuleOf('young', 'v1', { reply: true, body: '"young"', at: nextDay().toISOString() })
  const { warmUps } = await start(t, [...kept, young], nextDay)
  const found = await warmUps.ofVersion('home', 'v1')
  assert.deepEqual(found?.requests.map(({ body }) => body).sort(), ['"none"', '"young"'])
})

test('requests to warm up with are bounded in number and size', async t => {
  const { warmUpBytesMax, warmUpCapsulesMax } = limits.capsule
  const large = capsuleOf('large', 'v1', { body: JSON.stringify('x'.repeat(warmUpBytesMax)) })
  const many = Array.from({ length: 3 * warmUpCapsulesMax }, (_, i) => capsuleOf(`c${i}`, 'v1'))
  const { warmUps } = await start(t, [large, ...many])
  const count = (await warmUps.ofVersion('home', 'v1'))?.requests.length ?? 0
  assert.ok(count === warmUpCapsulesMax || count === warmUpCapsulesMax - 1)
})

test('capsules that cannot be read keep no version from traffic', async t => {
  const { book } = await start(t, [])
  const broken = { ...storeOf([capsuleOf('a', 'v1')]), readAlone: () => Promise.reject(new Error('disk')) }
  assert.equal(await new WarmUps(book, broken, log, 'serving').ofVersion('home', 'v1'), undefined)
})

test('of many capsules those are taken that lie between the fastest and the slowest, both of them included', () => {
  const capsules = [5, 1, 9, 3, 7, 2, 8, 4, 6].map(tookMs => ({ tookMs }))
  assert.deepEqual(
    spread(capsules, 3).map(({ tookMs }) => tookMs),
    [1, 5, 9],
  )
  assert.equal(spread(capsules, 20).length, 9)
})
