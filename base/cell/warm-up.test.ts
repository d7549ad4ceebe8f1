import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { RecordedReply, WarmUpRequest } from '../capsule/warm-up-request.ts'
import { BerthError } from '../kernel/errors.ts'
import { FEATURES } from '../kernel/options.ts'
import type { Slot } from '../slot/slot.ts'
import { Slots } from '../slot/slots.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { WarmUpJob } from '../wire/messages.ts'
import { warmUp } from './warm-up.ts'

interface Made {
  readonly slots: Slots
  /** What anybody got to know of the slot: loads, lines, kills, misfits, and what it asked of the outside. */
  readonly heard: string[]
  /** Warms the slot up. @returns how that ended */
  warm(requests: readonly Partial<WarmUpRequest>[], job?: Partial<WarmUpJob>): Promise<string[]>
  ask(body: unknown): Promise<unknown>
}

const plan: SlotPlan = {
  key: 'home/v1',
  scene: 'home',
  version: 'v1',
  memoryMB: 128,
  lock: [{ stage: 'rank', modules: [{ name: 'rank', version: '1.0.0', bundle: 'rank' }] }],
  schemas: { answer: { not: { const: 'misfit' } } },
}

/** @param rank the stage; `count` is how many requests its slot has had */
function makeSlots(t: TestContext, rank: string, callService = async (): Promise<string> => '"of the day"'): Made {
  const heard: string[] = []
  const servicesOf = () => ({ [FEATURES]: ['get'], profiles: ['get'] })
  const slots = new Slots({
    readBundle: async () => {
      heard.push('load')
      return `(() => { let count = 0; let kept; return { rank: async (body, ctx) => { count++; ${rank} } } })()`
    },
    servicesOf,
    callService: async (service, method) => `"${service}.${method} asked"`,
    fetch: () => Promise.reject(new BerthError('FETCH_FORBIDDEN', 'none here')),
    callScene: async scene => `"${scene} asked"`,
    onLog: (_, __, lines) => heard.push(...lines.map(({ message }) => message)),
    onMisfit: () => heard.push('misfit'),
    onKilled: (_, { reason }) => heard.push(reason),
    onRunning: () => undefined,
    onLost: (_, reason) => assert.fail(reason),
    onBufferFailed: error => assert.fail(String(error)),
  })
  t.after(() => slots.close())
  const warm: Made['warm'] = async (requests, job = {}) => {
    const outcomes: string[] = []
    const parts = { slots, servicesOf, callService, count: (_: SlotPlan, outcome: string) => void outcomes.push(outcome) }
    await warmUp({ plan, requests: requests.map(requestOf), cpuMs: 1000, msMax: 60_000, once: true, ...job }, parts)
    return outcomes
  }
  const ask: Made['ask'] = async body => {
    const slot = await slots.ensure(plan)
    return JSON.parse((await slot.call(callOf(body))).json)
  }
  return { slots, heard, warm, ask }
}

const callOf = (body: unknown) => ({
  requestId: 'r',
  body: JSON.stringify(body),
  unit: undefined,
  deadlineAt: performance.now() + 60_000,
  cpuMs: 5000,
  params: '{}',
  chain: ['home'],
})

const requestOf = (changes: Partial<WarmUpRequest>): WarmUpRequest => ({
  requestId: 'captured',
  body: '"warm"',
  unit: undefined,
  bucket: undefined,
  deadlineMs: 60_000,
  params: '{}',
  replies: [],
  ...changes,
})

const times = (count: number, request: Partial<WarmUpRequest> = {}) => Array.from({ length: count }, () => request)

test('a slot that warms up runs the requests, and nobody hears of it', async t => {
  const { slots, heard, warm, ask } = makeSlots(
    t,
    `ctx.log.info('line'); console.log('text'); Promise.reject(new Error('unhandled')); if (body === 'bad') throw new Error('no')
     return body === 'warm' ? 'misfit' : count`,
  )
  const slot = await slots.ensure(plan)
  assert.deepEqual(await warm([...times(300), { body: '"bad"' }, { body: '{' }]), [])
  assert.deepEqual([slot.hasAnswered, heard], [false, ['load']])
  assert.equal(await ask('hot'), 302)
  // None of the lines of the warm-up counts, so none of these is dropped.
  assert.deepEqual(heard.slice(1).sort(), ['Unhandled rejection: unhandled', 'line', 'text'])
})

test('a slot gets recorded replies while it warms up, features of the day, and nothing of either afterwards', async t => {
  const asks = "[await ctx.services.profiles.get(body), await ctx.services.features.get('a', 'b'), await ctx.call('prices', 1)]"
  const { slots, warm, ask, heard } = makeSlots(t, `const was = kept; kept = ${asks}; return [was, kept]`)
  const replies: RecordedReply[] = [
    { kind: 'call', service: 'profiles', method: 'get', input: '["warm"]', answer: '"recorded"' },
    { kind: 'call', service: '', method: 'prices', input: '1', answer: '12' },
  ]
  await slots.ensure(plan)
  assert.deepEqual(await warm(times(5, { replies }), { once: false }), ['warm'])
  assert.deepEqual(await ask('x'), [
    ['recorded', 'of the day', 12],
    ['profiles.get asked', 'features.get asked', 'prices asked'],
  ])
  assert.deepEqual(heard, ['load'])
})

