import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import type { LogLine } from '../inside/protocol.ts'
import { BerthError, type ErrorCode } from '../kernel/errors.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { type Pending, Slot, type SlotCall, type SlotHost } from './slot.ts'

setFlagsFromString('--no-turboshaft-loop-unrolling')

interface Made {
  readonly slot: Slot
  readonly lines: LogLine[]
  readonly killed: string[]
  /** What the kills left over. */
  readonly survivors: Pending[]
}

/** A slot whose stages are the named exports of `bundles`, each in a module of its own, in order. */
async function makeSlot(
  t: TestContext,
  stages: Readonly<Record<string, string>>,
  host: Partial<SlotHost> = {},
  memoryMB = 64,
): Promise<Made> {
  const lines: LogLine[] = []
  const killed: string[] = []
  const survivors: Pending[] = []
  const lock = Object.keys(stages).map(stage => ({
    stage,
    modules: [{ name: `m-${stage.toLowerCase()}`, version: '1.0.0', bundle: stage }],
  }))
  const plan: SlotPlan = { key: 'test/v1@64', scene: 'test', version: 'v1', memoryMB, lock }
  const slot = await Slot.load(plan, {
    readBundle: stage => Promise.resolve(`(() => ({ ${stage}: ${stages[stage]} }))()`),
    services: { features: ['getMany'] },
    callService: () => Promise.reject(new BerthError('SERVICE_NOT_FOUND', 'none here')),
    callScene: () => Promise.reject(new BerthError('SCENE_NOT_FOUND', 'none here')),
    onLog: (_plan, _requestId, some) => lines.push(...some),
    onKilled: (_slot, reason, left) => {
      killed.push(reason)
      survivors.push(...left)
    },
    onDoomed: reason => assert.fail(reason),
    ...host,
  })
  const watchdog = setInterval(() => slot.watch(performance.now()), 10)
  t.after(() => {
    clearInterval(watchdog)
    slot.dispose()
  })
  return { slot, lines, killed, survivors }
}

function call(body: unknown, deadlineMs = 10_000): SlotCall {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return {
    requestId: 'r1',
    body: text,
    unit: 'u1',
    deadlineAt: performance.now() + deadlineMs,
    cpuMs: 20_000,
    params: '{"k":3}',
    chain: ['test'],
  }
}

const withCode = (code: ErrorCode, message?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof BerthError, String(error))
  assert.equal(error.code, code, error.message)
  if (message !== undefined) assert.match(error.message, message)
  return true
}

test('stages run in order, each on what the one before returned', async t => {
  const { slot } = await makeSlot(t, {
    recall: 'input => input.ids',
    rank: 'async ids => ids.map(id => id * 2)',
    rerank: 'ids => ({ ids })',
  })
  assert.equal(await slot.call(call({ ids: [1, 2] })), '{"ids":[2,4]}')
})

test('a stage sees the request, its params, unit and deadline', async t => {
  const { slot } = await makeSlot(t, {
    change: 'input => { input.a = 2; return input }',
    show: '(input, ctx) => [input.a, ctx.request.a, Object.isFrozen(ctx.request), ctx.params.k, ctx.unit, ctx.requestId, ctx.scene, ctx.version, ctx.deadlineMs() > 0]',
  })
  assert.deepEqual(JSON.parse(await slot.call(call({ a: 1 }))), [2, 1, true, 3, 'u1', 'r1', 'test', 'v1', true])
})

test('params are frozen to their depth', async t => {
  const { slot } = await makeSlot(t, { rank: '(_, ctx) => { "use strict"; ctx.params.k = 9 }' })
  await assert.rejects(slot.call(call({})), withCode('MODULE_THREW', /read only/))
})

