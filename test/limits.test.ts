/** The limits of a scene, as its callers and whoever runs the base meet them. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SceneDefinition } from '../base/traffic/schema.ts'
import { callScene, launchBase, makeScene, type RunningBase, startBase, until } from './support/base.ts'
import { startLoad } from './support/load.ts'

const RPS = 50
const BURST = 20
const CONCURRENCY = 5

/** A base of one cell, which enforces the whole limits. */
let one: RunningBase
/** A base of two cells, which share the limits. */
let two: RunningBase

const traffic = (settings: Partial<SceneDefinition['traffic']>): Pick<SceneDefinition, 'traffic'> => ({
  traffic: { unit: { header: 'x-unit-id' }, deadlineMs: 5000, spec: { memoryMB: 64 }, ...settings },
})

before(async () => {
  ;[one, two] = await Promise.all([launchBase({ cells: 1 }), launchBase({ cells: 2 })])
  await makeScene(one.client, 'steady', { rank: 'x => x' })
})
after(() => Promise.all([one.kill(), two.kill()]))

interface Outcome {
  readonly status: number
  readonly code: string | undefined
  readonly retryAfter: number
}

async function ask(base: RunningBase, scene: string, body: unknown = 1, headers: Record<string, string> = {}): Promise<Outcome> {
  const response = await callScene(base, scene, body, headers)
  const answer = (await response.json()) as { code?: string } | number
  return {
    status: response.status,
    code: typeof answer === 'object' ? answer.code : undefined,
    retryAfter: Number(response.headers.get('retry-after')),
  }
}

const metric = async (base: RunningBase, series: string): Promise<number> => {
  const text = await (await fetch(`${base.controlUrl}/metrics`)).text()
  const line = text.split('\n').find(candidate => candidate.startsWith(`${series} `))
  return line === undefined ? 0 : Number(line.slice(series.length + 1))
}

/** How often each of two cells has refused requests of the scene. */
const refusals = (scene: string, code: string): Promise<number[]> =>
  Promise.all([1, 2].map(cell => metric(two, `berth_requests_total{scene="${scene}",version="",code="${code}",cell="${cell}"}`)))

async function change(base: RunningBase, scene: string, settings: Partial<SceneDefinition['traffic']>): Promise<void> {
  const { definition, revision } = await base.client.scene(scene)
  await base.client.putScene({ ...definition, ...traffic(settings) }, revision)
}

test('two cells together let in the rate of the scene and its burst, and no more', { timeout: 60_000 }, async () => {
  await makeScene(two.client, 'rated', { rank: 'x => x' }, traffic({ rateLimit: { rps: RPS, burst: BURST } }))
  const enough = Promise.withResolvers<void>()
  let admitted = 0
  const start = performance.now()
  const load = startLoad(`${two.url}/scenes/rated`, 8, false, () => {
    if (++admitted >= BURST + RPS) enough.resolve()
    return true
  })
  await enough.promise
  // Which cell a connection comes to is up to the kernel.
  await until(async () => (await refusals('rated', 'RATE_LIMITED')).every(count => count > 0))
  const { answered, refused, broken } = await load.stop()
  const seconds = (performance.now() - start) / 1000
  assert.ok(answered <= BURST + RPS * seconds, `${answered} in ${seconds} s`)
  assert.deepEqual(broken, [])
  assert.ok(refused.length > 0)
  for (const refusal of refused) assert.match(refusal, /^429 .*"code":"RATE_LIMITED"/)
})

test('two cells together have as many requests of a scene under way as it may, exactly', { timeout: 60_000 }, async () => {
  const held = 'x => x.hold ? new Promise(() => {}) : 1'
  await makeScene(two.client, 'held', { rank: held }, traffic({ maxConcurrency: CONCURRENCY, deadlineMs: 10_000 }))
  const outcomes: Promise<Outcome>[] = []
  // The kernel decides which cell a connection comes to, so requests are sent until each cell has more than its share.
  do {
    const wave = Array.from({ length: 12 }, () => ask(two, 'held', { hold: true }))
    outcomes.push(...wave)
    await Promise.race(wave)
  } while ((await refusals('held', 'SCENE_OVERLOADED')).some(count => count === 0))
  const all = await Promise.all(outcomes)
  assert.equal(all.filter(({ code }) => code === 'DEADLINE_EXCEEDED').length, CONCURRENCY)
  const rest = all.filter(({ code }) => code !== 'DEADLINE_EXCEEDED')
  for (const outcome of rest) assert.deepEqual(outcome, { status: 503, code: 'SCENE_OVERLOADED', retryAfter: 1 })
  // The places of these requests are free again.
  assert.equal((await ask(two, 'held', { hold: false })).status, 200)
})

