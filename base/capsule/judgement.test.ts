import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validationDefaults } from '../traffic/schema.ts'
import type { Answered } from './answered.ts'
import { capsulesToConfirm, type Evidence, judge, type Round } from './judgement.ts'

const answered = (capsule: number, value: unknown, more: Partial<Answered> = {}): Answered => ({
  ...{ capsule: String(capsule), answer: { json: JSON.stringify(value) }, newCalls: [], hosts: [], cpuMs: 1, tookMs: 1, waitedMs: 0 },
  ...{ stageMs: [1], killed: false, logs: [], ...more },
})
const failed = (code: string): Pick<Answered, 'answer'> => ({ answer: { failure: { code, message: 'no' } } })

type Pair = readonly [before: unknown, after: unknown, ofBefore?: Partial<Answered>, ofAfter?: Partial<Answered>]

const rounds = (count: number, pair: (request: number) => Pair): Round[] =>
  Array.from({ length: count }, (_, request) => {
    const [before, after, ofBefore, ofAfter] = pair(request)
    return { before: answered(request, before, ofBefore), after: answered(request, after, ofAfter) }
  })

const report = (used: readonly Round[], more: Partial<Evidence> = {}, settings = validationDefaults) =>
  judge({ what: 'version', baseline: 'v1', candidate: 'v2', chosen: used.length, used, noise: [], fresh: [], tookMs: 1, ...more }, settings)
const faults = (...given: Parameters<typeof report>) => report(...given).reasons.map(({ fault }) => fault)

const unknown = { newCalls: [{ kind: 'service', target: 'features.get' }] } as const

test('under 80 % comparable requests there is no data, and what was asked for is counted', () => {
  const used = (comparable: number) => rounds(100, request => [1, 2, {}, request < comparable ? {} : unknown])
  const { verdict, comparable, missingReplies } = report(used(79))
  assert.deepEqual([verdict, comparable], ['no data', 79])
  assert.deepEqual(missingReplies, [{ kind: 'service', target: 'features.get', requests: 21 }])
  assert.equal(report(used(80)).verdict, 'failed')
  assert.equal(report([]).verdict, 'no data')
})

test('a validation that ends early passes nothing by a few answers, and fails by what they show', () => {
  const early = { chosen: 450, ended: 'time' } as const
  const verdict = (count: number, wrong: boolean) =>
    report(
      rounds(count, request => [1, wrong && request === 3 ? 2 : 1]),
      early,
    ).verdict
  assert.deepEqual([verdict(39, false), verdict(40, false), verdict(39, true)], ['no data', 'passed', 'failed'])
})

test('a candidate that asks a new host fails by it, although its answers cannot be compared', () => {
  const asks = { hosts: ['a.example'], newCalls: [{ kind: 'fetch', target: 'a.example' }] } as const
  assert.deepEqual(faults(rounds(100, () => [1, 1, {}, asks])), ['hosts'])
  assert.deepEqual(faults(rounds(100, () => [1, 1, { hosts: ['a.example'] }, asks])), [])
})

test('a request that fails with both is no new error, and one that the candidate mends is none', () => {
  const { verdict, mended, errors } = report(
    rounds(100, request => [1, 1, request < 10 ? failed('MODULE_THREW') : {}, request < 5 ? failed('MODULE_THREW') : {}]),
  )
  assert.deepEqual([verdict, mended, errors], ['passed', 5, []])
})

test('a request that the baseline refuses on purpose and the candidate answers differs', () => {
  const used = rounds(100, request => [1, 1, request === 3 ? failed('REQUEST_REJECTED') : {}])
  assert.deepEqual(faults(used), ['differences'])
})

test('an answer that is only given in part is an error', () => {
  const inPart = { answer: { json: '1', degraded: 'rank' } }
  assert.deepEqual(faults(rounds(100, request => [1, 1, {}, request === 3 ? inPart : {}])), ['errors'])
})

test('errors that the baseline has as often by chance are no errors of the candidate', () => {
  const noise = rounds(200, request => [1, 1, {}, request < 10 ? failed('MODULE_THREW') : {}])
  assert.deepEqual(
    faults(
      rounds(100, request => [1, 1, {}, request > 94 ? failed('MODULE_THREW') : {}]),
      { noise },
    ),
    [],
  )
})

test('a field that is renamed is named with its new name', () => {
  const { reasons, fields } = report(rounds(100, request => [{ total: request }, { count: request }]))
  assert.deepEqual(
    fields.map(({ path, renamedTo }) => [path, renamedTo]),
    [['/total', '/count']],
  )
  assert.deepEqual(reasons, [{ fault: 'shape', message: '/total is /count now in 100 requests' }])
})

test('fields that are only new fail nothing', () => {
  const { verdict, fields } = report(rounds(100, () => [{ a: 1 }, { a: 1, b: 2 }]))
  assert.deepEqual([verdict, fields[0]?.kind, fields[0]?.requests], ['passed', 'new', 100])
})

