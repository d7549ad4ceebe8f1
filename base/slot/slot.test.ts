import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import ivm from 'isolated-vm'
import { CURSOR, type LogLine } from '../inside/protocol.ts'
import { BerthError, type ErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Lock, LockedStage } from '../traffic/schema.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { makeBlank, type Staging } from './blank.ts'
import { CodeCache } from './code-cache.ts'
import type { Kill } from './kill.ts'
import { Slot, type SlotHost } from './slot.ts'
import { type Pending, pendingOf, type SlotCall } from './slot-call.ts'
import { SlotClock } from './slot-clock.ts'

setFlagsFromString('--no-turboshaft-loop-unrolling')

interface Made {
  readonly slot: Slot
  /** The answer of the slot as JSON. */
  readonly ask: (call: SlotCall) => Promise<string>
  readonly lines: LogLine[]
  readonly killed: string[]
  /** Resolves with the reason of the first kill. */
  readonly death: Promise<string>
  /** What the kills left over. */
  readonly survivors: Pending[]
}

/** A slot whose stages are the named exports of `bundles`, each in a module of its own, in order. */
async function makeSlot(
  t: TestContext,
  stages: Readonly<Record<string, string>>,
  host: Partial<SlotHost> = {},
  memoryMB = 64,
  locked?: Lock,
  staging?: Staging,
): Promise<Made> {
  const lines: LogLine[] = []
  const killed: string[] = []
  const death = Promise.withResolvers<string>()
  const survivors: Pending[] = []
  const lock: Lock =
    locked ??
    Object.keys(stages).map(stage => ({
      stage,
      modules: [{ name: `m-${stage.toLowerCase()}`, version: '1.0.0', bundle: stage }],
    }))
  const plan: SlotPlan = { key: 'test/v1@64', scene: 'test', version: 'v1', memoryMB, lock }
  const codeCache = new CodeCache(1e6)
  const slot = await Slot.load(plan, await makeBlank(memoryMB, codeCache, staging), {
    codeCache,
    readBundle: stage => Promise.resolve(`(() => ({ ${stage}: ${stages[stage]} }))()`),
    servicesOf: () => ({ features: ['getMany'] }),
    callService: () => Promise.reject(new BerthError('SERVICE_NOT_FOUND', 'none here')),
    fetch: () => Promise.reject(new BerthError('FETCH_FORBIDDEN', 'none here')),
    callScene: () => Promise.reject(new BerthError('SCENE_NOT_FOUND', 'none here')),
    onLog: (_plan, _requestId, some) => lines.push(...some),
    onKilled: (_slot, { reason }, left) => {
      killed.push(reason)
      death.resolve(reason)
      survivors.push(...left)
    },
    onRunning: () => undefined,
    onLost: (_, reason) => assert.fail(reason),
    ...host,
  })
  const watchdog = setInterval(() => slot.watch(performance.now()), 10)
  t.after(() => {
    clearInterval(watchdog)
    slot.dispose()
  })
  return { slot, ask: async request => (await slot.call(request)).json, lines, killed, death: death.promise, survivors }
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

for (const [kind, value, reason] of [
  ['gossip', '[]', 'a module has broken the code that runs it: it posts "gossip"'],
  ['log', '[', 'a module has broken the code that runs it: it posts lines that are none'],
] as const) {
  test(`a post of the kind "${kind}" that no code of the base has made is taken for no other: the slot is killed, and says so`, async () => {
    const blank = await makeBlank(64, new CodeCache(1e6))
    const killed: string[] = []
    const never = () => assert.fail('taken for something else')
    const plan: SlotPlan = { key: 'test/v1@64', scene: 'test', version: 'v1', memoryMB: 64, lock: [] }
    await Slot.load(plan, blank, {
      codeCache: new CodeCache(1e6),
      readBundle: never,
      servicesOf: () => ({}),
      callService: never,
      callScene: never,
      fetch: never,
      onLog: never,
      onKilled: (_slot, { reason }) => killed.push(reason),
      onRunning: () => undefined,
      onLost: never,
    })
    const post = blank.listener.onPost as (kind: string, ...values: (string | number)[]) => void
    post(kind, 0, value)
    assert.deepEqual(killed, [reason])
  })
}

test('stages run in order, each on what the one before returned', async t => {
  const { ask } = await makeSlot(t, {
    recall: 'input => input.ids',
    rank: 'async ids => ids.map(id => id * 2)',
    rerank: 'ids => ({ ids })',
  })
  assert.equal(await ask(call({ ids: [1, 2] })), '{"ids":[2,4]}')
})

test('a stage sees the request, its params, unit and deadline', async t => {
  const { ask } = await makeSlot(t, {
    change: 'input => { input.a = 2; return input }',
    show: '(input, ctx) => [input.a, ctx.request.a, Object.isFrozen(ctx.request), ctx.params.k, ctx.unit, ctx.requestId, ctx.scene, ctx.version, ctx.deadlineMs() > 0]',
  })
  assert.deepEqual(JSON.parse(await ask(call({ a: 1 }))), [2, 1, true, 3, 'u1', 'r1', 'test', 'v1', true])
})

test('params are frozen to their depth', async t => {
  const { ask } = await makeSlot(t, { rank: '(_, ctx) => { "use strict"; ctx.params.k = 9 }' })
  await assert.rejects(ask(call({})), withCode('MODULE_THREW', /read only/))
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
    const { ask } = await makeSlot(t, { rank: `(input, ctx) => input === 'fine' ? 'fine' : (${body})(input, ctx)` }, {}, 256)
    await assert.rejects(ask(call({})), withCode(code, message))
    assert.equal(await ask(call('"fine"')), '"fine"')
  })
}

test('a body that is not JSON is answered BODY_MALFORMED with the place', async t => {
  const { ask } = await makeSlot(t, { rank: 'x => x' })
  for (const body of ['', '{"a":', '{a:1}', '[1,]']) await assert.rejects(ask(call(body)), withCode('BODY_MALFORMED'))
})

test('an answer keeps what JSON keeps', async t => {
  const { ask } = await makeSlot(t, { rank: '() => [NaN, Infinity, -0, "\\ud800", { __proto__: null, a: undefined }, null]' })
  assert.equal(await ask(call({})), '[null,null,0,"\\ud800",{},null]')
})