for (const [what, body, code, message] of [
  ['throws', '() => { throw new Error("no items") }', 'MODULE_THREW', /^no items$/],
  ['throws no error', '() => { throw undefined }', 'MODULE_THREW', /undefined/],
  ['throws what cannot be printed', '() => { throw { toString() { throw 1 } } }', 'MODULE_THREW', /unprintable/],
  ['rejects', 'async () => { throw new Error("late") }', 'MODULE_THREW', /^late$/],
  ['overflows the stack', '() => { const f = () => f() + 1; return f() }', 'MODULE_THREW', /call stack/],
  ['returns undefined', '() => {}', 'RESULT_UNDEFINED', /Stage "rank" of module "m-rank@1.0.0" returned undefined/],
  ['fulfils with undefined', 'async () => {}', 'RESULT_UNDEFINED', /returned undefined/],
  ['returns a function', '() => () => 1', 'RESULT_NOT_DATA', /a function/],
  ['returns a symbol', '() => Symbol("x")', 'RESULT_NOT_DATA', /a symbol/],
  ['returns a BigInt', '() => 1n', 'RESULT_BIGINT', /a bigint/],
  ['returns a BigInt inside', '() => ({ n: [1n] })', 'RESULT_BIGINT', /BigInt/],
  ['returns a cycle', '() => { const a = {}; a.a = a; return a }', 'RESULT_CYCLE', /circular/],
  ['returns 50 MB', '() => "x".repeat(50e6)', 'RESULT_TOO_LARGE', /50000002 characters/],
  [
    'returns a nest 200,000 deep',
    '() => { let a = { toJSON: () => 1 }; for (let i = 0; i < 2e5; i++) a = [a]; return a }',
    'RESULT_TOO_DEEP',
    /call stack/,
  ],
] as const) {
  test(`a stage that ${what} is answered ${code} and the slot serves on`, async t => {
    const { slot } = await makeSlot(t, { rank: `(input, ctx) => input === 'fine' ? 'fine' : (${body})(input, ctx)` }, {}, 256)
    await assert.rejects(slot.call(call({})), withCode(code, message))
    assert.equal(await slot.call(call('"fine"')), '"fine"')
  })
}

test('a body that is not JSON is answered BODY_MALFORMED with the place', async t => {
  const { slot } = await makeSlot(t, { rank: 'x => x' })
  for (const body of ['', '{"a":', '{a:1}', '[1,]']) await assert.rejects(slot.call(call(body)), withCode('BODY_MALFORMED'))
})

test('an answer keeps what JSON keeps', async t => {
  const { slot } = await makeSlot(t, { rank: '() => [NaN, Infinity, -0, "\\ud800", { __proto__: null, a: undefined }, null]' })
  assert.equal(await slot.call(call({})), '[null,null,0,"\\ud800",{},null]')
})

test('an endless loop is answered at its deadline and ends its slot; who waited behind it may run elsewhere', {
  timeout: 10_000,
}, async t => {
  const { slot, killed, survivors } = await makeSlot(t, { rank: 'x => { if (x === 1) for (;;); return x }' })
  const stuck = assert.rejects(slot.call(call(1, 100)), withCode('DEADLINE_EXCEEDED'))
  slot.call(call(2, 5000)).catch(assert.fail)
  await stuck
  await slot.drain()
  assert.deepEqual(killed, ['stuck past the deadline of a request'])
  assert.deepEqual(
    survivors.map(({ call, alone, done }) => [call.body, alone, done]),
    [['2', false, false]],
  )
  await assert.rejects(slot.call(call(2)), withCode('MODULE_KILLED'))
})

test('a request over its CPU is answered MODULE_KILLED; who waits for a call has had an effect and goes with it, who waits for a timer may run again alone', {
  timeout: 10_000,
}, async t => {
  const { slot, survivors } = await makeSlot(
    t,
    {
      rank: '(x, ctx) => { if (x === "loop") for (;;); return x === "call" ? ctx.call("other", 1) : new Promise(done => setTimeout(done, 5000, x)) }',
    },
    { callScene: () => new Promise(() => undefined) },
  )
  const called = assert.rejects(slot.call(call('"call"', 9000)), withCode('MODULE_KILLED'))
  slot.call(call('"timer"', 9000)).catch(assert.fail)
  const loop = assert.rejects(slot.call({ ...call('"loop"', 9000), cpuMs: 50 }), withCode('MODULE_KILLED', /more than 50 ms of CPU/))
  await Promise.all([called, loop])
  assert.deepEqual(
    survivors.map(({ call, alone }) => [call.body, alone]),
    [['"timer"', true]],
  )
})