test('what differs in a used slot only is noise where the baseline carries something over, and a fault where the candidate does', () => {
  const used = rounds(100, request => [request === 3 ? 5 : 1, request === 3 ? 7 : 1])
  const fresh = (before: unknown, after: unknown) => [
    { before: answered(3, before), after: answered(3, after), again: answered(3, before) },
  ]
  assert.deepEqual(faults(used, { fresh: fresh(1, 1) }), [])
  assert.deepEqual(faults(used, { fresh: fresh(5, 5) }), ['differences'])
  assert.equal(report(used, { fresh: fresh(5, 5) }).fields[0]?.carriedOver, 1)
  assert.equal(report(used, { fresh: fresh(5, 7) }).fields[0]?.carriedOver, 0)
})

test('a candidate that draws otherwise raises no alarm where the baseline differs as often, though only what differs was tried again', () => {
  const draws = (one: boolean) => (one ? ['b', 'a'] : ['a', 'b'])
  const used = rounds(450, request => [draws(false), draws(request % 6 === 0)])
  const noise = rounds(900, request => [draws(false), draws(request % 6 === 1)])
  const again = (request: number) => answered(request, draws(request % 36 === 0))
  const fresh = used.filter((_, request) => request % 6 === 0).map(round => ({ ...round, again: again(Number(round.before.capsule)) }))
  assert.deepEqual(faults(used, { noise, fresh }), [])
})

test('what is rare is tried again in all requests, and what is frequent in some', () => {
  const used = rounds(450, request => [
    { luck: 1, total: 1 },
    { luck: 2, total: request % 150 === 7 ? 2 : 1 },
  ])
  const tried = capsulesToConfirm(used, validationDefaults)
  assert.deepEqual(
    tried.filter(capsule => Number(capsule) % 150 === 7),
    ['7', '157', '307'],
  )
  assert.equal(tried.length, 40)
})

test('a field may differ in the part of the requests that its tolerance says', () => {
  const used = rounds(100, request => [{ a: 1 }, { a: request < 5 ? 2 : 1 }])
  const settings = (requests: number) => ({ ...validationDefaults, fields: { '/a': { requests } } })
  assert.deepEqual(faults(used, {}, settings(0.05)), [])
  assert.deepEqual(faults(used, {}, settings(0.04)), ['differences'])
})

test('costs are judged by the whole, so that a few slow requests and the noise of a clock fail nothing', () => {
  const cpu = (cpuMs: (request: number) => number) => rounds(100, request => [1, 1, { cpuMs: 0.4 }, { cpuMs: cpuMs(request), tookMs: 1 }])
  assert.deepEqual(faults(cpu(() => 1.2)), ['cpu'])
  assert.deepEqual(faults(cpu(request => (request === 50 ? 100 : 0.4))), [])
  assert.deepEqual(faults(cpu(() => 0.55)), [])
  assert.deepEqual(faults(rounds(100, () => [1, 1, {}, { waitedMs: 20 }])), ['latency'])
})

test('a heap that grows is seen in what is left after collections, and in a slot that is killed for it', () => {
  const MB = 1024 * 1024
  const leak = (bytes: number) =>
    rounds(450, request => [1, 1, at(request, 8 * MB), at(request, 8 * MB + (request % 120) * bytes, request % 120 === 119)])
  const at = (request: number, heapBytes: number, killed = false) => ({ killed, ...(request % 16 === 0 && { heapBytes }) })
  assert.deepEqual(faults(leak(MB)), ['heap', 'killed'])
  assert.equal(Math.round(report(leak(MB)).heap?.candidate ?? 0), MB)
  const calm = rounds(450, request => [1, 1, at(request, 8 * MB), at(request, 8 * MB + request * 1024)])
  assert.deepEqual(faults(calm), [])
})

test('a kill that a fresh slot does not confirm is chance', () => {
  const used = rounds(100, request => [1, 1, {}, request === 3 ? { ...failed('MODULE_KILLED'), killed: true } : {}])
  const fresh = (killed: boolean) => [{ before: answered(3, 1), after: answered(3, 1, { killed }), again: answered(3, 1) }]
  assert.deepEqual(faults(used, { fresh: fresh(false) }), [])
  assert.deepEqual(faults(used, { fresh: fresh(true) }), ['killed', 'errors'])
})

test('three examples are enough, and values are cut', () => {
  const { fields } = report(rounds(100, request => [`a${request}`, 'b'.repeat(1000)]))
  assert.deepEqual(
    fields[0]?.examples.map(({ capsule }) => capsule),
    ['0', '1', '2'],
  )
  assert.ok((fields[0]?.examples[0]?.after?.length ?? 0) < 200)
  const long = (end: string) => ({ text: `${'a'.repeat(1000)}${end}` })
  const [example] = report(rounds(100, () => [long('x'), long('y')])).fields[0]?.examples ?? []
  assert.deepEqual(
    [example?.before, example?.after],
    ['x', 'y'].map(end => `…${'a'.repeat(40)}${end}"`),
  )
})
