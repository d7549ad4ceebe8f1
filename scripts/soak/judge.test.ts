/** Tests of the judge on made-up records: one without faults, and for each invariant some with one thing wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge } from './judge.ts'
import { type Answer, type Ask, type Ending, type Entry, type Exchange, type Invariant, invariants, OWN_END } from './record.ts'
import { bucketOf, expectedOf, type Routing, unannounced } from './routing.ts'

const units = Array.from({ length: 200 }, (_, no) => `unit-${no}`)
const routing: Routing = {
  baseline: 'v1',
  tags: { v1: '1.0.0', v2: '1.1.0', v3: '1.2.0' },
  whitelist: { 'unit-0': 'v2' },
  segmentSalt: 'segments',
  experiments: [
    {
      ...{ id: 'exp', phase: 1, salt: 'exp', segments: [[0, 4000]] },
      arms: [
        { name: 'control', version: 'v1', ranges: [[0, 2000]] },
        { name: 'treatment', version: 'v2', ranges: [[5000, 7000]] },
      ],
    },
  ],
  cutover: { version: 'v3', share: 3000, salt: 'cutover' },
  step: 1,
}
const ask: Ask = { name: 'routed', checks: 'routing', codes: ['OK'], requestId: 'r1', unit: 'unit-3' }

/** The answer of a correct base. */
function answerTo(asked: Ask, under = routing): Answer {
  const { version, because, bucket } = expectedOf(under, asked)
  const body = { tag: under.tags[version], version, unit: asked.unit ?? null, nonce: asked.requestId, step: under.step }
  return { code: 'OK', status: 200, requestId: asked.requestId, version, because, bucket, body }
}

const exchange = (from: number, got: Exchange['got'], more: Partial<Exchange> = {}): Exchange => {
  return { is: 'exchange', from, at: from + 10, port: 4000, ask, got, ...more }
}
const refusal = (code: string, status: number): Answer => ({ ...answerTo(ask), code, status, body: { code } })
const featuresAsk: Ask = { ...ask, name: 'tables', checks: 'features' }
const read = (...generations: number[]): Answer => ({ ...answerTo(featuresAsk), body: { generations } })
const sample = (at: number, growth: Partial<Record<'rssMB' | 'handles' | 'threads', number>> = {}): Entry => {
  const at0 = { rssMB: 100, handles: 30, threads: 11 }
  const minutes = at / 60_000
  return {
    ...{ is: 'sample', at, role: 'keeper', pid: 7 },
    rssMB: at0.rssMB + (growth.rssMB ?? 0) * minutes,
    handles: at0.handles + (growth.handles ?? 0) * minutes,
    threads: at0.threads + (growth.threads ?? 0) * minutes,
  }
}
const samples = (growth?: Parameters<typeof sample>[1]): Entry[] => {
  return [{ is: 'measured', at: 0 }, ...Array.from({ length: 60 }, (_, no) => sample(no * 10_000, growth))]
}

const begin: readonly Entry[] = [
  { is: 'routing', at: 0, state: routing, scope: 'nobody' },
  { is: 'features', at: 0, state: 1 },
]
const next: Routing = { ...routing, baseline: 'v2' }
const changed: readonly Entry[] = [
  { is: 'change', at: 1000, of: 'routing' },
  { is: 'routing', at: 2000, state: next, scope: 'rest' },
]
const plain = units.find(unit => expectedOf(routing, { unit }).because === 'baseline') ?? ''
const plainAsk: Ask = { ...ask, unit: plain }

function found(...entries: readonly Entry[]): Invariant[] {
  return [...new Set(judge([...begin, ...entries], units).violations.map(({ invariant }) => invariant))]
}

