import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { Recorder } from './recorder.ts'
import type { Slot } from './slot.ts'
import { pendingOf, type SlotAnswer, type SlotCall } from './slot-call.ts'
import { Slots, type SlotsHost } from './slots.ts'

interface Made {
  readonly slots: Slots
  /** Digests of the bundles that were read, once for each load. */
  readonly read: string[]
  readonly killed: string[]
  /** Scenes whose load failed, or succeeded after it had failed. */
  readonly loads: string[]
}

/** @param files what the reading of a bundle waits for, by its digest */
function makeSlots(
  t: TestContext,
  codes: Readonly<Record<string, string>>,
  files: Readonly<Record<string, Promise<void>>> = {},
  host: Partial<SlotsHost> = {},
): Made {
  const read: string[] = []
  const killed: string[] = []
  const loads: string[] = []
  const slots = new Slots({
    readBundle: async digest => {
      read.push(digest)
      await files[digest]
      return `(() => ({ rank: ${codes[digest]} }))()`
    },
    servicesOf: () => ({}),
    callService: () => Promise.reject(new BerthError('SERVICE_NOT_FOUND', 'none here')),
    fetch: () => Promise.reject(new BerthError('FETCH_FORBIDDEN', 'none here')),
    callScene: () => Promise.resolve('1'),
    onLog: () => undefined,
    onKilled: (plan, { reason }) => killed.push(`${plan.scene}: ${reason}`),
    onRunning: () => undefined,
    onLost: (_, reason) => assert.fail(reason),
    onBufferFailed: error => assert.fail(String(error)),
    onLoad: ({ scene }, error) => loads.push(error === undefined ? scene : `${scene} failed`),
    ...host,
  })
  t.after(() => slots.close())
  return { slots, read, killed, loads }
}

function plan(scene: string, memoryMB = 128): SlotPlan {
  const lock = [{ stage: 'rank', modules: [{ name: scene, version: '1.0.0', bundle: scene }] }]
  return { key: `${scene}/v1@${memoryMB}`, scene, version: 'v1', memoryMB, lock }
}

async function ask(slots: Slots, wanted: SlotPlan, body: unknown, more: Partial<SlotCall> = {}): Promise<SlotAnswer> {
  const call = callOf(wanted, body, more)
  return (await slots.ensure(wanted)).call(call)
}

const callOf = ({ scene }: SlotPlan, body: unknown, more: Partial<SlotCall> = {}): SlotCall => ({
  requestId: 'r',
  body: JSON.stringify(body),
  unit: undefined,
  deadlineAt: performance.now() + 10_000,
  cpuMs: 5000,
  params: '{}',
  chain: [scene],
  ...more,
})

/** The recorder of a plan, once it is loaded and takes a request. */
async function recorderOf(slots: Slots, wanted: SlotPlan): Promise<Recorder> {
  for (;;) {
    const recorder = slots.recorderOf(wanted)
    if (recorder !== undefined) return recorder
    assert.equal(slots.loadRecorder(wanted), 'loading')
    await delay(1)
  }
}

/** The answer of a recorder. */
function record(recorder: Recorder, wanted: SlotPlan, body: unknown, more: Partial<SlotCall> = {}): Promise<SlotAnswer> {
  return new Promise((resolve, reject) => void recorder.record(pendingOf(callOf(wanted, body, more), { resolve, reject })))
}

/** Resolves when nothing of the slot runs. */
async function resting(slot: Slot): Promise<void> {
  while (slot.isRunning) await delay(1)
}

test('a thundering herd of first requests loads a version once', async t => {
  const { slots, read } = makeSlots(t, { a: 'x => x' })
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(slots, plan('a'), i)))
  assert.deepEqual(
    answers.map(({ json }) => Number(json)),
    Array.from({ length: 50 }, (_, i) => i),
  )
  assert.deepEqual(read, ['a'])
})

test('a version that cannot be loaded fails for all who ask, and is tried again later', async t => {
  const codes: Record<string, string> = { a: '(() => { throw new Error("not yet") })()' }
  const { slots, read } = makeSlots(t, codes)
  const failed = await Promise.allSettled(Array.from({ length: 10 }, () => ask(slots, plan('a'), 1)))
  assert.ok(failed.every(({ status }) => status === 'rejected'))
  assert.deepEqual(read, ['a'])
  codes.a = 'x => x'
  let answer: SlotAnswer | undefined
  while (answer === undefined)
    answer = await ask(slots, plan('a'), 7).catch(() => new Promise<undefined>(resolve => setTimeout(resolve, 50, undefined)))
  assert.equal(answer.json, '7')
})

