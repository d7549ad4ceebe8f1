/**
 * What scenes that call each other owe each other, and what a request hears of the wait for its slot. The rest of the data path is tested
 * in test/serve.test.ts, at the front door.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { code } from '../traffic/fixtures/scenes.ts'
import { noRules } from '../traffic/rules.ts'
import { sceneOf as entry, startCell, traffic } from './fixtures/serving.ts'

test('what a load test asks of other scenes is a load test there: their load-test version answers, and no breaker opens', async t => {
  const calls = `(_, ctx) => ctx.call('callee', 1).catch(error => error.code)`
  const { ask, changes } = startCell(t, [
    entry('caller', { v1: calls }),
    entry('through', { v1: `(_, ctx) => ctx.call('caller', 1)` }),
    entry(
      'callee',
      { v1: '() => "live"', v2: '() => { throw new Error("overloaded") }' },
      { loadtest: 'v2', segmentSalt: 'a', experiments: [], layers: [] },
    ),
    entry('alone', { v1: `(_, ctx) => ctx.call('frail', 1).catch(error => error.code)` }),
    entry('frail', { v1: '() => { throw new Error("overloaded") }' }),
  ])
  const marked = { 'x-scene-loadtest': '1', authorization: 'Bearer secret' }
  assert.equal(await ask('caller'), '"live"')
  assert.equal(await ask('caller', marked), '"MODULE_THREW"')
  assert.equal(await ask('through', marked), '"MODULE_THREW"')
  for (let i = 0; i < 100; i++) assert.equal(await ask('alone', marked), '"MODULE_THREW"')
  assert.deepEqual(changes, [])
  for (let i = 0; i < 100; i++) await ask('alone')
  assert.deepEqual(changes, ['frail v1 open'])
})

test('the time that a request waited for its slot to be loaded is part of the time it waited', async t => {
  const { answer } = startCell(t, [entry('cold', { v1: 'x => x' })], { loadMs: 100 })
  const { queueMs } = await answer('cold')
  // By another clock, a timer may fire a millisecond early.
  assert.ok(queueMs >= 99, `${queueMs} ms`)
})

test('a request that runs past its deadline in a slot that was loaded for it is not said to have waited for the slot', async t => {
  const cold = entry('cold', { v1: '() => new Promise(() => undefined)' })
  const { answer } = startCell(t, [{ ...cold, definition: { ...cold.definition, traffic: { ...traffic, deadlineMs: 200 } } }])
  await assert.rejects(answer('cold'), { code: 'DEADLINE_EXCEEDED', message: 'No answer from scene "cold" before its deadline' })
})

test('of a number that a module may have rounded, a call makes no attribute, since that would be of another id', async t => {
  const where = [{ attribute: 'account', op: 'in' as const, value: ['9007199254740992', '7'] }]
  const rules = { ...noRules('home'), experiments: [code('few', { where, arms: [['all', 'v2', [[0, 10_000]], 10_000]] })] }
  const plain = entry('home', { v1: '() => 1', v2: '() => 2' }, rules)
  const attributes = { account: { pointer: '/account', type: 'string' } } as const
  const targeted = { ...plain, definition: { ...plain.definition, attributes } }
  const { ask } = startCell(t, [targeted, entry('caller', { v1: `(x, ctx) => ctx.call('home', x)` })])
  const askBoth = (account: string) =>
    Promise.all(['home', 'caller'].map(scene => ask(scene, { 'x-unit-id': 'u1' }, `{"account":${account}}`)))
  assert.deepEqual(await askBoth('9007199254740992'), ['2', '1'])
  assert.deepEqual(await askBoth('9007199254740993'), ['1', '1'])
  for (const account of ['"9007199254740992"', '7', '7.0']) assert.deepEqual(await askBoth(account), ['2', '2'], account)
})

test('a body is parsed once, when its unit and an attribute are read from it; and not at all, when neither is', async t => {
  const where = [{ attribute: 'age', op: 'gt', value: 17 }] as const
  const rules = { ...noRules('home'), experiments: [code('adults', { where: [...where], arms: [['all', 'v2', [[0, 10_000]], 10_000]] })] }
  const plain = entry('home', { v1: '() => 1', v2: '() => 2' }, rules)
  const attributes = { age: { pointer: '/age', type: 'number' } } as const
  const targeted = {
    ...plain,
    definition: { ...plain.definition, traffic: { ...traffic, unit: { header: 'x-unit-id', pointer: '/user' } }, attributes },
  }
  const { ask } = startCell(t, [targeted, entry('caller', { v1: `(x, ctx) => ctx.call('home', x)` }), entry('other', { v1: 'x => x' })])
  const parse = t.mock.method(JSON, 'parse').mock
  const timesParsed = async (scene: string, body: string, answer: string): Promise<number> => {
    assert.equal(await ask(scene, {}, body), answer)
    return parse.calls.filter(({ arguments: [text] }) => text === body).length
  }
  assert.equal(await timesParsed('home', '{"user":"u1","age":18}', '2'), 1)
  assert.equal(await timesParsed('home', '{"user":"u1","age":17}', '1'), 1)
  assert.equal(await timesParsed('caller', '{"user":"u1","age":19}', '1'), 0)
  assert.equal(await timesParsed('other', '{"user":"u1","age":20}', '{"user":"u1","age":20}'), 0)
})
