import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BerthError, type ErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { BreakerState } from '../traffic/admission.ts'
import { compileTable, type Scene } from '../traffic/scene.ts'
import type { SceneDefinition } from '../traffic/schema.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { Admission, type Metered, type Permit } from './scene-admission.ts'

type Traffic = Partial<SceneDefinition['traffic']>

const table = (traffic: Traffic, id = 's') => {
  const base = { unit: { header: 'x-unit-id' }, deadlineMs: 1000, spec: { memoryMB: 64 } }
  const definition = { id, group: [], traffic: { ...base, ...traffic }, params: {}, access: 'public' as const }
  const versions = ['v1', 'v2'].map(version => ({ id: version, lock: [] }))
  return compileTable({ format: 1, revision: 1, scenes: [{ revision: 1, definition, baseline: 'v1', versions }], tokens: [] })
}
const scene = (traffic: Traffic, id = 's'): Scene => table(traffic, id).scenes.get(id) as Scene

const BYTES = 1000

/** A clock and slots that change only when a test changes them. */
class Bench {
  time = 1000
  readonly changes: string[] = []
  slot: { -readonly [Member in keyof Metered]: Metered[Member] } | undefined
  readonly admission: Admission

  constructor(cells = 1, cell = 1) {
    this.admission = new Admission({
      cell,
      cells,
      bytesMax: BYTES,
      peek: () => this.slot,
      onBreaker: (id, version, state: BreakerState) => this.changes.push(`${id} ${version} ${state}`),
      now: () => this.time,
    })
  }

  load(plan: SlotPlan | undefined): void {
    assert.ok(plan)
    this.slot = { plan, cpuNs: 0n, backlogMs: 0, waitMs: 0 }
  }

  /** How many requests get in before one is refused. */
  fill(of: Scene): number {
    for (let admitted = 0; ; admitted++) if (refusalOf(() => this.admission.admit(of)) !== undefined) return admitted
  }
}

function refusalOf(step: () => unknown): BerthError | undefined {
  try {
    step()
    return undefined
  } catch (error) {
    assert.ok(error instanceof BerthError)
    return error
  }
}

/** Sends one request, which gets as far as it may and ends as `code` says. Returns the code of what refused it. */
function request({ admission, slot }: Bench, of: Scene, code?: ErrorCode, because: 'baseline' | 'pin' = 'baseline'): ErrorCode | undefined {
  let permit: Permit | undefined
  const refusal = refusalOf(() => {
    permit = admission.admit(of)
    assert.ok(of.baseline)
    permit.pass({ plan: of.baseline, because })
    if (slot !== undefined) permit.use(slot, performance.now() + 1e9)
  })
  permit?.leave(refusal ?? (code && new BerthError(code, 'as the test says')))
  return refusal?.code
}

test('as many requests are under way as the share of the cell, and one that leaves makes room', () => {
  const bench = new Bench(2, 1)
  const five = scene({ maxConcurrency: 5 })
  const first = bench.admission.admit(five)
  assert.equal(bench.fill(five), 2)
  assert.equal(refusalOf(() => bench.admission.admit(five))?.code, 'SCENE_OVERLOADED')
  first.leave(undefined)
  assert.equal(bench.fill(five), 1)
})

test('when the other cells go, this one takes over their share', () => {
  const bench = new Bench(2, 1)
  const ten = scene({ maxConcurrency: 10, rateLimit: { rps: 10, burst: 1000 } })
  assert.equal(bench.fill(ten), 5)
  bench.admission.share(1)
  assert.equal(bench.fill(ten), 5)
  bench.admission.share(3)
  assert.equal(bench.fill(ten), 0)
})

test('a new table changes limits at once, and does not give back what has been used', () => {
  const bench = new Bench()
  assert.equal(bench.fill(scene({ rateLimit: { rps: 10, burst: 10 } })), 10)
  assert.equal(bench.fill(scene({ rateLimit: { rps: 10, burst: 100 } })), 0)
  assert.equal(bench.fill(scene({ rateLimit: { rps: 10, burst: 100 }, maxConcurrency: 5 })), 0)
  bench.time += 1000
  assert.equal(bench.fill(scene({ rateLimit: { rps: 10, burst: 100 } })), 10)
  assert.equal(bench.fill(scene({})), limits.scene.concurrency - 20)
})