test('a record in which everything is as promised has no violations, and every invariant was checked', () => {
  const verdict = judge(
    [
      ...begin,
      ...units.map(unit => ({ ...ask, unit })).map(asked => exchange(10, answerTo(asked), { ask: asked })),
      exchange(20, read(1, 1, 1), { ask: featuresAsk }),
      exchange(30, refusal('BODY_MALFORMED', 400), { ask: { ...ask, checks: 'plain', codes: ['BODY_MALFORMED'] } }),
      ...changed,
      { is: 'acknowledged', at: 2000, no: 1, applied: 2, connected: 2 },
      { is: 'restored', at: 2050, state: next },
      { is: 'explained', at: 2100, unit: plain, said: { version: 'v2', because: 'baseline', bucket: null } },
      { is: 'operation', at: 2200, from: 900, no: 1, kind: 'promote' },
      { is: 'disturbed', at: 2300, id: 1, by: 'killed cell', ports: [4000] },
      exchange(2290, { broken: 'ECONNRESET' }),
      { is: 'cell ended', at: 2400, pid: 9, how: 'signal SIGKILL', because: 'injected', suspects: [] },
      { is: 'calm', at: 2500, id: 1 },
      { is: 'recovered', at: 4000, from: 2300, after: 'kill cell' },
      { is: 'audit', at: 5000, since: 0, found: [1] },
      ...samples(),
      { is: 'ended', at: 700_000, code: 0, left: [] },
    ],
    units,
  )
  assert.deepEqual(verdict.violations, [])
  const unchecked = Object.entries(verdict.checked).filter(([, { checks }]) => checks === 0)
  assert.deepEqual(unchecked, [])
  assert.equal(verdict.requests.routed?.OK, units.length)
  assert.deepEqual(verdict.ends, { injected: 1, retired: 0, outgrown: 0, itself: 0 })
})