test('a version that cannot be loaded is left alone for longer each time, except when somebody asks for another try', async t => {
  let now = performance.now()
  t.mock.method(performance, 'now', () => now)
  const codes: Record<string, string> = { a: '(() => { throw new Error("not yet") })()' }
  const { slots, read, loads } = makeSlots(t, codes)
  const fails = () => assert.rejects(slots.ensure(plan('a')), /not yet/)
  const { loadAgainMsMin, loadAgainMsMax } = limits.slot
  for (let pauseMs = loadAgainMsMin, tries = 1; pauseMs < 2 * loadAgainMsMax; pauseMs *= 2, tries++) {
    await fails()
    now += Math.min(pauseMs, loadAgainMsMax) - 1
    await fails()
    assert.equal(await slots.loadAhead(plan('a')), false)
    assert.equal(read.length, tries)
    now += 1
  }
  codes.a = 'x => x'
  await fails().catch(() => undefined)
  assert.equal(slots.failureOf(plan('a')), undefined)
  assert.deepEqual([loads.at(-2), loads.at(-1)], ['a failed', 'a'])
  codes.b = '(() => { throw new Error("not yet") })()'
  await assert.rejects(slots.ensure(plan('b')))
  codes.b = 'x => x'
  await slots.prepare(plan('b'))
})

test('a version that somebody waits for is loaded before those that are loaded ahead, and no load waits long for a stuck one', async t => {
  const file = Promise.withResolvers<void>()
  const { slots, read } = makeSlots(t, { stuck: 'x => x', a: 'x => x', b: 'x => x', c: 'x => x' }, { stuck: file.promise })
  const ahead = ['stuck', 'a', 'b'].map(scene => slots.loadAhead(plan(scene)))
  const b = ask(slots, plan('b'), 1)
  await ask(slots, plan('c'), 1)
  await b
  // The first two are loaded at once.
  assert.deepEqual([read.slice(0, 2).sort(), read.slice(2)], [['b', 'stuck'], ['c']])
  assert.deepEqual(await Promise.all(ahead), [false, true, true])
  file.resolve()
  await ask(slots, plan('stuck'), 1)
})

test('the failure of a version is forgotten with the table that named it', async t => {
  const { slots } = makeSlots(t, { a: '(() => { throw new Error("no") })()' })
  await assert.rejects(slots.ensure(plan('a')))
  slots.retain(new Set([plan('a').key]))
  assert.match(String(slots.failureOf(plan('a'))), /no/)
  slots.retain(new Set())
  assert.equal(slots.failureOf(plan('a')), undefined)
})

test('requests that wait behind an endless loop are answered by the next slot', { timeout: 60_000 }, async t => {
  const { slots, killed } = makeSlots(t, { a: 'x => { if (x === "loop") for (;;); return x }' })
  const loop = assert.rejects(ask(slots, plan('a'), 'loop', { cpuMs: 50 }), /more than 50 ms of CPU/)
  const others = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(slots, plan('a'), i)))
  await loop
  assert.equal(others.length, 100)
  assert.equal(killed.length, 1)
})

test('requests whose slot is killed and cannot be loaded again keep their deadline', { timeout: 60_000 }, async t => {
  const codes: Record<string, string> = { a: 'x => { if (x === "loop") for (;;); return x }' }
  const { slots } = makeSlots(t, codes)
  await ask(slots, plan('a'), 1)
  codes.a = '(() => { for (;;); })()'
  const loop = assert.rejects(ask(slots, plan('a'), 'loop', { cpuMs: 50 }), /CPU/)
  const waiting = ask(slots, plan('a'), 2, { deadlineAt: performance.now() + 400 })
  await assert.rejects(waiting, /No answer from scene "a" before its deadline/)
  await loop
})

test('slots that no table names are drained and go; those that were prepared stay', async t => {
  const { slots } = makeSlots(t, { a: 'x => new Promise(done => setTimeout(done, 100, x))', b: 'x => x', c: 'x => x' })
  const inside = ask(slots, plan('a'), 'finishes')
  await slots.ensure(plan('a'))
  await slots.ensure(plan('b'))
  await slots.prepare(plan('c'))
  slots.retain(new Set())
  assert.deepEqual(
    slots.plans.map(({ scene }) => scene),
    ['c'],
  )
  assert.equal((await inside).json, '"finishes"')
})

test('a slot that was prepared is kept for its table as long as ever when the wall clock is set forward', async t => {
  const { slots } = makeSlots(t, { a: 'x => x' })
  await slots.prepare(plan('a'))
  const set = t.mock.method(Date, 'now', () => Date.UTC(2100, 0))
  slots.retain(new Set())
  set.mock.restore()
  assert.equal(slots.count, 1)
})