test('RATE_LIMITED says when to come again, and a request refused for its concurrency costs no token', () => {
  const bench = new Bench()
  const slow = scene({ rateLimit: { rps: 0.1, burst: 2 }, maxConcurrency: 1 })
  const permit = bench.admission.admit(slow)
  for (let i = 0; i < 5; i++) assert.equal(refusalOf(() => bench.admission.admit(slow))?.code, 'SCENE_OVERLOADED')
  permit.leave(undefined)
  bench.admission.admit(slow).leave(undefined)
  const refusal = refusalOf(() => bench.admission.admit(slow))
  assert.deepEqual([refusal?.code, refusal?.status, refusal?.retryAfterSeconds], ['RATE_LIMITED', 429, 10])
})

test('one scene at its limit takes nothing from another', () => {
  const bench = new Bench()
  assert.equal(bench.fill(scene({ maxConcurrency: 3 }, 'a')), 3)
  assert.equal(bench.fill(scene({ maxConcurrency: 3 }, 'b')), 3)
})

test('a scene that has used its cores is refused until the time has come for more', () => {
  const bench = new Bench(2)
  const half = scene({ spec: { memoryMB: 64, cpu: 0.5 } })
  bench.load(half.baseline)
  assert.equal(request(bench, half), undefined)
  // The share of this cell is a quarter of a second in each second: 650 ms are its budget and 400 ms of debt.
  if (bench.slot !== undefined) bench.slot.cpuNs = 650_000_000n
  const refusal = refusalOf(() => bench.admission.admit(half))
  assert.deepEqual([refusal?.code, refusal?.retryAfterSeconds], ['SCENE_OVERLOADED', 2])
  bench.time += 1600
  assert.equal(request(bench, half), 'SCENE_OVERLOADED')
  bench.time += 1
  assert.equal(request(bench, half), undefined)
})

test('what requests under way are expected to use counts as used, and a killed slot is charged for what it used', () => {
  const bench = new Bench()
  const one = scene({ spec: { memoryMB: 64, cpu: 1 } })
  bench.load(one.baseline)
  request(bench, one)
  const first = bench.slot
  assert.ok(first)
  first.backlogMs = 1000
  assert.equal(request(bench, one), 'SCENE_OVERLOADED')
  first.backlogMs = 0
  first.cpuNs = 1_500_000_000n
  bench.load(one.baseline)
  assert.equal(request(bench, one), 'SCENE_OVERLOADED')
  bench.time += 501
  assert.equal(request(bench, one), undefined)
})

/** Sends a scene more than it may do for so many seconds, and runs it a millisecond at a time. @returns milliseconds of CPU that it used in each second */
function overload(cpu: number, costMs: number, seconds: number): number {
  const bench = new Bench()
  const busy = scene({ spec: { memoryMB: 64, cpu }, maxConcurrency: 1000 })
  bench.load(busy.baseline)
  const { slot, admission } = bench
  assert.ok(slot)
  const queue: { readonly permit: Permit; leftMs: number }[] = []
  let usedMs = 0
  for (let ms = 0; ms < seconds * 1000; ms++) {
    bench.time++
    slot.backlogMs = queue.length * costMs
    refusalOf(() => {
      const permit = admission.admit(busy)
      permit.use(slot, bench.time + 1e9)
      queue.push({ permit, leftMs: costMs })
    })
    const [first] = queue
    if (first === undefined) continue
    slot.cpuNs += 1_000_000n
    usedMs++
    if (--first.leftMs === 0) queue.shift()?.permit.leave(undefined)
  }
  return usedMs / seconds
}

test('under more load than its cores can take, a scene gets its cores: estimates of what waits charge it nothing', () => {
  for (const [cpu, costMs] of [
    [0.5, 1],
    [0.5, 20],
    [0.5, 200],
    [0.05, 5],
    [0.9, 50],
  ] as const) {
    const used = overload(cpu, costMs, 60)
    // The first second may be used up at once, and one request may overdraw.
    assert.ok(used >= cpu * 1000 * 0.95 && used <= cpu * 1000 * 1.05, `${used} ms of ${cpu * 1000} with requests of ${costMs} ms`)
  }
})