test('a slot that has had requests is warm, and takes part in no warm-up', async t => {
  const { warm, ask } = makeSlots(t, 'return count')
  assert.equal(await ask('x'), 1)
  assert.deepEqual(await warm(times(5), { once: false }), [])
  assert.equal(await ask('x'), 2)
})

test('a slot that fetches while it warms up gets the bytes that were recorded', async t => {
  const code = `const response = await fetch('https://a.example/x', { method: 'POST', body: 'b' }); kept ??= [...await response.bytes()]; return kept`
  const heads: string[] = []
  const { slots, warm, ask } = makeSlots(t, code)
  const slot = await slots.ensure(plan)
  // The head of the request is what the code inside makes of it.
  const begin = slot.beginWarmUp.bind(slot)
  t.mock.method(slot, 'beginWarmUp', (outside: Parameters<Slot['beginWarmUp']>[0]) =>
    begin({
      ...outside,
      fetch: (of, request, ...more) => {
        heads.push(request.head)
        return outside.fetch(of, request, ...more)
      },
    }),
  )
  assert.deepEqual(await warm(times(1)), ['newCall'])
  const [head = ''] = heads
  const answer = ['{"status":200,"statusText":"","headers":[],"url":"https://a.example/x","redirected":false}', 'base64:/wD+'] as const
  await slots.ensure(plan)
  assert.deepEqual(await warm(times(3, { replies: [{ kind: 'fetch', method: 'POST', head, body: 'b', answer }] })), [])
  await assert.rejects(ask('x'), /none here/)
})

test('a slot that asks for what was not recorded is loaded anew, so that it keeps no promise that nobody will settle', async t => {
  const { warm, ask, heard, slots } = makeSlots(t, `kept ??= ctx.services.profiles.get('all'); return [count, await kept]`)
  const slot = await slots.ensure(plan)
  assert.deepEqual(await warm(times(3)), ['newCall'])
  assert.equal(slot.hasEnded, true)
  assert.deepEqual(await ask('x'), [1, 'profiles.get asked'])
  assert.deepEqual(heard, ['load', 'load'])
})

test('a slot for which a feature table fails while it warms up is loaded anew', async t => {
  const failing = () => Promise.reject(new BerthError('FEATURES_BROKEN', 'not now'))
  const { warm, ask, slots } = makeSlots(t, `kept ??= ctx.services.features.get('a', 'b'); return [count, await kept]`, failing)
  await slots.ensure(plan)
  assert.deepEqual(await warm(times(3)), ['failedCall'])
  assert.deepEqual(await ask('x'), [1, 'features.get asked'])
})

test('a slot that is killed while it warms up is loaded anew, and no kill is reported', { timeout: 60_000 }, async t => {
  const { warm, ask, heard, slots } = makeSlots(t, `if (body === 'loop') for (;;); return count`)
  await slots.ensure(plan)
  assert.deepEqual(await warm([{}, { body: '"loop"' }, {}], { cpuMs: 20 }), ['killed'])
  assert.equal(await ask('x'), 1)
  assert.deepEqual(heard, ['load', 'load'])
})

test('a request that comes while its slot warms up gets the slot as soon as the requests there have ended', async t => {
  const { warm, ask, slots, heard } = makeSlots(t, `return count`)
  const slot = await slots.ensure(plan)
  const warming = warm(times(1), { once: false })
  assert.equal(slots.peek(plan), undefined)
  const count = (await ask('x')) as number
  assert.ok(count > 1)
  assert.deepEqual(await warming, ['wanted'])
  assert.equal(slots.peek(plan), slot)
  assert.deepEqual(heard, ['load'])
})

test('a slot whose last request does not end when the time of the warm-up is over is loaded anew', async t => {
  const { warm, ask, slots } = makeSlots(t, `if (body === 'slow') await new Promise(done => setTimeout(done, 100_000)); return count`)
  await slots.ensure(plan)
  assert.deepEqual(await warm([{ body: '"slow"' }], { msMax: 5 }), ['late'])
  assert.equal(await ask('x'), 1)
  const quick = makeSlots(t, `await new Promise(done => setTimeout(done, 1)); return count`)
  await quick.slots.ensure(plan)
  assert.deepEqual(await quick.warm(times(1), { msMax: 100, once: false }), ['timeOver'])
  assert.ok(((await quick.ask('x')) as number) > 1)
})

test('a version that no table names any more when its warm-up ends is not loaded again', async t => {
  const { warm, slots, heard } = makeSlots(t, `await ctx.services.profiles.get('all')`)
  await slots.ensure(plan)
  const warming = warm(times(1))
  slots.retain(new Set())
  await assert.rejects(warming)
  assert.deepEqual([slots.count, heard], [0, ['load']])
})

test('the warm-up of a cell that closes ends with it', async t => {
  const { warm, slots } = makeSlots(t, `return count`)
  await slots.ensure(plan)
  const warming = warm(times(1), { once: false })
  await slots.close()
  assert.deepEqual(await warming, ['wanted'])
})
