import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Entry } from '../capsule/capsule.ts'
import type { Difference } from '../capsule/replayed.ts'
import type { LogLine } from '../inside/protocol.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { replay } from '../trial/replay.ts'
import { CodeCache } from './code-cache.ts'
import { Spoken } from './entries.ts'
import { type Recorded, Recorder, type RecorderHost } from './recorder.ts'
import { type Pending, pendingOf, type SlotCall } from './slot-call.ts'

const codeCache = new CodeCache(1e7)

interface Made {
  readonly recorder: Recorder
  /** All that was written down. */
  readonly entries: Entry[]
  /** What became of a request: its JSON, or the code of its error; and what was written down of it. */
  readonly ask: (body: unknown, deadlineMs?: number) => Promise<{ answer: string; recorded: Recorded | undefined }>
  readonly lines: LogLine[]
  readonly survivors: Pending[]
  readonly ended: Recorder[]
}

const planOf = (stages: Readonly<Record<string, string>>): SlotPlan => ({
  ...{ key: 'test/v1@64', scene: 'test', version: 'v1', memoryMB: 64 },
  lock: Object.keys(stages).map(stage => ({ stage, modules: [{ name: `m-${stage}`, version: '1.0.0', bundle: stage }] })),
})
const reader = (stages: Readonly<Record<string, string>>) => async (stage: string) => `(() => ({ ${stage}: ${stages[stage]} }))()`
const services = { features: ['get', 'getMany'] }

/** A recorder whose stages are the named exports of `stages`, each in a module of its own. */
async function makeRecorder(
  t: TestContext,
  stages: Readonly<Record<string, string>>,
  host: Partial<RecorderHost> = {},
  memoryMB = 64,
): Promise<Made> {
  const [entries, lines, survivors, ended]: [Entry[], LogLine[], Pending[], Recorder[]] = [[], [], [], []]
  const recorder = await Recorder.load(
    { ...planOf(stages), memoryMB },
    {
      codeCache,
      readBundle: reader(stages),
      servicesOf: () => services,
      callService: async (_, method, args) => JSON.stringify({ method, args }),
      fetch: () => Promise.reject(new BerthError('FETCH_FORBIDDEN', 'none here')),
      callScene: async (_, input) => input,
      onLog: (_plan, _requestId, some) => lines.push(...some),
      onKilled: (_slot, _kill, left) => survivors.push(...left),
      onRunning: () => undefined,
      onLost: (_, reason) => assert.fail(reason),
      onEnded: one => ended.push(one),
      ...host,
    },
  )
  const watchdog = setInterval(() => recorder.slot.watch(performance.now()), 10)
  t.after(() => {
    clearInterval(watchdog)
    recorder.slot.dispose()
  })
  const ask: Made['ask'] = async (body, deadlineMs = 10_000) => {
    const { promise: answer, resolve } = Promise.withResolvers<string>()
    const recorded = recorder.record(
      pendingOf(callOf(body, deadlineMs), { resolve: ({ json }) => resolve(json), reject: ({ code }) => resolve(code) }),
    )
    const [text, found] = await Promise.all([answer, recorded])
    entries.push(...(found?.entries ?? []))
    return { answer: text, recorded: found }
  }
  return { recorder, entries, ask, lines, survivors, ended }
}

const callOf = (body: unknown, deadlineMs: number): SlotCall => ({
  ...{ requestId: 'r1', unit: 'u1', params: '{"k":3}', chain: ['test'], cpuMs: 200 },
  body: JSON.stringify(body),
  deadlineAt: performance.now() + deadlineMs,
})

/** What a recording says otherwise when its entries are put into another isolate. */
async function differenceOf(
  { head }: Recorder,
  entries: readonly Entry[],
  stages: Readonly<Record<string, string>>,
): Promise<Difference | undefined> {
  const { difference } = await replay({ head, entries }, { codeCache, readBundle: reader(stages), onLost: reason => assert.fail(reason) })
  return difference
}