test('a request that would wait for its slot beyond its deadline is refused at once', () => {
  const bench = new Bench()
  const plain = scene({})
  bench.load(plain.baseline)
  assert.ok(bench.slot)
  const permit = bench.admission.admit(plain)
  bench.slot.waitMs = 3000
  const slot = bench.slot
  const refusal = refusalOf(() => permit.use(slot, bench.time + 1000))
  assert.deepEqual([refusal?.code, refusal?.retryAfterSeconds], ['SCENE_OVERLOADED', 3])
  permit.use(slot, bench.time + 10_000)
})

/** How many requests find a place before one is refused. */
function fillPlaces({ admission }: Bench, of: Scene): number {
  for (let entered = 0; ; entered++) if (refusalOf(() => admission.enter(of)) !== undefined) return entered
}

test('a scene takes no more places than it leaves for others, and priority says of how many', () => {
  const { placesMax, placesReserved } = limits.cell
  for (const [priority, size] of [
    [0, placesMax / 2],
    [50, (placesMax * 3) / 4],
    [100, placesMax],
  ] as const) {
    const bench = new Bench()
    assert.equal(fillPlaces(bench, scene({ priority })), size / 2)
    assert.equal(fillPlaces(bench, scene({ priority }, 'b')), size / 4)
    assert.equal(fillPlaces(bench, scene({ priority: 0 }, 'c')), priority === 0 ? size / 8 : placesReserved)
  }
})

test('many scenes that take all they can leave places for one that comes new', () => {
  const bench = new Bench()
  for (let i = 0; i < 50; i++) fillPlaces(bench, scene({}, `bad-${i}`))
  for (let i = 0; i < 50; i++) fillPlaces(bench, scene({}, `bad-${i}`))
  for (let i = 0; i < 10; i++) assert.ok(fillPlaces(bench, scene({}, `good-${i}`)) >= limits.cell.placesReserved)
})

test('requests for scenes that do not exist take the places of one scene together, and places that are given back are free', () => {
  const bench = new Bench()
  const taken = fillPlaces(bench, scene({}))
  const strangers: string[] = []
  while (refusalOf(() => strangers.push(bench.admission.enter(undefined))) === undefined);
  assert.equal(strangers.length, taken / 2)
  for (const name of strangers) bench.admission.exit(name, 0)
  for (let i = 0; i < taken; i++) bench.admission.exit('s', 0)
  assert.equal(fillPlaces(bench, scene({}, 'b')), taken)
})

test('a scene whose bodies and answers wait in the cell is refused before it brings more, and others are not', () => {
  const { admission } = new Bench()
  const [large, other] = [scene({}, 'large'), scene({}, 'other')]
  const name = admission.enter(large)
  admission.hold(name, BYTES / 2)
  assert.match(String(refusalOf(() => admission.hold(name, 1))?.message), /"large"/)
  assert.equal(refusalOf(() => admission.enter(large))?.code, 'SCENE_OVERLOADED')
  admission.hold(admission.enter(other), BYTES / 4)
  admission.exit(name, BYTES / 2)
  admission.hold(admission.enter(large), 1)
})

const from = (id: string) => ({ from: id, bytes: 0 })

/** How many calls of another scene get in before one is refused. */
function fillInside({ admission }: Bench, of: Scene, caller: string): number {
  for (let admitted = 0; ; admitted++) if (refusalOf(() => admission.admit(of, from(caller))) !== undefined) return admitted
}

test('calls from other scenes leave a quarter of the places of a scene to callers from outside, and each caller leaves some to the next', () => {
  const bench = new Bench()
  const callee = scene({ maxConcurrency: 64 })
  assert.equal(fillInside(bench, callee, 'flood'), 36)
  assert.equal(fillInside(bench, callee, 'flood-2'), 9)
  assert.ok(fillInside(bench, callee, 'quiet') > 0)
  assert.ok(bench.fill(callee) >= 16)
  const one = scene({ maxConcurrency: 1 }, 'one')
  bench.admission.admit(one, from('flood')).leave(undefined)
  assert.equal(bench.fill(one), 1)
})