const wrong: Readonly<Record<Invariant, readonly (readonly [what: string, ...entries: Entry[]])[]>> = {
  answered: [
    ['a sound scene answers 500', exchange(10, refusal('INTERNAL', 500))],
    ['a sound scene refuses while nothing overloads it', exchange(10, refusal('SCENE_OVERLOADED', 503))],
    [
      'a pause costs a request on another connection',
      { is: 'disturbed', at: 0, id: 1, by: 'paused cell', ports: [1] },
      exchange(10, refusal('DEADLINE_EXCEEDED', 504)),
    ],
    ['a burst stays unanswered', { is: 'burst', at: 10, from: 0, statuses: { 200: 5, unanswered: 1 } }],
    ['a burst is answered 500', { is: 'burst', at: 10, from: 0, statuses: { 200: 5, 500: 1 } }],
  ],
  connected: [
    ['a connection breaks though nothing happens', exchange(10, { broken: 'ECONNRESET' })],
    [
      'a connection breaks that another cell holds',
      { is: 'disturbed', at: 0, id: 1, by: 'killed cell', ports: [1, 2] },
      exchange(10, { broken: 'ECONNRESET' }),
    ],
    [
      'a connection breaks long after its cell was killed',
      { is: 'disturbed', at: 0, id: 1, by: 'killed cell', ports: [4000] },
      { is: 'calm', at: 10, id: 1 },
      exchange(9000, { broken: 'ECONNRESET' }),
    ],
    ['a burst breaks connections', { is: 'burst', at: 10, from: 0, statuses: { 0: 3, 200: 5 } }],
    ['a retirement costs a request', { is: 'disturbed', at: 0, id: 1, by: 'retirement' }, exchange(10, { broken: 'ECONNRESET' })],
  ],
  whole: [
    ['an answer is that of another request', exchange(10, { ...answerTo(ask), requestId: 'r2' })],
    [
      'an answer has the module of another version',
      exchange(10, { ...answerTo(ask), body: { ...(answerTo(ask).body as object), tag: '9.9.9' } }),
    ],
    ['an answer has parameters that were never in force', exchange(10, answerTo(ask, { ...routing, step: 2 }))],
    ['rows of two tables are in one answer', exchange(10, read(1, 1, 2), { ask: featuresAsk })],
    ['an answer is from a table that was never in force', exchange(10, read(7, 7), { ask: featuresAsk })],
  ],
  routed: [
    ['another version answers', exchange(10, { ...answerTo({ ...ask, pin: 'v3' }), because: 'baseline' })],
    ['the old version answers after the change', ...changed, exchange(2100, answerTo(plainAsk), { ask: plainAsk })],
    ['the new version answers before the change', exchange(500, answerTo(plainAsk, next), { ask: plainAsk }), ...changed],
    ['the bucket is another', exchange(10, { ...answerTo(ask), bucket: 1 })],
  ],
  explained: [
    [
      'the explanation is of another version',
      { is: 'explained', at: 1, unit: plain, said: { version: 'v3', because: 'baseline', bucket: null } },
    ],
  ],
  stable: [
    ['new parameters move units', { is: 'routing', at: 5, state: next, scope: 'nobody' }],
    ['a flip moves units that are in no experiment', { is: 'routing', at: 5, state: next, scope: 'experiments' }],
    [
      'the salt of the cutover changes',
      { is: 'routing', at: 5, state: { ...routing, cutover: { version: 'v3', share: 3000, salt: 'b' } }, scope: 'rest' },
    ],
    ['a share grows from other buckets', { is: 'routing', at: 5, state: withControl([[2500, 5000]]), scope: 'experiments' }],
  ],
  refused: [
    ['bad JSON is taken', exchange(10, { ...answerTo(ask), code: 'OK' }, { ask: { ...ask, checks: 'plain', codes: ['BODY_MALFORMED'] } })],
    ['a broken module is a defect', exchange(10, refusal('INTERNAL', 500), { ask: { ...ask, checks: 'plain', codes: ['MODULE_THREW'] } })],
  ],
  applied: [
    ['a change is answered before it is in force', acknowledged(1, 1)],
    ['a cell stays behind', { is: 'unsettled', at: 20_000, of: 'routing', waited: 10_000, seen: 'cell 1 is ready at 3 of 4' }],
  ],
  kept: [['the audit log lacks an operation', acknowledged(3, 2), { is: 'audit', at: 2, since: 2, found: [2, 4] }]],
  restored: [['a backup has another baseline', { is: 'restored', at: 9, state: next }]],
  operated: [
    ['an operation fails though nothing happens', failed('flip', 'UPGRADE_FAILED')],
    ['a fault makes an operation fail in another way', { is: 'disturbed', at: 0, id: 1, by: 'keeper away' }, failed('flip', 'INTERNAL')],
  ],
  recovered: [
    ['a cell does not come back', { is: 'recovered', at: 30_000, from: 0, after: 'kill cell', failure: '1 of 2 cells are ready' }],
  ],
  cells: [
    ['a cell ends that nobody killed', ended('itself', 'signal SIGSEGV', 'routed')],
    ['a cell ends cleanly though nobody asked it to', ended('itself', OWN_END)],
    ['a cell crashes while it retires', ended('retired', 'signal SIGSEGV', 'routed')],
    ['a cell has to be killed for its memory', ended('outgrown', 'signal SIGKILL', 'routed')],
  ],
  memory: [['memory grows by 20 MB a minute', ...samples({ rssMB: 20 })]],
  handles: [['ten handles a minute are left open', ...samples({ handles: 10 })]],
  threads: [['a thread a minute is left', ...samples({ threads: 1 })]],
  ended: [
    ['the base ends with another exit code', { is: 'ended', at: 9, code: 1, left: [] }],
    ['a process is left', { is: 'ended', at: 9, code: 0, left: [123] }],
  ],
}

function withControl(ranges: readonly (readonly [number, number])[]): Routing {
  const experiments = routing.experiments.map(one => ({
    ...one,
    arms: one.arms.map(arm => (arm.name === 'control' ? { ...arm, ranges } : arm)),
  }))
  return { ...routing, experiments }
}