test('a table changes limits while requests come, and other scenes notice nothing of either', { timeout: 60_000 }, async () => {
  await makeScene(one.client, 'live', { rank: 'x => x' }, traffic({ rateLimit: { rps: 0.01, burst: 1 } }))
  assert.equal((await ask(one, 'live')).status, 200)
  const limited = await ask(one, 'live')
  assert.deepEqual([limited.status, limited.code], [429, 'RATE_LIMITED'])
  assert.ok(limited.retryAfter > 90 && limited.retryAfter <= 100, String(limited.retryAfter))
  assert.equal((await ask(one, 'steady')).status, 200)
  await change(one, 'live', { rateLimit: { rps: 1_000_000 } })
  for (let i = 0; i < 10; i++) assert.equal((await ask(one, 'live')).status, 200)
  await change(one, 'live', {})
  for (let i = 0; i < 10; i++) assert.equal((await ask(one, 'live')).status, 200)
})

const breaker = { enabled: true, failureRatio: 0.5, minRequests: 4, windowMs: 60_000, probes: 1 }
const fails = { rank: 'x => { if (x.bad) throw new Error("broken"); return 1 }' }

test('a version that fails is left alone for a while', { timeout: 60_000 }, async () => {
  await makeScene(one.client, 'fragile', fails, traffic({ breaker: { ...breaker, openMs: 60_000 } }))
  for (let i = 0; i < 8; i++) assert.equal((await ask(one, 'fragile', '{')).code, 'BODY_MALFORMED')
  for (let i = 0; i < 4; i++) assert.equal((await ask(one, 'fragile', { bad: true })).code, 'MODULE_THREW')
  const refused = await ask(one, 'fragile', { bad: false })
  assert.deepEqual([refused.status, refused.code], [503, 'BREAKER_OPEN'])
  assert.ok(refused.retryAfter > 0 && refused.retryAfter <= 60, String(refused.retryAfter))
  const pinned = await ask(one, 'fragile', { bad: true }, { 'x-scene-version': 'v1', authorization: `Bearer ${one.token}` })
  assert.equal(pinned.code, 'MODULE_THREW')
  assert.equal((await ask(one, 'steady')).status, 200)
  assert.equal(await metric(one, 'berth_breaker_state{scene="fragile",version="v1",cell="1"}'), 2)
})

test('a version that was left alone is tried, then served again', { timeout: 60_000 }, async () => {
  await makeScene(one.client, 'mended', fails, traffic({ breaker: { ...breaker, openMs: 10 } }))
  for (let i = 0; i < 4; i++) assert.equal((await ask(one, 'mended', { bad: true })).code, 'MODULE_THREW')
  let outcome: Outcome
  do outcome = await ask(one, 'mended', { bad: false })
  while (outcome.code === 'BREAKER_OPEN')
  assert.equal(outcome.status, 200)
  assert.equal(await metric(one, 'berth_breaker_state{scene="mended",version="v1",cell="1"}'), 0)
  const changes = one.log.filter(({ msg, scene }) => msg === 'breaker changed' && scene === 'mended').map(line => line.state)
  assert.deepEqual(changes, ['open', 'halfOpen', 'closed'])
})

