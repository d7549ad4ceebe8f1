/** Capturing as requests meet it: real isolates and recorders, in this process. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CapsuleSettings } from '../traffic/schema.ts'
import { capsuleDefaults } from '../traffic/schema.ts'
import { sceneOf, startCell } from './fixtures/serving.ts'

const asking = { 'x-scene-capture': '1', authorization: 'Bearer secret' }
const scene = (id: string, code: string, settings: Partial<CapsuleSettings> = {}) =>
  sceneOf(id, { v1: code }, undefined, { capsules: { ...capsuleDefaults, ...settings } })

test('a request that asks to be captured is answered by a recorder, which is loaded for it', async t => {
  const cell = startCell(t, [scene('s', `(body, ctx) => { ctx.log.info('seen', { body }); return [body, ctx.params] }`)], { mode: 'asked' })
  const { answer, capsule } = await cell.send('s', { ...asking, 'x-unit-id': 'u1' }, '{"a":1}')
  assert.equal(answer?.json, '[{"a":1},{}]')
  const [captured] = await cell.capturedAre(1)
  assert.ok(captured?.head !== undefined)
  assert.equal(captured.capsule.id, capsule)
  assert.equal(captured.from, 0)
  assert.deepEqual(
    captured.entries.map(({ kind }) => kind),
    ['load', 'turn'],
  )
  const { why, unit, because, answer: kept, entries, logs, stageMs, deadlineMs } = captured.capsule
  const expected = { why: 'asked', unit: 'u1', because: 'baseline', kept: { json: answer?.json, degraded: undefined }, entries: [1, 1] }
  assert.deepEqual({ why, unit, because, kept, entries }, expected)
  assert.equal(stageMs.length, 1)
  assert.ok(deadlineMs > 2500 && deadlineMs <= 5000)
  assert.deepEqual(logs, [{ level: 'info', message: 'seen', module: 's-v1@1.0.0', fields: '{"body":{"a":1}}' }])
  assert.deepEqual(cell.logged, ['seen'])
})

test('a capture needs the right to pin', async t => {
  const cell = startCell(t, [scene('s', 'x => x')], { mode: 'asked' })
  await assert.rejects(cell.ask('s', { 'x-scene-capture': '1' }), { code: 'UNAUTHENTICATED' })
})

test('a request that asks in vain is served all the same, and learns why it has no capsule', async t => {
  const scenes = [scene('s', 'x => x', { off: true }), scene('on', 'x => x')]
  const cell = startCell(t, scenes, { mode: 'asked' })
  const { answer, capsule } = await cell.send('s', asking)
  assert.deepEqual([answer?.json, capsule], ['1', 'none; off'])
  assert.equal((await cell.send('on', { ...asking, 'x-scene-loadtest': '1' })).capsule, 'none; loadtest')
  assert.deepEqual(cell.skipped, ['off', 'loadtest'])
})

test('requests that ask at the same time are captured one after the other, in one recording', async t => {
  const cell = startCell(t, [scene('s', 'x => x + 1')], { mode: 'asked' })
  const sent = await Promise.all([1, 2, 3].map(n => cell.send('s', asking, String(n), `r${n}`)))
  assert.deepEqual(
    sent.map(({ answer }) => answer?.json),
    ['2', '3', '4'],
  )
  const captured = await cell.capturedAre(3)
  assert.deepEqual(
    captured.map(({ head, from, entries }) => [head !== undefined, from, entries.length]),
    [
      [true, 0, 2],
      [false, 2, 1],
      [false, 3, 1],
    ],
  )
  assert.deepEqual(captured.map(({ capsule }) => capsule.id).sort(), sent.map(({ capsule }) => capsule).sort())
})

test('of a scene that is captured as a whole, the first request loads the slot, the next one the recorder, and those after it go into that', async t => {
  const cell = startCell(t, [scene('s', 'x => x', { rate: 1, perSecond: 1000 })], { mode: 'sampled' })
  assert.equal((await cell.send('s')).capsule, undefined)
  assert.deepEqual([cell.skipped, cell.slots.plans.length], [['loading'], 1])
  assert.equal((await cell.send('s')).capsule, undefined)
  assert.deepEqual([cell.skipped, cell.slots.plans.length], [['loading', 'loading'], 2])
  // It asks until the recorder is there.
  await cell.send('s', asking)
  await cell.capturedAre(1)
  await cell.send('s', {}, '5', 'sampled')
  const captured = await cell.capturedAre(2)
  assert.deepEqual(
    captured.map(({ capsule }) => capsule.why),
    ['asked', 'sampled'],
  )
})

test('chance captures no load test, no more than so many a second, and nothing while the keeper is behind', async t => {
  const cell = startCell(t, [scene('s', 'x => x', { rate: 1, perSecond: 1 })], { mode: 'sampled' })
  await cell.send('s', asking)
  await cell.capturedAre(1)
  await cell.send('s', { 'x-scene-loadtest': '1', authorization: 'Bearer secret' })
  assert.deepEqual(cell.skipped, [])
  cell.feed.isBehind = true
  await cell.send('s')
  cell.feed.isBehind = false
  assert.deepEqual(cell.skipped, ['behind'])
  await cell.send('s')
  await cell.capturedAre(2)
  await cell.send('s')
  assert.deepEqual(cell.skipped, ['behind', 'rate'])
})

test('of scenes with different rates, chance chooses each by its own', t => {
  const cell = startCell(
    t,
    [scene('often', 'x => x', { rate: 0.5 }), scene('rare', 'x => x', { rate: 0.05 }), scene('never', 'x => x', { off: true })],
    {
      mode: 'sampled',
    },
  )
  const { captures, table } = cell
  captures.share(1e-9)
  const chosen = (id: string, requests: number) => {
    const found = table.scenes.get(id)
    assert.ok(found?.baseline)
    const decision = {
      plan: found.baseline,
      because: 'baseline',
      bucket: undefined,
      arm: undefined,
      layers: [],
      params: '{}',
      exposed: false,
    } as const
    cell.skipped.length = 0
    for (let n = 0; n < requests; n++) if (--captures.untilNext <= 0) captures.sample(found, decision, false)
    return cell.skipped.length
  }
  // The bounds are six standard deviations away.
  const [often, rare, never] = [chosen('often', 20_000), chosen('rare', 20_000), chosen('never', 20_000)]
  assert.ok(Math.abs(often - 10_000) < 430, String(often))
  assert.ok(Math.abs(rare - 1000) < 190, String(rare))
  assert.equal(never, 0)
})

test('a request that fails elsewhere runs again in a recorder, marked so, and its log lines are logged once', async t => {
  const code = `(n, ctx) => { ctx.log.warn('failing'); if (n > 1) throw new Error('no'); return n }`
  const cell = startCell(t, [scene('s', code, { rate: 1e-12 })], { mode: 'sampled' })
  await cell.send('s', asking)
  await cell.capturedAre(1)
  const { error, capsule } = await cell.send('s', {}, '2', 'fails')
  assert.equal((error as { code: string }).code, 'MODULE_THREW')
  assert.equal(capsule, undefined)
  const [, again] = await cell.capturedAre(2)
  assert.equal(again?.capsule.why, 'failed')
  assert.equal(again.capsule.requestId, 'fails')
  assert.deepEqual(again.capsule.answer, {
    failure: { code: 'MODULE_THREW', message: 'no', stage: 'rank', module: 's-v1@1.0.0' },
  })
  assert.deepEqual(
    again.capsule.logs.map(({ message }) => message),
    ['failing'],
  )
  assert.deepEqual(cell.logged, ['failing', 'failing'])
})

test('a request that has called another scene, or a base service that may do anything, is not run again', async t => {
  const code = `async (n, ctx) => { await (n === 1 ? ctx.call('callee', n) : ctx.services.mail.send(n).catch(() => 0)); throw new Error('no') }`
  const cell = startCell(t, [scene('s', code, { rate: 1e-12 }), scene('callee', 'n => n')], { mode: 'sampled' })
  await assert.rejects(cell.ask('s'), { code: 'MODULE_THREW' })
  await assert.rejects(cell.ask('s', {}, '2'), { code: 'MODULE_THREW', message: 'no' })
  assert.deepEqual([cell.skipped, cell.captured], [[], []])
})

test('what a scene takes out of its capsules makes the rest of the recording inexact', async t => {
  const cell = startCell(t, [scene('s', 'x => x.name ?? null', { redact: ['/name'] })], { mode: 'asked' })
  await cell.send('s', asking, '{}')
  await cell.send('s', asking, '{"name":"Alexandra"}')
  await cell.send('s', asking, '{}')
  const captured = await cell.capturedAre(3)
  assert.deepEqual(
    captured.map(({ capsule }) => [capsule.redacted, capsule.inexact]),
    [
      [[], []],
      [['/name'], ['redacted']],
      [[], ['redacted']],
    ],
  )
  assert.ok(!JSON.stringify(captured).includes('Alexandra'))
})

test('a recorder of which a capsule was lost ends, and the next request begins another recording', async t => {
  const cell = startCell(t, [scene('s', 'x => x')], { mode: 'asked' })
  await cell.send('s', asking)
  const [first] = await cell.capturedAre(1)
  cell.captures.onLost(first?.recording ?? '')
  await cell.send('s', asking)
  const [, second] = await cell.capturedAre(2)
  assert.notEqual(second?.recording, first?.recording)
  assert.ok(second?.head !== undefined)
  assert.deepEqual(cell.skipped, ['lost'])
})

test('a scene that is called by another is captured like any other', async t => {
  const cell = startCell(
    t,
    [
      sceneOf('s', { v1: `(n, ctx) => ctx.call('callee', n)` }, undefined, { capsules: { ...capsuleDefaults, off: true } }),
      scene('callee', 'n => n', { rate: 1 }),
    ],
    { mode: 'sampled' },
  )
  await cell.send('callee', asking)
  await cell.capturedAre(1)
  await cell.ask('s', {}, '7')
  const [, called] = await cell.capturedAre(2)
  assert.deepEqual(
    [called?.capsule.scene, called?.capsule.why, called?.capsule.answer],
    ['callee', 'sampled', { json: '7', degraded: undefined }],
  )
})

test('requests that ask in the same turn of the event loop go into a recorder that is loaded one after the other', async t => {
  const cell = startCell(t, [scene('s', 'async x => x + 1')], { mode: 'asked' })
  await cell.send('s', asking)
  await cell.capturedAre(1)
  const sent = await Promise.all([1, 2, 3].map(n => cell.send('s', asking, String(n), `r${n}`)))
  const captured = (await cell.capturedAre(4)).slice(1)
  const answers = new Map(captured.map(({ capsule }) => [capsule.id, capsule]))
  assert.deepEqual(
    sent.map(({ answer, capsule = '' }) => [answer?.json, answers.get(capsule)?.answer, answers.get(capsule)?.no]),
    [2, 3, 4].map((n, i) => [String(n), { json: String(n), degraded: undefined }, i + 2]),
  )
})

test('a request that runs again has no effect outside, and its recorder ends when it has tried', async t => {
  const code = `(() => { let calls = 0; return (n, ctx) => { if (n === 2 && calls++ === 0) throw new Error('no'); return n === 2 ? ctx.call('callee', n) : n } })()`
  // The recorder has had the first of its calls already when the request runs again there.
  const scenes = [scene('s', code, { rate: 1e-12 }), scene('callee', `(n, ctx) => { ctx.log.info('effect'); return n }`)]
  const cell = startCell(t, scenes, { mode: 'sampled' })
  assert.ok((await cell.send('s', asking, '2')).error !== undefined)
  await cell.capturedAre(1)
  assert.ok((await cell.send('s', {}, '2')).error !== undefined)
  await cell.skippedAre(1)
  assert.deepEqual([cell.skipped, cell.logged], [['effect'], []])
  await cell.send('s', asking, '1')
  const [first, second] = await cell.capturedAre(2)
  assert.notEqual(first?.recording, second?.recording)
})

test('a capsule has only the log lines of its own request, whatever ids callers give', async t => {
  const code = `async (n, ctx) => { ctx.log.info('line ' + n); if (n === 1) await new Promise(then => setTimeout(then, 20)); return n }`
  const cell = startCell(t, [scene('s', code)], { mode: 'asked' })
  await cell.send('s', asking, '0')
  await cell.send('s', {}, '0')
  await Promise.all([cell.send('s', asking, '1', 'same'), cell.send('s', {}, '2', 'same')])
  const [, captured] = await cell.capturedAre(2)
  assert.deepEqual(
    captured?.capsule.logs.map(({ message }) => message),
    ['line 1'],
  )
})

test('a recorder ends when what a request has left behind fills its recording', async t => {
  const code = `(n, ctx) => { if (n === 1) setInterval(() => { for (let i = 0; i < 10_000; i++) Date.now() }, 1); return n }`
  const cell = startCell(t, [scene('s', code)], { mode: 'asked' })
  await cell.send('s', asking, '1')
  await cell.capturedAre(1)
  const plan = cell.table.scenes.get('s')?.baseline
  assert.ok(plan !== undefined)
  const recorder = cell.slots.recorderOf(plan)
  while (recorder?.hasEnded === false) await new Promise(resolve => setTimeout(resolve, 5))
  await cell.send('s', asking, '0')
  const [first, second] = await cell.capturedAre(2)
  assert.notEqual(first?.recording, second?.recording)
})