test('a slot that has been idle for a while gives back memory that it does not need, once, and answers as before', async t => {
  let now = performance.now()
  t.mock.method(performance, 'now', () => now)
  const { slots } = makeSlots(t, { a: 'n => { const waste = Array.from({ length: n }, () => ({})); return typeof gc + waste.length }' })
  await ask(slots, plan('a'), 100_000)
  const slot = await slots.ensure(plan('a'))
  const trim = () => slots.trim(() => true, false)
  trim()
  assert.equal(slot.isRunning, false)
  now += limits.slot.shrinkMs + 1
  const before = await slot.heapBytes()
  // Nothing is collected while the isolates for the next slots are made. Then it is tried again.
  for (; !slot.isShrunk; await resting(slot)) trim()
  const after = await slot.heapBytes()
  assert.ok(after < before * 0.75, `${before} → ${after}`)
  trim()
  assert.equal(slot.isRunning, false)
  assert.equal((await ask(slots, plan('a'), 1)).json, '"undefined1"')
})

test('a slot that holds much is left as it is when it is idle, since its next request would wait for long', async t => {
  let now = performance.now()
  t.mock.method(performance, 'now', () => now)
  const { slots } = makeSlots(t, {
    a: 'n => { const waste = Array.from({ length: 1e5 }, () => ({})); globalThis.kept = Array.from({ length: n }, (_, no) => ({ no })); return waste.length }',
  })
  await ask(slots, plan('a'), limits.slot.shrinkBytesMax / 24)
  const slot = await slots.ensure(plan('a'))
  now += limits.slot.shrinkMs + 1
  const before = await slot.heapBytes()
  slots.trim(() => true, false)
  await resting(slot)
  assert.ok((await slot.heapBytes()) >= before)
  assert.equal(slot.isShrunk, true)
})

test('code that nobody has called and that never ends holds nobody up when the memory of its idle slot is looked at, and is killed', {
  timeout: 60_000,
}, async t => {
  const looped = `const registry = new FinalizationRegistry(() => { for (;;); })
    for (let i = 0; i < 100; i++) registry.register({}, i)
    // Enough garbage that V8 collects all of it, whereupon it calls back.
    for (let i = 0; i < n; i++) globalThis.list = Array.from({ length: 1e5 }, () => ({}))
    return 1`
  const { slots, killed } = makeSlots(t, { a: `n => { ${looped} }`, b: 'x => x' })
  await ask(slots, plan('a'), 30)
  const slot = await slots.ensure(plan('a'))
  slot.shrink()
  // This thread goes on, and so do the other slots.
  assert.equal((await ask(slots, plan('b'), 2)).json, '2')
  while (killed.length === 0) await delay(5)
  assert.match(killed[0] ?? '', /^a: /)
})

test('when memory is short the slots idle longest go, and busy ones stay', async t => {
  let now = performance.now()
  t.mock.method(performance, 'now', () => now)
  const held = 'x => x === "hold" ? new Promise(done => { globalThis.release = done }) : release(1) ?? x'
  const { slots } = makeSlots(t, { a: 'x => x', b: 'x => x', c: 'x => x', busy: held })
  // If it were not busy, it would be the one that is idle the longest.
  const busy = ask(slots, plan('busy'), 'hold')
  await slots.ensure(plan('busy'))
  for (const scene of ['a', 'b', 'c']) {
    now++
    await ask(slots, plan(scene), 1)
  }
  const all = () => true
  assert.deepEqual(slots.trim(all, true), { idle: 0, memory: 0 }, 'nothing has been idle for a second')
  now += limits.slot.idleMsMin + 100
  await ask(slots, plan('a'), 2)
  assert.deepEqual(slots.trim(all, false), { idle: 0, memory: 0 })
  assert.deepEqual(slots.trim(all, true), { idle: 0, memory: 1 })
  assert.deepEqual(
    slots.plans.map(({ scene }) => scene),
    ['busy', 'a', 'c'],
  )
  await ask(slots, plan('busy'), 'go')
  assert.equal((await busy).json, '1')
})