test('a scene that has used up its cores is refused until it may use more, and others are served', { timeout: 60_000 }, async () => {
  const loop = 'n => { let sum = 0; for (let i = 0; i < n; i++) sum += Math.sqrt(i); return 1 }'
  await makeScene(one.client, 'greedy', { rank: loop }, traffic({ spec: { memoryMB: 64, cpu: 0.02 } }))
  const until = async (status: number): Promise<Outcome> => {
    for (;;) {
      const outcome = await ask(one, 'greedy', 5_000_000)
      if (outcome.status === status) return outcome
    }
  }
  const refused = await until(503)
  assert.equal(refused.code, 'SCENE_OVERLOADED')
  assert.ok(refused.retryAfter >= 1)
  assert.equal((await ask(one, 'steady')).status, 200)
  assert.equal((await fetch(`${one.url}/healthz`)).status, 200)
  assert.equal((await until(200)).status, 200)
})

test('an interval that requests have left behind ends its slot, and the log says for what and where', { timeout: 60_000 }, async () => {
  const burn = 'const end = performance.now() + 40; while (performance.now() < end);'
  await makeScene(one.client, 'left', { rank: `x => { if (x === 1) setInterval(() => { ${burn} }, 1); return x }` }, traffic({}))
  const seen = one.log.length
  assert.equal((await ask(one, 'left')).status, 200)
  const { reason, stage, module } = await one.logged(({ msg, scene }) => msg === 'slot killed' && scene === 'left', seen)
  assert.match(String(reason), /CPU a second outside of requests/)
  assert.deepEqual([stage, module], ['rank', 'm-left@1.0.0'])
  assert.equal((await ask(one, 'left', 2)).status, 200)
})

test('a request that is killed for its CPU is answered with the stage and the module that used it', { timeout: 60_000 }, async () => {
  await makeScene(one.client, 'loops', { recall: 'x => x', rank: 'x => { for (;;); }' }, traffic({ cpuMs: 50 }))
  const response = await callScene(one, 'loops', 1)
  const { code, stage, module, detail } = (await response.json()) as Record<string, string>
  assert.deepEqual([response.status, code, stage, module], [503, 'MODULE_KILLED', 'rank', 'm-loops@1.0.0'])
  assert.match(detail ?? '', /used more than 50 ms of CPU, in stage "rank" of module "m-loops@1.0.0"$/)
})

test('a module that takes all the memory of its cell costs its slot, not the cell with the request of a neighbour', {
  timeout: 60_000,
}, async t => {
  const base = await startBase(t, { cells: 1, args: ['--cell-memory-mb', '256'] })
  const { pid } = (await base.client.status()).cells[0] ?? {}
  // Such objects have their memory outside of the heap, so no limit of the isolate covers it.
  const grow = '() => { const all = []; for (;;) all.push(new Intl.DateTimeFormat("en", { timeZone: "Asia/Tokyo" })) }'
  await makeScene(base.client, 'grow', { rank: grow }, traffic({ deadlineMs: 10_000, cpuMs: 10_000 }))
  await makeScene(
    base.client,
    'calm',
    { rank: 'x => new Promise(done => { console.log("begun"); setTimeout(done, 3000, x) })' },
    traffic({}),
  )
  const calm = callScene(base, 'calm', 1)
  await base.logged(line => line.msg === 'begun')
  const killed = (await (await callScene(base, 'grow', 1)).json()) as Record<string, string>
  assert.equal(killed.code, 'MODULE_KILLED')
  assert.match(killed.detail ?? '', /its cell uses \d+ of 256 MB, and it had taken \d+ MB of them in one go, in stage "rank"/)
  assert.equal(await (await calm).json(), 1)
  assert.equal((await base.client.status()).cells[0]?.pid, pid)
})

test('limits that cannot be are refused with the place of the fault', async () => {
  const { definition, revision } = await one.client.scene('steady')
  for (const [settings, where] of [
    [{ maxConcurrency: 0 }, /\/traffic\/maxConcurrency/],
    [{ rateLimit: { rps: 0 } }, /\/traffic\/rateLimit\/rps/],
    [{ spec: { memoryMB: 64, cpu: -1 } }, /\/traffic\/spec\/cpu/],
    [{ priority: 101 }, /\/traffic\/priority/],
  ] as const) {
    await assert.rejects(one.client.putScene({ ...definition, ...traffic(settings) }, revision), where)
  }
})