const kindsOf = (entries: readonly Entry[]) => entries.map(({ kind }) => kind)

/** Modules by what they use, each as the stage `rank`. */
const exacts: Readonly<Record<string, string>> = {
  chance: '() => [Math.random(), Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(4))]]',
  clocks: `(x, ctx) => [Date.now(), new Date().toISOString(), performance.now(), performance.timeOrigin, ctx.deadlineMs, new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'full' }).format()]`,
  timers: `async x => { const from = performance.now(); await new Promise(done => setTimeout(done, 3)); return [x, performance.now() - from] }`,
  'parallel calls': `async (x, ctx) => Promise.all([1, 2, 3, 4].map(n => ctx.call('other', n).then(got => [got, Math.random()])))`,
  'what was loaded with it': `(() => { const born = [Math.random(), Date.now()]; let count = 0; return () => [born, ++count, Math.random()] })()`,
  'an interval that it leaves behind': `(() => { let ticks = 0; let started = false; return async () => { if (!started) { started = true; setInterval(() => { ticks++; Math.random(); Date.now() }, 1) } await new Promise(done => setTimeout(done, 4)); return [ticks, Math.random()] } })()`,
  'rejections that nobody handles': `x => { Promise.reject(new Error('forgotten ' + Math.random())); return x }`,
  'lines that it logs': `(x, ctx) => { for (let i = 0; i < 300; i++) ctx.log.info('line ' + i, { random: Math.random() }); return x }`,
  'errors that it throws': `x => { throw new Error('thrown ' + Math.random() + ' at ' + Date.now()) }`,
}

for (const [what, rank] of Object.entries(exacts)) {
  test(`a recording gives the same bytes again: ${what}`, async t => {
    const stages = { rank }
    const { recorder, ask, entries } = await makeRecorder(t, stages)
    for (let i = 0; i < 4; i++) await ask(i)
    assert.equal(await differenceOf(recorder, entries, stages), undefined)
  })
}

/** Does something of everything that reaches outside, waits, or goes on after the answer. */
const MIXTURE = `(() => {
  const seen = []
  const deeds = [
    (x, ctx) => ctx.call('other', x).then(got => [got, ctx.deadlineMs]),
    (x, ctx) => Promise.all(['a', 'b', 'c'].map(key => ctx.services.features.get('t', key))),
    async () => (await fetch('https://example.com/').catch(error => ({ text: () => error.message }))).text(),
    () => new Promise(done => setTimeout(() => done(performance.now()), Math.random() * 3)),
    () => { const timer = setInterval(() => { seen.push(Date.now()); if (seen.length % 5 === 0) clearInterval(timer) }, 1); return 'left' },
    () => { setTimeout(() => { throw new Error('late ' + Math.random()) }, 1); return 'thrown later' },
    () => { Promise.resolve().then(() => { throw new Error('nobody handles ' + crypto.randomUUID()) }); return 'rejected later' },
    x => { throw new Error('thrown for ' + x) },
    (x, ctx) => { ctx.log.warn('logged', { x, at: new Date() }); return 'logged' },
    (x, ctx) => { ctx.signal?.addEventListener('abort', () => console.log('given up', Date.now())); return new Promise(() => undefined) },
    () => AbortSignal.timeout(2).aborted,
    () => 2n,
  ]
  return async (x, ctx) => {
    const done = []
    for (let n = 0; n < 3; n++) done.push(await deeds[(n === 0 ? x : Math.floor(Math.random() * 100)) % deeds.length](x, ctx))
    return [done, seen.length, Math.random(), Date.now()]
  }
})()`