test('calls from other scenes leave a quarter of the burst and of the saved CPU of a scene to callers from outside', () => {
  const bench = new Bench()
  const rated = scene({ rateLimit: { rps: 1, burst: 20 } })
  assert.equal(fillInside(bench, rated, 'a'), 15)
  assert.equal(bench.fill(rated), 5)
  const scarce = scene({ rateLimit: { rps: 0.1, burst: 1 } }, 'scarce')
  bench.admission.admit(scarce, from('a'))
  const cpu = scene({ spec: { memoryMB: 64, cpu: 1 } }, 'cpu')
  bench.load(cpu.baseline)
  request(bench, cpu)
  if (bench.slot !== undefined) bench.slot.cpuNs = 800_000_000n
  assert.equal(fillInside(bench, cpu, 'a'), 0)
  assert.equal(request(bench, cpu), undefined)
})

const breaker = { enabled: true, failureRatio: 0.5, minRequests: 4, windowMs: 10_000, openMs: 5000, probes: 1 }

test('a version that fails opens its breaker; pins pass it, other versions and scenes have their own', () => {
  const bench = new Bench()
  const failing = scene({ breaker })
  bench.load(failing.baseline)
  for (let i = 0; i < 4; i++) assert.equal(request(bench, failing, 'MODULE_THREW'), undefined)
  assert.equal(request(bench, failing), 'BREAKER_OPEN')
  assert.equal(request(bench, failing, undefined, 'pin'), undefined)
  const v2 = failing.versions.get('v2')
  assert.equal(request(bench, { ...failing, baseline: v2 }), undefined)
  assert.equal(request(bench, scene({ breaker }, 'other')), undefined)
  bench.time += 5000
  assert.equal(request(bench, failing), undefined)
  assert.deepEqual(bench.changes, ['s v1 open', 's v1 halfOpen', 's v1 closed'])
})

test('only what a module is to blame for opens a breaker', () => {
  const bench = new Bench()
  const steady = scene({ breaker })
  bench.load(steady.baseline)
  for (const code of ['BODY_MALFORMED', 'SCENE_OVERLOADED', 'SLOT_UNAVAILABLE', 'INTERNAL'] as const) {
    for (let i = 0; i < 10; i++) assert.equal(request(bench, steady, code), undefined)
  }
  for (let i = 0; i < 10; i++) request(bench, steady, 'MODULE_THREW', 'pin')
  assert.deepEqual(bench.changes, [])
  for (const code of ['MODULE_KILLED', 'RESULT_CYCLE', 'DEADLINE_EXCEEDED', 'MODULE_THREW'] as const) request(bench, steady, code)
  assert.deepEqual(bench.changes, ['s v1 open'])
})

test('a request that never got to a slot says nothing about the version', () => {
  const bench = new Bench()
  const slow = scene({ breaker })
  for (let i = 0; i < 10; i++) assert.equal(request(bench, slow, 'DEADLINE_EXCEEDED'), undefined)
  assert.deepEqual(bench.changes, [])
})

test('a breaker that a table turns off lets everything through, and versions that are gone are forgotten', () => {
  const bench = new Bench()
  const failing = scene({ breaker })
  bench.load(failing.baseline)
  for (let i = 0; i < 4; i++) request(bench, failing, 'MODULE_THREW')
  assert.equal(request(bench, failing), 'BREAKER_OPEN')
  assert.equal(request(bench, scene({ breaker: { ...breaker, enabled: false } })), undefined)
  assert.deepEqual([...bench.admission.breakers()], [{ scene: 's', version: 'v1', state: 'open' }])
  bench.admission.retain(table({ breaker }))
  assert.equal(request(bench, failing), 'BREAKER_OPEN')
  bench.admission.retain(table({ breaker }, 'other'))
  assert.deepEqual([...bench.admission.breakers()], [])
})