test('a request that runs alone has nothing beside it, and is not given a third slot', { timeout: 10_000 }, async t => {
  const { slot, lines } = await makeSlot(t, {
    rank: 'x => { console.log(String(x)); globalThis.n = (globalThis.n ?? 0) + 1; return new Promise(done => setTimeout(() => done(n--), 20)) }',
  })
  const adopt = (body: string, alone: boolean) =>
    new Promise<string>((resolve, reject) => slot.adopt({ call: call(body), resolve, reject, no: 0, done: false, calledOut: false, alone }))
  const answers = await Promise.all([adopt('1', false), adopt('2', true), adopt('3', true), adopt('4', false), adopt('5', false)])
  assert.deepEqual(answers, ['1', '1', '1', '2', '1'])
  const again = assert.rejects(adopt('6', true), withCode('MODULE_KILLED'))
  // Its turn is over and it waits for its timer.
  while (!lines.some(({ message }) => message === '6')) await new Promise(resolve => setImmediate(resolve))
  slot.kill('for the test')
  await again
})

test('an endless loop after an await is answered at its deadline and ends its slot', { timeout: 10_000 }, async t => {
  const { slot, killed } = await makeSlot(
    t,
    { rank: 'async (x, ctx) => { await ctx.call("other", 1); for (;;); }' },
    { callScene: () => Promise.resolve('1') },
  )
  await assert.rejects(slot.call(call(1, 100)), withCode('DEADLINE_EXCEEDED'))
  await slot.drain()
  while (killed.length === 0) await new Promise(resolve => setTimeout(resolve, 10))
  assert.deepEqual(killed, ['stuck past the deadline of a request'])
})

test('an allocating loop that V8 optimises is ended too', { timeout: 20_000 }, async t => {
  const { slot } = await makeSlot(t, { rank: '() => { let a; for (;;) a = new Array(1000).fill(1); return a }' })
  await assert.rejects(slot.call(call(1, 300)), withCode('DEADLINE_EXCEEDED'))
  await slot.drain()
})

test('a promise that never settles is answered at its deadline and the slot serves on', async t => {
  const { slot, killed } = await makeSlot(t, { rank: 'x => x === 1 ? new Promise(() => {}) : x' })
  await assert.rejects(slot.call(call(1, 50)), withCode('DEADLINE_EXCEEDED'))
  assert.equal(await slot.call(call(2)), '2')
  assert.deepEqual(killed, [])
})

test('waiting requests do not hold up others', async t => {
  const { slot } = await makeSlot(t, { rank: 'x => x === "slow" ? new Promise(done => setTimeout(done, 100, "slow")) : x' })
  const order: string[] = []
  const note = (answer: string) => order.push(answer)
  await Promise.all([slot.call(call('"slow"')).then(note), slot.call(call('"quick"')).then(note)])
  assert.deepEqual(order, ['"quick"', '"slow"'])
})

test('a slot over its memory limit is killed and its callers are told', { timeout: 20_000 }, async t => {
  const { slot, killed } = await makeSlot(t, { rank: '() => { const all = []; for (;;) all.push({ a: [all.length] }) }' }, {}, 32)
  await assert.rejects(slot.call(call(1, 10_000)), withCode('MODULE_KILLED', /memory limit of 32 MB/))
  assert.equal(killed.length, 1)
})

test('a stray rejection costs no answer, and is logged', async t => {
  const { slot, lines } = await makeSlot(t, { rank: 'x => { if (x === 1) Promise.reject(new Error("stray")); return x }' })
  assert.deepEqual(await Promise.all([slot.call(call(1)), slot.call(call(2)), slot.call(call(1)), slot.call(call(3))]), [
    '1',
    '2',
    '1',
    '3',
  ])
  assert.match(lines.find(({ level }) => level === 'error')?.message ?? '', /Unhandled rejection: .*stray/)
})

test('ctx.call brings the answer of the other scene, or its error with the code', async t => {
  const calls: unknown[] = []
  const callScene: SlotHost['callScene'] = async (scene, input, caller) => {
    calls.push([scene, input, caller.requestId])
    if (scene === 'gone') throw new BerthError('SCENE_NOT_FOUND', 'no such scene')
    return '{"n":1}'
  }
  const { slot } = await makeSlot(
    t,
    { rank: '(x, ctx) => ctx.call(x, { q: 1 }).then(a => ({ a }), e => ({ code: e.code, message: e.message }))' },
    { callScene },
  )
  assert.equal(await slot.call(call('"there"')), '{"a":{"n":1}}')
  assert.equal(await slot.call(call('"gone"')), '{"code":"SCENE_NOT_FOUND","message":"no such scene"}')
  assert.deepEqual(calls, [
    ['there', '{"q":1}', 'r1'],
    ['gone', '{"q":1}', 'r1'],
  ])
})