test('a recording gives the same bytes again: whatever comes, one after the other, with some given up', { timeout: 60_000 }, async t => {
  const callScene = (_: string, input: string) =>
    Number(input) % 3 === 0 ? Promise.reject(new BerthError('SCENE_OVERLOADED', 'not now')) : delay(1, input)
  const { recorder, ask, entries } = await makeRecorder(t, { rank: MIXTURE }, { callScene })
  for (let i = 0; i < 60; i++) await ask(i, 40)
  assert.equal(await differenceOf(recorder, entries, { rank: MIXTURE }), undefined)
  assert.deepEqual(new Set(kindsOf(entries)), new Set(['load', 'turn', 'settleCalls', 'fireTimer', 'abandon', 'reportOf']))
})

test('a recording gives the same bytes again: fetches with bytes and with texts that look like bytes', async t => {
  const rank = `async x => { const got = await fetch('https://example.com/', { method: 'POST', body: new Uint8Array([1, 255, x]) }); return [got.status, [...new Uint8Array(await got.arrayBuffer())]] }`
  const head = JSON.stringify({ status: 200, statusText: 'OK', headers: [], url: 'https://example.com/', redirected: false })
  const bodies: (string | ArrayBuffer)[] = [Uint8Array.from([255, 0, 7]).buffer, 'base64:AAAA', 'text:AAAA', '']
  const sent: unknown[] = []
  const { recorder, ask, entries } = await makeRecorder(
    t,
    { rank },
    {
      fetch: async (_plan, { body }) => {
        sent.push(body)
        return { head, body: bodies[sent.length - 1] ?? '' }
      },
    },
  )
  const answers = [await ask(0), await ask(1), await ask(2), await ask(3)].map(({ answer }) => answer)
  assert.equal(answers[0], '[200,[255,0,7]]')
  assert.deepEqual(answers[1], JSON.stringify([200, [...Buffer.from('base64:AAAA')]]))
  assert.deepEqual(sent[1], Uint8Array.from([1, 255, 1]).buffer)
  assert.equal(
    entries
      .flatMap(({ asked }) => asked)
      .at(0)
      ?.at(-1),
    'base64:Af8A',
  )
  assert.equal(await differenceOf(recorder, entries, { rank }), undefined)
})

test('replies that come while another goes in are entries of their own, one after the other', async t => {
  const rank = `async (x, ctx) => { const a = ctx.call('other', 1); const b = a.then(() => ctx.services.features.get('t', 'k')); return [await b, Math.random()] }`
  const { recorder, ask, entries } = await makeRecorder(t, { rank })
  const { recorded } = await ask(1)
  assert.deepEqual(kindsOf(entries), ['load', 'turn', 'settleCalls', 'settleCalls'])
  assert.deepEqual([recorded?.no, recorded?.first, recorded?.last], [1, 1, 3])
  assert.deepEqual(
    entries.map(({ asked }) => asked.map(([kind]) => kind)),
    [[], ['calls'], ['calls'], []],
  )
  assert.ok(entries.every(({ atMs }, i) => i === 0 || atMs >= (entries[i - 1]?.atMs ?? 0)))
  const { recorded: next } = await ask(2)
  assert.deepEqual([next?.from, next?.no, next?.first, next?.last], [4, 2, 4, 6])
  assert.equal(await differenceOf(recorder, entries, { rank }), undefined)
})

test('a request that is given up at its deadline is written down with that', async t => {
  const rank = '(x, ctx) => x === 1 ? ctx.call("other", 1) : x'
  const { recorder, ask, entries } = await makeRecorder(t, { rank }, { callScene: () => new Promise(() => undefined) })
  const { answer, recorded } = await ask(1, 30)
  assert.equal(answer, 'DEADLINE_EXCEEDED')
  assert.deepEqual(kindsOf(recorded?.entries ?? []), ['load', 'turn', 'abandon'])
  assert.equal((await ask(2)).answer, '2')
  assert.equal(await differenceOf(recorder, entries, { rank }), undefined)
})