test('nothing ticks for slots that are idle, and a timer that an answered request has left behind is watched like a request', {
  timeout: 60_000,
}, async t => {
  const { slots, killed } = makeSlots(t, { a: 'x => x', b: 'ms => { setTimeout(() => { for (;;); }, ms); return ms }' })
  const ticking = new Set<NodeJS.Timeout>()
  const { setInterval, clearInterval } = globalThis
  t.mock.method(globalThis, 'setInterval', (...args: Parameters<typeof setInterval>) => {
    const timer = setInterval(...args)
    ticking.add(timer)
    return timer
  })
  t.mock.method(globalThis, 'clearInterval', (timer: NodeJS.Timeout) => {
    ticking.delete(timer)
    clearInterval(timer)
  })
  await Promise.all([ask(slots, plan('a'), 1), ask(slots, plan('b'), 1200)])
  assert.equal(ticking.size, 1)
  while (ticking.size > 0) await new Promise(resolve => setTimeout(resolve, 5))
  assert.deepEqual(killed, [])
  while (killed.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  assert.match(killed[0] ?? '', /^b: /)
  assert.equal((await ask(slots, plan('a'), 2)).json, '2')
})

test('a recorder answers beside the slot of its version, one request at a time, and is asked for again when it has ended', async t => {
  const { slots, read } = makeSlots(t, { a: '(x, ctx) => x === 1 ? ctx.call("other", 1) : x' }, {}, { callScene: () => called.promise })
  const called = Promise.withResolvers<string>()
  assert.equal((await ask(slots, plan('a'), 0)).json, '0')
  const recorder = await recorderOf(slots, plan('a'))
  const first = record(recorder, plan('a'), 1)
  assert.equal(slots.recorderOf(plan('a')), undefined)
  assert.equal(slots.loadRecorder(plan('a')), 'busy')
  assert.equal((await ask(slots, plan('a'), 2)).json, '2')
  recorder.end()
  const next = await recorderOf(slots, plan('a'))
  assert.notEqual(next, recorder)
  called.resolve('"called"')
  assert.equal((await first).json, '"called"')
  assert.deepEqual(read, ['a', 'a', 'a'])
})

test('a recorder goes with its version, when it is idle for long, and before any slot when memory is short', async t => {
  const clock = t.mock.method(performance, 'now')
  const { slots } = makeSlots(t, { a: 'x => x' })
  const stays = () => true
  await ask(slots, plan('a'), 0)
  await recorderOf(slots, plan('a'))
  assert.equal(slots.count, 2)
  assert.deepEqual(slots.trim(stays, false), { idle: 0, memory: 0 })
  assert.deepEqual(slots.trim(stays, true), { idle: 0, memory: 1 })
  assert.notEqual(slots.peek(plan('a')), undefined)
  await recorderOf(slots, plan('a'))
  const now = performance.now()
  clock.mock.mockImplementation(() => now + limits.capsule.recorderIdleMsMax + 1)
  assert.deepEqual(slots.trim(stays, false), { idle: 1, memory: 0 })
  clock.mock.restore()
  await recorderOf(slots, plan('a'))
  slots.retain(new Set([plan('a').key]))
  assert.notEqual(slots.recorderOf(plan('a')), undefined)
  slots.retain(new Set())
  assert.equal(slots.count, 0)
})

test('no recorder is loaded while memory is short, nor again for a while when its version cannot be loaded', async t => {
  let hasRoom = false
  const { slots, read } = makeSlots(t, { a: 'x => x', b: '(() => { throw new Error("no") })()' }, {}, { hasRoom: () => hasRoom })
  assert.equal(slots.loadRecorder(plan('a')), 'memory')
  assert.deepEqual(read, [])
  hasRoom = true
  assert.equal(slots.loadRecorder(plan('b')), 'loading')
  while (slots.loadRecorder(plan('b')) === 'loading') await delay(1)
  assert.equal(slots.loadRecorder(plan('b')), 'failed')
  assert.deepEqual(read, ['b'])
})

test('requests of a killed recorder that may run again do so in the slot of the version', { timeout: 60_000 }, async t => {
  const asked = Promise.withResolvers<void>()
  let calls = 0
  const callService = () => {
    asked.resolve()
    return calls++ === 0 ? new Promise<string>(() => undefined) : Promise.resolve('7')
  }
  const code = '(x, ctx) => ctx.services.features.get("t", "k")'
  const { slots, killed } = makeSlots(t, { a: code }, {}, { callService, servicesOf: () => ({ features: ['get'] }) })
  const recorder = await recorderOf(slots, plan('a'))
  const answer = record(recorder, plan('a'), 1)
  await asked.promise
  recorder.slot.killForMemory('its cell is short of memory')
  assert.equal((await answer).json, '7')
  assert.deepEqual(killed, ['a: its cell is short of memory'])
  assert.equal(slots.recorderOf(plan('a')), undefined)
})

test('closing waits for a recorder that is being loaded and for the request of another, and ends both', async t => {
  const file = Promise.withResolvers<void>()
  const called = Promise.withResolvers<string>()
  const codes = { a: '(x, ctx) => ctx.call("other", 1)', b: 'x => x' }
  const { slots } = makeSlots(t, codes, { b: file.promise }, { callScene: () => called.promise })
  const recorder = await recorderOf(slots, plan('a'))
  const answer = record(recorder, plan('a'), 1)
  assert.equal(slots.loadRecorder(plan('b')), 'loading')
  const closing = slots.close()
  called.resolve('"called"')
  file.resolve()
  assert.equal((await answer).json, '"called"')
  await closing
  assert.equal(recorder.slot.hasEnded, true)
  assert.equal(slots.count, 0)
  assert.equal(slots.loadRecorder(plan('b')), 'failed')
})