test('an endless loop is answered at its deadline and ends its slot; who waited behind it may run elsewhere', {
  timeout: 60_000,
}, async t => {
  const { slot, ask, killed, survivors } = await makeSlot(t, { rank: 'x => { if (x === 1) for (;;); return x }' })
  const stuck = assert.rejects(ask(call(1, 100)), withCode('DEADLINE_EXCEEDED'))
  ask(call(2, 5000)).catch(assert.fail)
  await stuck
  await slot.drain()
  assert.deepEqual(killed, ['stuck past the deadline of a request'])
  assert.deepEqual(
    survivors.map(({ call, alone, done }) => [call.body, alone, done]),
    [['2', false, false]],
  )
  await assert.rejects(ask(call(2)), withCode('MODULE_KILLED'))
})

test('a request over its CPU is answered MODULE_KILLED; who waits for a call has had an effect and goes with it, who waits for a timer may run again alone', {
  timeout: 60_000,
}, async t => {
  const left = Promise.withResolvers<void>()
  const callScene = (): Promise<string> => {
    left.resolve()
    return new Promise(() => undefined)
  }
  const { ask, survivors } = await makeSlot(
    t,
    {
      rank: '(x, ctx) => { if (x === "loop") for (;;); return x === "call" ? ctx.call("other", 1) : new Promise(done => setTimeout(done, 5000, x)) }',
    },
    { callScene },
  )
  const called = assert.rejects(ask(call('"call"', 9000)), withCode('MODULE_KILLED'))
  ask(call('"timer"', 9000)).catch(assert.fail)
  await left.promise
  const loop = assert.rejects(ask({ ...call('"loop"', 9000), cpuMs: 50 }), withCode('MODULE_KILLED', /more than 50 ms of CPU/))
  await Promise.all([called, loop])
  assert.deepEqual(
    survivors.map(({ call, alone }) => [call.body, alone]),
    [['"timer"', true]],
  )
})

test('a request that runs alone has nothing beside it, and is not given a third slot', { timeout: 60_000 }, async t => {
  const { slot, lines } = await makeSlot(t, {
    rank: 'x => { console.log(String(x)); globalThis.n = (globalThis.n ?? 0) + 1; return new Promise(done => setTimeout(() => done(n--), 20)) }',
  })
  const adopt = (body: string, alone: boolean) =>
    new Promise<string>((resolve, reject) => slot.adopt(pendingOf(call(body), { resolve: ({ json }) => resolve(json), reject }, alone)))
  const answers = await Promise.all([adopt('1', false), adopt('2', true), adopt('3', true), adopt('4', false), adopt('5', false)])
  assert.deepEqual(answers, ['1', '1', '1', '2', '1'])
  const again = assert.rejects(adopt('6', true), withCode('MODULE_KILLED'))
  // The turn of the request is over and it waits for its timer.
  while (!lines.some(({ message }) => message === '6')) await new Promise(resolve => setImmediate(resolve))
  slot.kill('for the test')
  await again
})

test('an endless loop after an await is answered at its deadline and ends its slot', { timeout: 60_000 }, async t => {
  const { ask, slot, death } = await makeSlot(
    t,
    { rank: 'async (x, ctx) => { await ctx.call("other", 1); for (;;); }' },
    { callScene: () => Promise.resolve('1') },
  )
  await assert.rejects(ask(call(1, 100)), withCode('DEADLINE_EXCEEDED'))
  await slot.drain()
  assert.match(await death, /after an "await", in a promise reaction or in a timer/)
})

test('a timer that loops while nobody waits ends its slot', { timeout: 60_000 }, async t => {
  const { ask, death } = await makeSlot(t, { rank: 'x => { setTimeout(() => { for (;;); }, 0); return x }' })
  assert.equal(await ask(call(1)), '1')
  assert.match(await death, /after an "await", in a promise reaction or in a timer/)
})

test('a loop that an answered request has left behind ends its slot, also under load', { timeout: 60_000 }, async t => {
  const { ask, death } = await makeSlot(t, { rank: 'x => { if (x === 1) setTimeout(() => { for (;;); }, 20); return x }' })
  assert.equal(await ask(call(1)), '1')
  let dead = false
  const reason = death.then(why => {
    dead = true
    return why
  })
  const client = async () => {
    while (!dead) await ask(call(2, 200)).catch(() => undefined)
  }
  // The requests that the kill leaves over are not answered here, because nobody takes them to another slot.
  await Promise.race([reason, Promise.all([client(), client(), client(), client()])])
  assert.match(await reason, /after an "await", in a promise reaction or in a timer/)
})

const burn = 'const burn = ms => { const end = performance.now() + ms; while (performance.now() < end); };'

for (const [what, rank] of [
  ['an interval', 'x => { if (x === 1) setInterval(() => burn(40), 1); return x }'],
  ['an interval, while other requests wait', 'async x => { if (x === 1) setInterval(() => burn(40), 1); await sleep(20); return x }'],
  [
    'timers that set one another',
    'async x => { const go = () => { burn(40); setTimeout(go, 1) }; if (x === 1) go(); await sleep(20); return x }',
  ],
  ['what goes on after its answer', 'x => { if (x === 1) (async () => { for (;;) { await sleep(1); burn(40) } })(); return x }'],
] as const) {
  test(`a slot is killed for ${what} that a request has left behind, and says so`, { timeout: 60_000 }, async t => {
    const code = `(() => { ${burn} const sleep = ms => new Promise(done => setTimeout(done, ms)); return ${rank} })()`
    const { slot, ask, killed, death } = await makeSlot(t, { rank: code })
    assert.equal(await ask(call(1)), '1')
    while (killed.length === 0) await Promise.race([death, ask(call(2)).catch(() => undefined)])
    assert.match(killed[0] ?? '', /^its timers and promises used over 100 ms of CPU a second outside of requests/)
    assert.deepEqual(slot.whereabouts(), { stage: 'rank', module: 'm-rank@1.0.0' })
  })
}

test('requests that work in timers and after calls may use all the CPU that there is', { timeout: 60_000 }, async t => {
  const rank = `(() => { ${burn} return async (x, ctx) => { await ctx.call('other', 1); burn(10); await new Promise(done => setTimeout(done, 1)); burn(10); return x } })()`
  const { slot, ask, killed } = await makeSlot(t, { rank }, { callScene: () => Promise.resolve('1') })
  while (Number(slot.cpuNs) / 1e6 < 1.5 * limits.slot.outsideCpuMsMax) await Promise.all([ask(call(1)), ask(call(2))])
  assert.deepEqual(killed, [])
})