test('a request over which the slot is killed is written down as inexact, and ends the recorder', { timeout: 60_000 }, async t => {
  const { recorder, ask, ended } = await makeRecorder(t, { rank: 'x => { if (x === 2) for (;;); return x }' })
  await ask(1)
  const { answer, recorded } = await ask(2)
  assert.equal(answer, 'MODULE_KILLED')
  assert.deepEqual(recorded?.inexact, ['killed'])
  assert.deepEqual([recorded?.entries.at(-1)?.kind, recorded?.entries.at(-1)?.said], ['turn', ''])
  assert.deepEqual(ended, [recorder])
  assert.equal(recorder.isIdle, false)
})

test('a request that goes on elsewhere after a kill is not written down, and its caller is answered there', {
  timeout: 60_000,
}, async t => {
  const rank = 'async (x, ctx) => { await ctx.services.features.get("t", "k"); return x }'
  const asked = Promise.withResolvers<void>()
  const callService = () => {
    asked.resolve()
    return new Promise<string>(() => undefined)
  }
  const { recorder, ask, survivors } = await makeRecorder(t, { rank }, { callService })
  const asking = ask(1)
  await asked.promise
  recorder.slot.killForMemory('its cell is short of memory')
  const [survivor] = survivors
  assert.ok(survivor)
  survivor.done = true
  survivor.resolve({ json: '"elsewhere"', degraded: undefined, tookMs: undefined, queueMs: 0 })
  assert.deepEqual(await asking, { answer: '"elsewhere"', recorded: undefined })
})

test('a recorder ends after so many requests, and once its entries take too much', { timeout: 60_000 }, async t => {
  const { recorder, ask, ended } = await makeRecorder(t, { rank: 'x => x.length ?? x' })
  for (let i = 1; i < limits.capsule.requestsMax; i++) await ask(i)
  assert.deepEqual(ended, [])
  await ask(0)
  assert.deepEqual(ended, [recorder])
  const other = await makeRecorder(t, { rank: 'x => x.length' }, {}, 128)
  const long = 'a'.repeat(3 * 2 ** 20)
  for (let i = 0; i < 6 && other.recorder.isIdle; i++) await other.ask(long)
  assert.deepEqual(other.ended, [other.recorder])
})

test('a body that is too large for the slot is not taken, and the recorder stays ready', async t => {
  const { recorder, ask } = await makeRecorder(t, { rank: 'x => x' }, {}, 8)
  await assert.rejects(ask('a'.repeat(2 ** 20)), { code: 'BODY_TOO_LARGE' })
  assert.equal((await ask(1)).answer, '1')
  assert.equal(recorder.isIdle, true)
})

test('a module that uses weak references makes what follows inexact', async t => {
  const { ask } = await makeRecorder(t, { rank: 'x => x === 2 ? new WeakRef({}).deref() !== undefined : x' })
  assert.deepEqual((await ask(1)).recorded?.inexact, [])
  assert.deepEqual((await ask(2)).recorded?.inexact, ['weak references'])
  assert.deepEqual((await ask(3)).recorded?.inexact, ['weak references'])
})

test('whatever a module has its isolate post is taken down, and can be sent on as JSON', () => {
  const spoken = new Spoken()
  const junk = [1n, undefined, null, Number.NaN, 'base64:', '\ud800', new ArrayBuffer(2)] as never[]
  for (const kind of ['answers', 'log', 'calls', 'fetch', 'timer', 'misfit', 'broken', 'other', 1n] as never[]) spoken.post(kind, ...junk)
  const { asked, said } = spoken.end({ returned: junk })
  assert.equal(JSON.parse(JSON.stringify(asked)).length, 3)
  assert.match(said, /^[0-9a-f]{64}$/)
})

test('of a request that takes some hundred microseconds, it is known how much CPU it has used', async t => {
  const { ask } = await makeRecorder(t, { rank: '() => { for (let i = 0; i < 2e5; i++) Math.sqrt(i) }' })
  const [first, second] = [await ask(1), await ask(2)]
  assert.ok((first.recorded?.cpuMs ?? 0) > 0)
  assert.ok((second.recorded?.cpuMs ?? 0) > 0)
})