function ended(because: Ending, how: string, ...suspects: readonly string[]): Entry {
  return { is: 'cell ended', at: 500, pid: 9, how, because, suspects }
}

function acknowledged(no: number, applied: number): Entry {
  return { is: 'acknowledged', at: 1, no, applied, connected: 2 }
}

function failed(kind: string, code: string): Entry {
  return { is: 'operation', at: 20, from: 10, no: 1, kind, failure: { code, message: 'it did not work' } }
}

for (const [invariant, records] of Object.entries(wrong) as [Invariant, (typeof wrong)[Invariant]][]) {
  test(`"${invariants[invariant]}" is found wrong, and nothing else, when it is not so`, () => {
    for (const [what, ...entries] of records) assert.deepEqual(found(...entries), [invariant], what)
  })
}

test('what a fault is documented to cost is no violation', () => {
  const disturbed = (by: 'killed cell' | 'paused cell' | 'overload', ports: number[] = []): Entry => ({
    is: 'disturbed',
    at: 0,
    id: 1,
    by,
    ports,
  })
  assert.deepEqual(found(disturbed('killed cell', [4000]), exchange(10, { broken: 'ECONNRESET' })), [])
  assert.deepEqual(found(disturbed('paused cell', [4000]), exchange(10, refusal('DEADLINE_EXCEEDED', 504))), [])
  assert.deepEqual(found(disturbed('overload'), exchange(10, refusal('SCENE_OVERLOADED', 503))), [])
  assert.deepEqual(found(disturbed('overload'), failed('profile', 'PROFILE_FAILED')), [])
  // The log reports the end of a cell only after its connections have broken.
  for (const because of ['itself', 'retired'] as const) {
    assert.deepEqual(found(exchange(480, { broken: 'ECONNRESET' }), ended(because, 'signal SIGKILL', 'hostile-loops')), [])
  }
  for (const because of ['retired', 'outgrown'] as const) assert.deepEqual(found(ended(because, OWN_END)), [])
})

test('a cell that ends under sound modules costs no connection, whatever it was about to do', () => {
  for (const because of ['itself', 'retired', 'outgrown'] as const) {
    const both = found(exchange(480, { broken: 'ECONNRESET' }), ended(because, 'signal SIGSEGV', 'routed'))
    assert.deepEqual(both.sort(), ['cells', 'connected'], because)
  }
})

test('while a change is under way either state may answer, but not the parts of both', () => {
  const during = (got: Answer) => found(exchange(1500, got, { ask: plainAsk }), ...changed)
  assert.deepEqual(during(answerTo(plainAsk)), [])
  assert.deepEqual(during(answerTo(plainAsk, next)), [])
  assert.deepEqual(during({ ...answerTo(plainAsk), body: answerTo(plainAsk, next).body }), ['whole'])
})

test('a violation says when it was, what it was and what was going on', () => {
  const record: Entry[] = [
    ...begin,
    { is: 'operation', at: 5, from: 1, no: 4, kind: 'flip' },
    { is: 'disturbed', at: 8, id: 1, by: 'retirement' },
    exchange(10, refusal('INTERNAL', 500)),
  ]
  const [violation, ...others] = judge(record, units).violations
  assert.deepEqual([violation?.invariant, violation?.at, others], ['answered', 20, []])
  assert.match(violation?.what ?? '', /^request r1 \(routed, unit unit-3\).*answered 500 INTERNAL$/)
  assert.deepEqual(violation?.during, ['retirement', 'after operation 4 flip'])
})

test('an arm that grows in place and a cutover that grows are announced', () => {
  assert.deepEqual(unannounced(routing, withControl([[0, 3000]]), 'experiments', units), [])
  const share = { version: 'v3', share: 6000, salt: 'cutover' }
  assert.deepEqual(unannounced(routing, { ...routing, cutover: share }, 'rest', units), [])
  assert.ok(units.some(unit => bucketOf(unit, 'cutover') >= 3000 && bucketOf(unit, 'cutover') < 6000))
})