const loop = 'for (;;);'
const through = { recall: 'x => x' }

/** The stages, the stage that is at fault, and the line and column of its bundle where the code is. */
for (const [what, stages, stage, place] of [
  ['a loop', { ...through, rank: `() => {\n  ${loop}\n}` }, 'rank', '2:3'],
  ['a loop in the first stage', { recall: `() => {\n  ${loop}\n}`, rank: 'x => x' }, 'recall', '2:3'],
  ['a loop behind a stage that waits', { recall: 'async x => { await null; return x }', rank: `() => {\n  ${loop}\n}` }, 'rank', '2:3'],
  ['a loop after a call', { recall: `async (x, ctx) => {\n  await ctx.call("other", 1)\n  ${loop}\n}`, rank: 'x => x' }, 'recall', '3:3'],
  ['a loop after an await', { ...through, rank: `async () => {\n  await null\n  ${loop}\n}` }, 'rank', '3:3'],
  ['a loop in a timer', { ...through, rank: `x => new Promise(() => setTimeout(() => {\n  ${loop}\n}, 1))` }, 'rank', '2:3'],
  ['a then of the result', { ...through, rank: `() => ({ then() {\n  ${loop}\n} })` }, 'rank', '2:3'],
  ['a getter of the result', { ...through, rank: `() => ({ get a() {\n  ${loop}\n} })` }, 'rank', '2:3'],
  ['a toJSON after an await', { ...through, rank: `async () => ({ toJSON() {\n  ${loop}\n} })` }, 'rank', '2:3'],
  [
    'promises that beget one another',
    { ...through, rank: 'x => new Promise(() => {\n  const go = () => Promise.resolve().then(go)\n  go()\n})' },
    'rank',
    undefined,
  ],
  ['a regular expression', { ...through, rank: '() => {\n  return /(a+)+$/.test("a".repeat(40) + "b")\n}' }, 'rank', '2:'],
] as const) {
  test(`a slot that is killed for ${what} says in which stage of which module, and where there`, { timeout: 60_000 }, async t => {
    const kills: Kill[] = []
    const { slot, ask } = await makeSlot(t, stages, {
      callScene: () => Promise.resolve('1'),
      lookoutUntil: () => Infinity,
      onKilled: (_slot, kill) => void kills.push(kill),
    })
    // The deadline comes before a slot is killed for what runs in no request: a request that waits would go on in the next slot.
    const answer = ask({ ...call(1, limits.slot.idleCpuMsMax / 2), cpuMs: 50 }).catch((error: BerthError) => error)
    while (kills.length === 0) await new Promise(resolve => setImmediate(resolve))
    const where = { stage, module: `m-${stage}@1.0.0` }
    assert.deepEqual([slot.whereabouts(), kills[0]?.where], [where, where])
    const sight = (await kills[0]?.sight) ?? { unseen: 'no look' }
    // Where nothing but promise reactions runs, the look may come between two of them.
    if (place === undefined) return
    assert.ok('stack' in sight, 'unseen' in sight ? sight.unseen : '')
    const top = sight.stack.split('\n').find(line => !line.includes('berth:///inside.js'))
    assert.match(top ?? '', new RegExp(`berth:///m-${stage}@1\\.0\\.0\\.js:${place}`))
    const error = await answer
    assert.ok(error instanceof BerthError)
    if (error.code !== 'MODULE_KILLED') return
    assert.deepEqual(error.extra, where)
    assert.match(error.message, new RegExp(`in stage "${stage}" of module "m-${stage}@1.0.0"$`))
  })
}

test('a look at code inside a built-in function holds nothing up, and says why it has seen no line; the slot ends when the function returns', {
  timeout: 60_000,
}, async t => {
  const { slot, ask, sights } = await makeWatched(
    t,
    '() => { const parse = () => JSON.parse("[" + "1,".repeat(5e6) + "1]").length; return parse() + parse() }',
  )
  await assert.rejects(ask({ ...call(1), cpuMs: 20 }), withCode('MODULE_KILLED'))
  assert.match(JSON.stringify(await await sights.promise), /unseen.*built-in/)
  while (slot.isRunning) await new Promise(resolve => setTimeout(resolve, 5))
})