test('ctx.services asks the base with all arguments, and asking is no effect that forbids another run', async t => {
  const asked: unknown[] = []
  const callService: SlotHost['callService'] = async (...values) => {
    asked.push(values.slice(0, 3))
    return '[{"ctr":0.5}]'
  }
  const { slot } = await makeSlot(t, { rank: '(x, ctx) => ctx.services.features.getMany("item", x)' }, { callService })
  assert.equal(await slot.call(call(['a'])), '[{"ctr":0.5}]')
  assert.deepEqual(asked, [['features', 'getMany', '["item",["a"]]']])
})

test('a request cannot have more than 64 calls open', async t => {
  const callScene = () => new Promise<string>(() => undefined)
  const { slot } = await makeSlot(t, { rank: '(x, ctx) => Promise.all(Array.from({ length: 65 }, () => ctx.call("a", 1)))' }, { callScene })
  await assert.rejects(slot.call(call(1)), withCode('MODULE_THREW', /64 calls are open/))
})

test('log lines name their module and carry fields and stacks', async t => {
  const { slot, lines } = await makeSlot(t, {
    rank: '(x, ctx) => { ctx.log.info("ranked", { n: 2 }); ctx.log.error("bad", new Error("why")); console.warn("seen", { a: 1 }); return x }',
  })
  await slot.call(call(1))
  const byLevel = Object.fromEntries(lines.map(line => [line.level, line]))
  assert.deepEqual(byLevel.info, { level: 'info', module: 'm-rank@1.0.0', message: 'ranked', fields: '{"n":2}' })
  assert.match(byLevel.error?.stack ?? '', /Error: why\n +at rank \(berth:\/\/\/m-rank@1\.0\.0\.js:1:\d+\)/)
  assert.equal(byLevel.warn?.message, 'seen {"a":1}')
})

test('a flood of log lines is cut, and the next line says how many are missing', async t => {
  const { slot, lines } = await makeSlot(t, {
    rank: '(x, ctx) => { for (let i = 0; i < 1000; i++) ctx.log.info("line"); const s = Math.floor(Date.now() / 1000); while (Math.floor(Date.now() / 1000) === s); ctx.log.info("next second"); return x }',
  })
  await slot.call(call(1, 5000))
  const last = lines.at(-1)
  assert.equal(last?.message, 'next second')
  // The second may turn while the first thousand are written: then up to 400 of them are kept.
  assert.equal(lines.length - 1 + (last?.dropped ?? 0) + lines.slice(0, -1).reduce((sum, line) => sum + (line.dropped ?? 0), 0), 1000)
  assert.ok(lines.length <= 401)
})

test('nothing ambient is in reach of a module', async t => {
  const names = ['process', 'require', 'module', 'fetch', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'install', 'post', '_ivm', 'ivm']
  const { slot } = await makeSlot(t, { rank: `() => ${JSON.stringify(names)}.filter(name => name in globalThis)` })
  assert.equal(await slot.call(call(1)), '[]')
})

for (const [what, bundle, code] of [
  ['exports nothing', '(() => ({}))()', 'MODULE_EXPORTS_NOTHING'],
  ['is no object', '42', 'MODULE_EXPORTS_NOTHING'],
  ['lacks the stage', '(() => ({ other: () => 1 }))()', 'MODULE_EXPORT_MISSING'],
  ['exports a non-function', '(() => ({ rank: 42 }))()', 'MODULE_EXPORT_NOT_FUNCTION'],
  ['throws at load', '(() => { throw new Error("no table") })()', 'MODULE_LOAD_THREW'],
  ['awaits at load', 'await 1; (() => ({ rank: 1 }))()', 'MODULE_LOAD_AWAITS'],
  ['is not a script', 'export const rank = 1', 'BUNDLE_INVALID'],
  ['never ends loading', '(() => { for (;;); })()', 'MODULE_LOAD_KILLED'],
  ['needs too much memory to load', '(() => { const a = []; for (;;) a.push([a.length]); })()', 'MODULE_LOAD_KILLED'],
] as const) {
  test(`a bundle that ${what} is refused with ${code}`, { timeout: 20_000 }, async t => {
    await assert.rejects(
      makeSlot(t, { rank: '1' }, { readBundle: () => Promise.resolve(bundle) }),
      withCode(code, /Cannot load module "m-rank@1.0.0"/),
    )
  })
}