test('a slot with a lookout that fills its memory is killed where it does', { timeout: 60_000 }, async t => {
  const { ask, sights } = await makeWatched(t, '() => {\n  const all = []\n  for (;;) all.push([all.length])\n}')
  await assert.rejects(ask(call(1)), withCode('MODULE_KILLED', /over its memory limit of 64 MB, in stage "rank"/))
  assert.match(JSON.stringify(await await sights.promise), /at rank \(berth:\/\/\/m-rank@1\.0\.0\.js:3:/)
})

test('a debugger statement stops nothing in a slot with a lookout, and a lookout that is over leaves the slot as it was', {
  timeout: 60_000,
}, async t => {
  let until = Infinity
  const { slot, ask } = await makeSlot(
    t,
    { rank: 'async x => { debugger; await null; debugger; return x }' },
    { lookoutUntil: () => until },
  )
  assert.equal(await ask(call(1)), '1')
  until = 0
  slot.watch(Infinity)
  assert.equal(await ask(call(2)), '2')
})

/** A slot with a lookout, and what the look at it has seen when it is killed. */
async function makeWatched(t: TestContext, rank: string) {
  const sights = Promise.withResolvers<Kill['sight']>()
  const made = await makeSlot(t, { rank }, { lookoutUntil: () => Infinity, onKilled: (_slot, { sight }) => sights.resolve(sight) })
  return { ...made, sights }
}

test('time in which the machine does other things is no CPU of a request', {
  timeout: 60_000,
  skip: process.platform === 'win32' && 'it stops this process with signals',
}, async t => {
  const { ask, lines, killed } = await makeSlot(t, {
    rank: 'x => { console.log("begun"); const end = Date.now() + 1500; while (Date.now() < end); return x }',
  })
  const answer = ask({ ...call(1), cpuMs: 800 })
  while (lines.length === 0) await new Promise(resolve => setImmediate(resolve))
  spawn('sh', ['-c', `kill -STOP ${process.pid}; sleep 1; kill -CONT ${process.pid}`])
  assert.equal(await answer, '1')
  assert.deepEqual(killed, [])
})

test('a request within its CPU is not killed because another one that waits has passed its deadline', { timeout: 60_000 }, async t => {
  const { ask, killed } = await makeSlot(
    t,
    {
      rank: '(x, ctx) => { if (x === "wait") return ctx.call("other", 1); const end = Date.now() + 400; while (Date.now() < end); return x }',
    },
    { callScene: () => new Promise(() => undefined) },
  )
  const late = assert.rejects(ask(call('"wait"', 100)), withCode('DEADLINE_EXCEEDED'))
  assert.equal(await ask(call('"busy"')), '"busy"')
  await late
  assert.deepEqual(killed, [])
})

for (const [what, body] of [
  ['throws a proxy that throws when it is looked at', 'throw new Proxy({}, { getPrototypeOf() { throw 1 } })'],
  ['throws an error whose stack throws', 'const e = new Error("m"); Object.defineProperty(e, "stack", { get() { throw 1 } }); throw e'],
  ['returns a getter that throws such a proxy', 'return { get a() { throw new Proxy({}, { getPrototypeOf() { throw 1 } }) } }'],
  [
    'returns a promise whose own then throws',
    'const p = Promise.resolve(1); Object.defineProperty(p, "then", { value() { throw 1 } }); return p',
  ],
  ['gives every object a toJSON', 'Object.prototype.toJSON = () => undefined; throw new Error("y")'],
] as const) {
  test(`a stage that ${what} costs nobody else an answer`, { timeout: 60_000 }, async t => {
    const { ask } = await makeSlot(t, { rank: `x => { if (x !== 1) return "fine"; ${body} }` })
    const bad = [1, 2, 3].map(() => assert.rejects(ask(call(1)), withCode('MODULE_THREW')))
    const good = await Promise.allSettled(Array.from({ length: 20 }, () => ask(call(2))))
    await Promise.all(bad)
    // The module tampers with what is its own, so its other requests may fail too, but they are answered.
    for (const { status } of good) if (what !== 'gives every object a toJSON') assert.equal(status, 'fulfilled')
  })
}

test('setting and clearing timers in a loop costs the cell no timer, and timers still fire in order', async t => {
  const { ask, lines } = await makeSlot(t, {
    rank: `x => {
      for (let i = 0; i < 1e5; i++) clearTimeout(setTimeout(() => console.log('cleared'), 1))
      return new Promise(done => { setTimeout(done, 30, 'last'); setTimeout(() => console.log('first'), 5) })
    }`,
  })
  assert.equal(await ask(call(1)), '"last"')
  assert.deepEqual(
    lines.map(({ message }) => message),
    ['first'],
  )
})

test('a timer set while a module loads fires', async t => {
  const { ask } = await makeSlot(
    t,
    { rank: '1' },
    {
      readBundle: () =>
        Promise.resolve('(() => { const set = new Promise(done => setTimeout(done, 0, "set")); return { rank: () => set } })()'),
    },
  )
  assert.equal(await ask(call(1)), '"set"')
})

test('a context cannot be made by a module', async t => {
  const { ask } = await makeSlot(t, { rank: '(x, ctx) => [typeof ctx.constructor, Object.getPrototypeOf(ctx) === Object.prototype]' })
  assert.equal(await ask(call(1)), '["function",false]')
  const { ask: forge } = await makeSlot(t, { rank: '(x, ctx) => new ctx.constructor({ calls: -1 }).call === undefined' })
  assert.equal(await forge(call(1)), 'true')
})

test('what a module does to its context no other module and no later request meets', async t => {
  const poison = `(x, ctx) => {
    const shared = Object.getPrototypeOf(ctx)
    for (const name of ['params', 'call', 'fetch', 'services', 'mine']) {
      Reflect.defineProperty(shared, name, { get: () => 'poisoned' })
      Reflect.set(shared, name, 'poisoned')
    }
    Reflect.setPrototypeOf(shared, { mine: 'poisoned' })
    ctx.own = 'kept'
    return x
  }`
  const { ask } = await makeSlot(t, { rank: poison, rerank: '(_, ctx) => [ctx.params, typeof ctx.call, typeof ctx.fetch, "mine" in ctx]' })
  for (let i = 0; i < 2; i++) assert.equal(await ask(call(1)), '[{"k":3},"function","function",false]')
})

test('an allocating loop that V8 optimises is ended too', { timeout: 60_000 }, async t => {
  const { slot, ask } = await makeSlot(t, { rank: '() => { let a; for (;;) a = new Array(1000).fill(1); return a }' })
  await assert.rejects(ask(call(1, 300)), withCode('DEADLINE_EXCEEDED'))
  await slot.drain()
})

test('a request whose code still runs at its deadline is answered with the stage and the module', { timeout: 60_000 }, async t => {
  const { slot, ask } = await makeSlot(t, { rank: '() => { for (;;); }' })
  const request = { ...call(1) }
  const late = withCode('DEADLINE_EXCEEDED', /its code was still running, in stage "rank" of module "m-rank@1\.0\.0"$/)
  const answer = assert.rejects(ask(request), late)
  while (slot.whereabouts().stage === undefined) await new Promise(resolve => setImmediate(resolve))
  request.deadlineAt = 0
  await answer
})

test('a promise that never settles is answered at its deadline and the slot serves on', async t => {
  const { ask, killed } = await makeSlot(t, { rank: 'x => x === 1 ? new Promise(() => {}) : x' })
  await assert.rejects(ask(call(1, 50)), withCode('DEADLINE_EXCEEDED'))
  assert.equal(await ask(call(2)), '2')
  assert.deepEqual(killed, [])
})

test('a result that fails when it is looked at is the failure of its module at once, also after an await', async t => {
  const failing = `new Proxy({}, { getPrototypeOf() { throw new Error('do not look') } })`
  const posing = `new Proxy({}, { has: () => false, getPrototypeOf: () => Promise.prototype, get() {} })`
  for (const [result, message] of [
    [failing, /do not look/],
    [posing, /not a function/],
  ] as const) {
    const { ask } = await makeSlot(t, { recall: 'async x => x', rank: `() => ${result}` })
    await assert.rejects(ask(call(1)), withCode('MODULE_THREW', message))
    const parallel: LockedStage = { stage: 'rank', modules: [{ name: 'm-rank', version: '1.0.0', bundle: 'rank' }], deadlineMs: 5000 }
    const bounded = await makeSlot(t, { rank: `() => ${result}` }, {}, 64, [{ ...parallel, parallel: true }])
    await assert.rejects(bounded.ask(call(1)), withCode('MODULE_THREW', message))
  }
})

test('waiting requests do not hold up others', async t => {
  const { ask } = await makeSlot(t, { rank: 'x => x === "slow" ? new Promise(done => setTimeout(done, 100, "slow")) : x' })
  const order: string[] = []
  const note = (answer: string) => order.push(answer)
  await Promise.all([ask(call('"slow"')).then(note), ask(call('"quick"')).then(note)])
  assert.deepEqual(order, ['"quick"', '"slow"'])
})

test('a slot over its memory limit is killed and its callers get the reason', { timeout: 60_000 }, async t => {
  const { ask, killed } = await makeSlot(t, { rank: '() => { const all = []; for (;;) all.push({ a: [all.length] }) }' }, {}, 32)
  await assert.rejects(ask(call(1, 10_000)), withCode('MODULE_KILLED', /memory limit of 32 MB/))
  assert.equal(killed.length, 1)
})

test('each request has its own parameters, also when there are more combinations than a slot keeps', async t => {
  const { ask } = await makeSlot(t, { rank: '(x, ctx) => ctx.params.i' })
  const combinations = Array.from({ length: limits.slot.paramsKept + 10 }, (_, i) => i)
  for (const order of [combinations, combinations.toReversed()]) {
    const answers = await Promise.all(order.map(i => ask({ ...call(1), params: `{"i":${i}}` })))
    assert.deepEqual(answers, order.map(String))
  }
})

test('a rejection that nobody handles costs no answer, and is logged', { timeout: 60_000 }, async t => {
  const { ask, lines } = await makeSlot(t, { rank: 'x => { if (x === 1) Promise.reject(new Error("forgotten")); return x }' })
  assert.deepEqual(await Promise.all([ask(call(1)), ask(call(2)), ask(call(1)), ask(call(3))]), ['1', '2', '1', '3'])
  // The answers leave before V8 says what the turn has left behind.
  while (!lines.some(({ level, message }) => level === 'error' && /Unhandled rejection: .*forgotten/.test(message)))
    await new Promise(resolve => setImmediate(resolve))
})

test('a rejection that comes up when V8 looks at another one costs no answer either', { timeout: 60_000 }, async t => {
  const code = `x => {
    const error = new Error('first')
    Object.defineProperty(error, 'message', { get() { Promise.reject(new Error('second')); return 'first' } })
    if (x === 1) Promise.reject(error)
    return x
  }`
  const { ask, killed } = await makeSlot(t, { rank: code })
  assert.deepEqual(await Promise.all([1, 2, 1, 3].map(x => ask(call(x)))), ['1', '2', '1', '3'])
  assert.deepEqual(killed, [])
})

test('long answers of a turn leave the memory of the slot with it', { timeout: 60_000 }, async t => {
  const { ask, killed } = await makeSlot(t, { rank: 'x => "a".repeat(2 ** 21)' })
  const answers = await Promise.allSettled(Array.from({ length: 40 }, () => ask(call(1))))
  assert.deepEqual(killed, [])
  assert.ok(answers.every(({ status }) => status === 'fulfilled'))
})

test('when a turn comes to its end without some answers, the slot is killed, and those requests may run again', async () => {
  const blank = await makeBlank(64, new CodeCache(1e6))
  const plan: SlotPlan = { key: 'test/v1@64', scene: 'test', version: 'v1', memoryMB: 64, lock: [] }
  const killed = Promise.withResolvers<readonly Pending[]>()
  const never = () => assert.fail('asked for something else')
  const turn = { ...blank.inside.turn, apply: async () => [1, 0, '"fine"'] } as typeof blank.inside.turn
  const slot = await Slot.load(
    plan,
    { ...blank, inside: { ...blank.inside, turn } },
    {
      ...{ codeCache: new CodeCache(1e6), readBundle: never, servicesOf: () => ({}), callService: never, fetch: never, callScene: never },
      ...{ onLog: never, onRunning: () => undefined, onLost: never, onKilled: (_slot, _kill, survivors) => killed.resolve(survivors) },
    },
  )
  const [answered, lost] = [slot.call(call(1)), slot.call(call(2))]
  assert.equal((await answered).json, '"fine"')
  const survivors = await killed.promise
  assert.deepEqual(
    survivors.map(({ call: { body } }) => body),
    ['2'],
  )
  for (const { reject } of survivors) reject(new BerthError('MODULE_KILLED', 'nobody takes it over here'))
  await assert.rejects(lost, withCode('MODULE_KILLED'))
})

test('an answer does not wait for what goes on after an await in a request of the same turn', { timeout: 60_000 }, async t => {
  const { ask, killed } = await makeSlot(t, { rank: 'x => x === 1 ? x : Promise.resolve().then(() => { for (;;); })' })
  const looping = assert.rejects(ask(call(2, 200)), withCode('DEADLINE_EXCEEDED'))
  assert.equal(await ask(call(1)), '1')
  assert.equal(killed.length, 0)
  await looping
})

test('memory that runs out between turns is answered MODULE_KILLED', { timeout: 60_000 }, async t => {
  const { ask } = await makeSlot(
    t,
    { rank: 'async (x, ctx) => { await ctx.call("other", 1); const all = []; for (;;) all.push([all.length]) }' },
    { callScene: () => Promise.resolve('1') },
    32,
  )
  await assert.rejects(ask(call(1)), withCode('MODULE_KILLED', /memory limit of 32 MB/))
})

/** The answer of a slot in which the stage `rank` had no part. */
async function degradedAnswer(slot: Slot, body: unknown): Promise<string> {
  const { json, degraded } = await slot.call(call(body))
  assert.equal(degraded, 'rank')
  return json
}

// ── stages ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A slot with one stage `rank` of several modules, `a`, `b` …, and settings. */
async function makeStage(t: TestContext, modules: readonly string[], settings: Partial<LockedStage>, before = 'x => x') {
  const module = (name: string) => ({ name, version: '1.0.0', bundle: name })
  const codes: Record<string, string> = Object.fromEntries(modules.map((code, i) => [`m${i}`, `(() => ({ rank: ${code} }))()`]))
  codes.before = `(() => ({ before: ${before} }))()`
  codes.extra = '(() => ({ rank: x => ["extra", x] }))()'
  const stage = { stage: 'rank', modules: modules.map((_, i) => module(`m${i}`)), ...settings }
  const lock = [{ stage: 'before', modules: [module('before')] }, stage]
  return makeSlot(t, { rank: '' }, { readBundle: name => Promise.resolve(codes[name] ?? '') }, 64, lock)
}
const extra = { name: 'extra', version: '1.0.0', bundle: 'extra' }
const fails = '() => { throw new Error("down") }'
const late = 'x => new Promise(done => setTimeout(done, 2000, x))'

test('modules of a stage run one after the other', async t => {
  const { ask } = await makeStage(t, ['x => [...x, "a"]', 'async x => [...x, "b"]', 'x => [...x, "c"]'], {})
  assert.equal(await ask(call([])), '["a","b","c"]')
})

test('modules of a parallel stage run on one input, and their lists are joined', async t => {
  const { ask } = await makeStage(t, ['x => [...x, "a"]', 'async x => [...x, "b"]'], { parallel: true })
  assert.equal(await ask(call([1])), '[1,"a",1,"b"]')
})

test('a parallel stage may have a module that merges', async t => {
  const { ask } = await makeStage(t, ['x => 1', 'async x => 2'], { parallel: true, merge: extra })
  assert.equal(await ask(call([])), '["extra",[1,2]]')
})

test('results of a parallel stage that are no lists cannot be joined', async t => {
  const { ask } = await makeStage(t, ['x => x', 'x => ({})'], { parallel: true })
  await assert.rejects(ask(call([])), withCode('RESULT_NOT_LIST'))
})

test('a stage that fails is skipped if the scene says so: its input passes on, and the answer says it', async t => {
  for (const code of [fails, 'async () => { throw new Error("down") }', '() => undefined']) {
    const { slot, lines } = await makeStage(t, [code], { onFailure: 'skip' }, 'x => [1]')
    assert.deepEqual(await degradedAnswer(slot, []), '[1]')
    assert.match(lines[0]?.message ?? '', /^Stage "rank" failed \(skip\): /)
  }
})

test('of a parallel stage only the modules that failed are left out', async t => {
  const { slot } = await makeStage(t, [fails, 'x => [2]'], { parallel: true, onFailure: 'skip' })
  assert.deepEqual(await degradedAnswer(slot, []), '[2]')
})

test('a first stage that is skipped yields an empty list', async t => {
  const { slot } = await makeSlot(t, { rank: '' }, { readBundle: () => Promise.resolve(`(() => ({ rank: ${fails} }))()`) }, 64, [
    { stage: 'rank', modules: [extra], onFailure: 'skip' },
  ])
  assert.deepEqual(await degradedAnswer(slot, {}), '[]')
})

test('a fallback stands in: a value, or a module on the same input', async t => {
  const byValue = await makeStage(t, [fails], { onFailure: 'fallback', fallback: { value: { items: [] } } })
  assert.deepEqual(await degradedAnswer(byValue.slot, []), '{"items":[]}')
  const byModule = await makeStage(t, [fails], { onFailure: 'fallback', fallback: { module: extra } })
  assert.deepEqual(await degradedAnswer(byModule.slot, [7]), '["extra",[7]]')
})

test('a stage past its own deadline counts as failed, long before the request is', async t => {
  const { slot } = await makeStage(t, [late], { onFailure: 'skip', deadlineMs: 20 })
  assert.deepEqual(await degradedAnswer(slot, [1]), '[1]')
  const parallel = await makeStage(t, [late, 'x => [2]'], { parallel: true, onFailure: 'skip', deadlineMs: 20 })
  assert.deepEqual(await degradedAnswer(parallel.slot, [1]), '[2]')
  const strict = await makeStage(t, [late], { deadlineMs: 20 })
  await assert.rejects(strict.ask(call([1])), withCode('DEADLINE_EXCEEDED', /no result after 20 ms/))
})

test('ctx.call brings the answer of the other scene, or its error with the code', async t => {
  const calls: unknown[] = []
  const callScene: SlotHost['callScene'] = async (scene, input, caller) => {
    calls.push([scene, input, caller.requestId])
    if (scene === 'gone') throw new BerthError('SCENE_NOT_FOUND', 'no such scene')
    return '{"n":1}'
  }
  const { ask } = await makeSlot(
    t,
    { rank: '(x, ctx) => ctx.call(x, { q: 1 }).then(a => ({ a }), e => ({ code: e.code, message: e.message }))' },
    { callScene },
  )
  assert.equal(await ask(call('"there"')), '{"a":{"n":1}}')
  assert.equal(await ask(call('"gone"')), '{"code":"SCENE_NOT_FOUND","message":"no such scene"}')
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
  const { ask } = await makeSlot(t, { rank: '(x, ctx) => ctx.services.features.getMany("item", x)' }, { callService })
  assert.equal(await ask(call(['a'])), '[{"ctr":0.5}]')
  assert.deepEqual(asked, [['features', 'getMany', '["item",["a"]]']])
})

/** Another host, which answers everything. */
const answered = { head: '{"status":200,"statusText":"","headers":[],"url":"http://a.example/","redirected":false}', body: 'x' }

test('a fetch has the deadline and trace of its request while that is known, and the latest deadline of all afterwards', async t => {
  const asked: [string, number, boolean][] = []
  const fetch: SlotHost['fetch'] = async (_plan, { head }, { deadlineAt, trace }) => {
    asked.push([new URL(JSON.parse(head).url).pathname, deadlineAt, trace !== undefined])
    return answered
  }
  const rank = `async (x, ctx) => {
    await fetch('http://a.example/' + x + '/first')
    await fetch('http://a.example/' + x + '/global')
    await ctx.fetch('http://a.example/' + x + '/ctx')
    return 1
  }`
  const { ask } = await makeSlot(t, { rank }, { fetch })
  const trace = { parent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', state: undefined }
  const [soon, late] = [call('"soon"', 5000), call('"late"', 9000)].map(one => ({ ...one, trace })) as [SlotCall, SlotCall]
  await Promise.all([ask(soon), ask(late)])
  const of = (path: string) => asked.find(([found]) => found === path)?.slice(1)
  assert.deepEqual(of('/soon/first'), [soon.deadlineAt, true])
  assert.deepEqual(of('/late/first'), [late.deadlineAt, true])
  assert.deepEqual(of('/soon/global'), [late.deadlineAt, false])
  assert.deepEqual(of('/soon/ctx'), [soon.deadlineAt, true])
})

test('when nobody knows which request has changed something elsewhere, none of the slot runs again', async t => {
  const rank = `async method => {
    if (method === 'GET') return new Promise(() => {})
    await fetch('http://a.example/')
    await fetch('http://a.example/', { method })
    for (;;);
  }`
  for (const [method, again] of [
    ['POST', false],
    ['HEAD', true],
  ] as const) {
    const { ask, death, survivors } = await makeSlot(t, { rank }, { fetch: async () => answered })
    const outcomes = Promise.allSettled([ask({ ...call('"GET"'), cpuMs: 250 }), ask({ ...call(JSON.stringify(method)), cpuMs: 250 })])
    await death
    assert.equal(
      survivors.some(({ call: { body } }) => body === '"GET"'),
      again,
      method,
    )
    for (const { reject } of survivors) reject(new BerthError('MODULE_KILLED', 'not run again'))
    await outcomes
  }
})

test('a request cannot have more than 64 calls open', async t => {
  const callScene = () => new Promise<string>(() => undefined)
  const { ask } = await makeSlot(t, { rank: '(x, ctx) => Promise.all(Array.from({ length: 65 }, () => ctx.call("a", 1)))' }, { callScene })
  await assert.rejects(ask(call(1)), withCode('MODULE_THREW', /64 calls are open/))
})

test('a fetch is refused while the slot has 256 under way, also of requests that were answered, and made again when they are over', async t => {
  const open: (() => void)[] = []
  const fetch: SlotHost['fetch'] = () => new Promise(resolve => open.push(() => resolve(answered)))
  const leave = `(n, ctx) => { for (let i = 0; i < n; i++) ctx.fetch('http://a.example/'); return 1 }`
  const one = `(_, ctx) => ctx.fetch('http://a.example/').then(r => r.status, error => error.code)`
  const { ask } = await makeSlot(t, { rank: `(n, ctx) => n > 0 ? (${leave})(n, ctx) : (${one})(n, ctx)` }, { fetch })
  await Promise.all([64, 64, 64, 64].map(n => ask(call(n))))
  assert.equal(await ask(call(0)), '"FETCH_OVERLOADED"')
  assert.equal(open.length, 256)
  open.shift()?.()
  const next = ask(call(0))
  while (open.length < 256) await new Promise(resolve => setImmediate(resolve))
  for (const answer of open) answer()
  assert.equal(await next, '200')
})

test('calls are answered however many requests make them at the same moment', { timeout: 60_000 }, async t => {
  const requests = 256
  const rank = `async (_, ctx) => {
    waiting.push(Promise.withResolvers())
    if (waiting.length === ${requests}) for (const { resolve } of waiting) resolve()
    await waiting.at(-1).promise
    return (await Promise.all(Array.from({ length: 64 }, (_, i) => ctx.services.features.getMany('item', [i])))).length
  }`
  const { ask } = await makeSlot(t, { rank: `(() => { const waiting = []; return ${rank} })()` }, { callService: async () => '[]' })
  const answers = await Promise.all(Array.from({ length: requests }, () => ask(call(1))))
  assert.deepEqual(new Set(answers), new Set(['64']))
})

test('an answer of a service that is no JSON costs no other call its answer', async t => {
  const callService: SlotHost['callService'] = async (_service, _method, args) => (args.includes('bad') ? '{bad' : '[1]')
  const { ask } = await makeSlot(
    t,
    { rank: `(keys, ctx) => Promise.all(keys.map(key => ctx.services.features.getMany('item', [key]).catch(error => error.name)))` },
    { callService },
  )
  assert.equal(await ask(call(['bad', 'good'])), '["SyntaxError",[1]]')
})

test('log lines name their module and carry fields and stacks', async t => {
  const { ask, lines } = await makeSlot(t, {
    rank: '(x, ctx) => { ctx.log.info("ranked", { n: 2 }); ctx.log.error("bad", new Error("why")); console.warn("seen", { a: 1 }); return x }',
  })
  await ask(call(1))
  const byLevel = Object.fromEntries(lines.map(line => [line.level, line]))
  assert.deepEqual(byLevel.info, { level: 'info', module: 'm-rank@1.0.0', message: 'ranked', fields: '{"n":2}' })
  assert.match(byLevel.error?.stack ?? '', /Error: why\n +at rank \(berth:\/\/\/m-rank@1\.0\.0\.js:1:\d+\)/)
  assert.equal(byLevel.warn?.message, 'seen {"a":1}')
})

test('a flood of log lines is cut, and the next line says how many are missing', async t => {
  const { ask, lines } = await makeSlot(t, {
    rank: '(x, ctx) => { for (let i = 0; i < 1000; i++) ctx.log.info("line"); const second = () => Math.floor(performance.now() / 1000); const s = second(); while (second() === s); ctx.log.info("next second"); return x }',
  })
  await ask(call(1, 5000))
  const last = lines.at(-1)
  assert.equal(last?.message, 'next second')
  // The second may turn while the first thousand are written. Then up to 400 of them are kept.
  assert.equal(lines.length - 1 + (last?.dropped ?? 0) + lines.slice(0, -1).reduce((sum, line) => sum + (line.dropped ?? 0), 0), 1000)
  assert.ok(lines.length <= 401)
})

/** A clock that is set for the slot and its host alike: `set` puts it so many milliseconds ahead of that of the machine. */
function settableClock(t: TestContext): { staging: Staging; set(aheadMs: number): void } {
  const ahead = new Float64Array(new SharedArrayBuffer(8))
  const clock = new SlotClock({ monotonic: () => performance.now(), wall: () => Date.now() + (ahead[0] ?? 0) })
  const ticks = setInterval(() => clock.write(), limits.slot.watchdogTickMs)
  t.after(() => clearInterval(ticks))
  const prepare: Staging['prepare'] = async (_, context) => {
    const memory = new ivm.ExternalCopy(ahead.buffer).copyInto()
    await context.evalClosure('const { now } = Date; const ahead = new Float64Array($0); Date.now = () => now() + ahead[0]', [memory])
  }
  return { staging: { seed: undefined, clock, prepare }, set: aheadMs => void ahead.fill(aheadMs) }
}

test('timers, durations and deadlines do not depend on the wall clock, which is set while an interval is open', async t => {
  const { staging, set } = settableClock(t)
  const stages = {
    rank: `(() => {
      setInterval(() => {}, 20_000)
      return async (_, ctx) => {
        const startedAt = performance.now()
        await new Promise(done => setTimeout(done, 20))
        return { date: Date.now(), tookMs: performance.now() - startedAt, leftMs: ctx.deadlineMs() }
      }
    })()`,
  }
  const { ask } = await makeSlot(t, stages, {}, 64, undefined, staging)
  for (const aheadMs of [0, 120_000, -3_600_000, 86_400_000]) {
    set(aheadMs)
    const startedAt = performance.now()
    const { date, tookMs, leftMs } = JSON.parse(await ask(call({}))) as Record<'date' | 'tookMs' | 'leftMs', number>
    const passedMs = performance.now() - startedAt
    assert.ok(Math.abs(date - Date.now() - aheadMs) < 60_000, `the date is off by ${date - Date.now() - aheadMs} ms`)
    // The code inside may have read its clock between the step and the next writing of the cell.
    assert.ok(tookMs >= 0 && tookMs <= passedMs + 501, `it says that it took ${tookMs} of ${passedMs} ms`)
    assert.ok(Math.abs(10_000 - leftMs - passedMs) <= passedMs + 501, `${leftMs} ms are left after ${passedMs} of 10,000`)
  }
})

test('code that waits in a loop until some milliseconds have passed comes to an end when the wall clock is set back', async t => {
  const { staging, set } = settableClock(t)
  const rank = '() => { console.log("begun"); const until = performance.now() + 60; while (performance.now() < until); return "done" }'
  const begun = Promise.withResolvers<void>()
  const { ask } = await makeSlot(t, { rank }, { onLog: () => begun.resolve() }, 64, undefined, staging)
  const answer = ask(call({}))
  await begun.promise
  set(-3_600_000)
  assert.equal(await answer, '"done"')
})

test('nothing ambient is in reach of a module', async t => {
  const names = ['process', 'require', 'module', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'install', 'post', '_ivm', 'ivm']
  const { ask } = await makeSlot(t, { rank: `() => ${JSON.stringify(names)}.filter(name => name in globalThis)` })
  assert.equal(await ask(call(1)), '[]')
})

test('a module may give built-ins and globals the values that they have, as polyfills do while they are loaded', async t => {
  const rank = `(() => {
    'use strict'
    globalThis.Promise = globalThis.Promise || null
    Array.prototype.includes = Array.prototype.includes
    Number.isFinite = Number.isFinite
    for (const name of ['Map', 'Symbol', 'parseInt', 'Uint8Array', 'URL']) globalThis[name] = globalThis[name]
    return () => 'done'
  })()`
  const { ask } = await makeSlot(t, { rank })
  assert.equal(await ask(call({})), '"done"')
})

test('what a request changes of the built-ins that stay writable, the next one finds as it was', async t => {
  const rank = `input => {
    const before = [[...[1, 2]].length, [].constructor === Array]
    if (input.spoil) {
      Array.prototype.constructor = () => 'spoilt'
      Array.prototype[Symbol.iterator] = Object.getPrototypeOf([].values()).next = () => { throw new Error('spoilt') }
    }
    return before
  }`
  const { ask, lines } = await makeSlot(t, { rank })
  const answers = [await ask(call({ spoil: true })), await ask(call({})), await ask(call({ spoil: true })), await ask(call({}))]
  assert.deepEqual(answers, Array(4).fill('[2,true]'))
  assert.match(JSON.stringify(lines), /Array\.prototype\.constructor/)
})

for (const [what, bundle, code] of [
  ['exports nothing', '(() => ({}))()', 'MODULE_EXPORTS_NOTHING'],
  ['is no object', '42', 'MODULE_EXPORTS_NOTHING'],
  ['lacks the stage', '(() => ({ other: () => 1 }))()', 'MODULE_EXPORT_MISSING'],
  ['exports a non-function', '(() => ({ rank: 42 }))()', 'MODULE_EXPORT_NOT_FUNCTION'],
  ['throws at load', '(() => { throw new Error("no table") })()', 'MODULE_LOAD_THREW'],
  ['replaces a global at load', '(() => { globalThis.Promise = class {}; return { rank: () => 1 } })()', 'MODULE_CHANGES_BUILTINS'],
  [
    'replaces the iterator of arrays at load',
    '(() => { Array.prototype[Symbol.iterator] = () => 1; return { rank: () => 1 } })()',
    'MODULE_CHANGES_BUILTINS',
  ],
  ['awaits at load', 'await 1; (() => ({ rank: 1 }))()', 'MODULE_LOAD_AWAITS'],
  ['is not a script', 'export const rank = 1', 'BUNDLE_INVALID'],
  ['never ends loading', '(() => { for (;;); })()', 'MODULE_LOAD_KILLED'],
  ['needs too much memory to load', '(() => { const a = []; for (;;) a.push([a.length]); })()', 'MODULE_LOAD_KILLED'],
] as const) {
  test(`a bundle that ${what} is refused with ${code}`, { timeout: 60_000 }, async t => {
    await assert.rejects(
      makeSlot(t, { rank: '1' }, { readBundle: () => Promise.resolve(bundle) }),
      withCode(code, /Cannot load module "m-rank@1.0.0"/),
    )
  })
}

test('when a slot ends while it parses a large body, that body is to blame; one with a small body runs again', async () => {
  for (const [chars, blame] of [
    [limits.slot.bodySuspectChars + 1, 'caller'],
    [10, 'module'],
  ] as const) {
    const blank = await makeBlank(64, new CodeCache(1e6))
    const plan: SlotPlan = { key: 'test/v1@64', scene: 'test', version: 'v1', memoryMB: 64, lock: [] }
    const never = () => assert.fail('nothing was asked of it')
    const killed = Promise.withResolvers<{ readonly whose: string; readonly survivors: number }>()
    const slot = await Slot.load(plan, blank, {
      codeCache: new CodeCache(1e6),
      readBundle: never,
      servicesOf: () => ({}),
      callService: never,
      callScene: never,
      fetch: never,
      onLog: never,
      onKilled: (_slot, { blame: whose }, survivors) => killed.resolve({ whose, survivors: survivors.length }),
      onRunning: (running, isRunning) => {
        if (!isRunning) return
        // Then the isolate has the turn, and what it posts comes later still.
        queueMicrotask(() => {
          blank.cursor[CURSOR.reading] = 1
          running.kill('over its memory limit')
        })
      },
      onLost: never,
    })
    const answer = slot.call(call('x'.repeat(chars)))
    if (blame === 'caller') await assert.rejects(answer, withCode('BODY_TOO_LARGE'))
    assert.deepEqual(await killed.promise, { whose: blame, survivors: blame === 'caller' ? 0 : 1 })
  }
})
