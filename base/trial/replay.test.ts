import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answered } from '../capsule/answered.ts'
import type { KeptCapsule } from '../capsule/capsule.ts'
import { CodeCache } from '../slot/code-cache.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { SentRecording } from '../wire/validator-messages.ts'
import { type Answerer, type AnsweringParts, AnsweringSlot } from './answering.ts'
import { record, type ToRecord } from './fixtures/recording.ts'
import { stageOfParting } from './parting.ts'
import { replay } from './replay.ts'

const codeCache = new CodeCache(16 * 1024 * 1024)
const partsOf = (code: string): AnsweringParts => ({
  codeCache,
  readBundle: async () => `({ run: ${code} })`,
  onLost: reason => assert.fail(reason),
})
const module = { name: 'm', version: '1.0.0', bundle: 'bundle', services: ['store', 'features'], fetch: ['https://a.example'] }
const plan: SlotPlan = { key: 's/v1', scene: 's', version: 'v1', memoryMB: 64, lock: [{ stage: 'run', modules: [module] }] }
const services = { store: ['get'], features: ['get'] }

const recordingOf = (code: string, more: Partial<ToRecord> = {}): Promise<SentRecording> =>
  record({ plan, services, bodies: ['1', '2', '3'], ...more, host: { readBundle: partsOf(code).readBundle, ...more.host } })

const keptOf = ({ head, entries, capsules }: SentRecording, i: number): KeptCapsule => {
  const capsule = capsules[i] ?? assert.fail(`there is no capsule ${i}`)
  return { head, entries: entries.slice(0, capsule.entries[1] + 1), capsule }
}

async function answerAlone(
  code: string,
  kept: KeptCapsule,
  more: Partial<Answerer> = {},
  parts: Partial<AnsweringParts> = {},
): Promise<Answered> {
  const slot = await AnsweringSlot.open({ plan, cpuMs: 100, chance: 'recorded', ...more }, kept, { ...partsOf(code), ...parts })
  try {
    return await slot.answer(kept)
  } finally {
    slot.end()
  }
}

const busy = `async (n, ctx) => {
  const [a, b] = await Promise.all([ctx.services.store.get('a', n), ctx.call('other', { n })])
  await new Promise(done => setTimeout(done, 5))
  const list = await Promise.allSettled([ctx.fetch('https://a.example/x'), ctx.services.store.get('b')])
  globalThis.count = (globalThis.count ?? 0) + 1
  return [n, a, b, list.map(({ status, reason }) => [status, reason?.message]), Math.random(), crypto.randomUUID(), Date.now(), performance.now(), new Date().toISOString(), globalThis.count]
}`

test('a recording that is replayed says the same bytes, with chance, clocks, timers, calls, services and fetches', async () => {
  const recording = await recordingOf(busy)
  assert.equal(recording.capsules.length, 3)
  assert.deepEqual(await replay(recording, partsOf(busy)), { same: recording.entries.length, difference: undefined, inexact: [] })
})

test('the first entry that says something else is named, with what is unlike', async () => {
  const recording = await recordingOf(busy)
  const otherAnswer = await replay(recording, partsOf(busy.replace('return [n,', 'return [n + 1,')))
  assert.match(otherAnswer.difference?.what ?? '', /answered or logged/)
  const otherCall = await replay(recording, partsOf(busy.replace("get('a', n)", "get('c', n)")))
  assert.match(otherCall.difference?.what ?? '', /asked the outside for .*\\"c\\",1.* instead of .*\\"a\\",1/)
  const otherClock = await replay(recording, partsOf(busy.replace('const [a', 'Date.now(); const [a')))
  assert.match(otherClock.difference?.what ?? '', /clocks were read \d+ times instead of \d+/)
})

test('a module that keeps nothing between requests gives the recorded answer in a fresh slot, bit for bit', async () => {
  const pure = busy.replace(', globalThis.count]', ']')
  const recording = await recordingOf(pure)
  for (const i of recording.capsules.keys()) {
    const kept = keptOf(recording, i)
    const { answer, newCalls, killed } = await answerAlone(pure, kept)
    assert.deepEqual([answer, newCalls, killed], [kept.capsule.answer, [], false])
  }
})

test('a module that counts its requests answers otherwise in a fresh slot', async () => {
  const kept = keptOf(await recordingOf('async () => { globalThis.n = (globalThis.n ?? 0) + 1; return globalThis.n }'), 2)
  assert.deepEqual(kept.capsule.answer, { json: '3', degraded: undefined })
  assert.deepEqual((await answerAlone('async () => { globalThis.n = (globalThis.n ?? 0) + 1; return globalThis.n }', kept)).answer, {
    json: '1',
    degraded: undefined,
  })
})

test('a reply that a module kept from an earlier request is there for it in a fresh slot', async () => {
  const code = "async (n, ctx) => [n, await (globalThis.kept ??= ctx.services.store.get('model'))]"
  const kept = keptOf(await recordingOf(code), 2)
  const { answer, newCalls } = await answerAlone(code, kept)
  assert.deepEqual([answer, newCalls], [kept.capsule.answer, []])
})

test('what the capsule has no reply for is named, and the hosts that were asked', async () => {
  const kept = keptOf(await recordingOf('async n => n'), 0)
  const code =
    "async (n, ctx) => Promise.allSettled([ctx.call('x', n), ctx.services.store.get('y'), ctx.fetch('https://a.example/z')]).then(() => n)"
  const { answer, newCalls, hosts } = await answerAlone(code, kept)
  assert.deepEqual(answer, { json: '1', degraded: undefined })
  assert.deepEqual(
    newCalls.map(({ kind, target }) => `${kind} ${target}`),
    ['fetch a.example', 'call x', 'service store.get'],
  )
  assert.deepEqual(hosts, ['a.example'])
})

test('feature tables are asked anew, and what they say is in the answer', async () => {
  const code = "async (n, ctx) => ctx.services.features.get('items', n)"
  const kept = keptOf(await recordingOf(code), 0)
  const features = {
    methods: ['get'],
    anew: true,
    ask: async (method: string, input: string) => [1, JSON.stringify({ method, input })] as const,
  }
  const { answer, newCalls } = await answerAlone(code, kept, {}, { features })
  assert.deepEqual([answer, newCalls], [{ json: '{"method":"get","input":"[\\"items\\",1]"}', degraded: undefined }, []])
})

test('nothing is waited for: an answer that took an hour of timers is there at once, and says how long it waited', async () => {
  const kept = keptOf(await recordingOf('async n => n', { deadlineMs: 60_000 }), 0)
  const { answer, waitedMs } = await answerAlone('async n => { await new Promise(done => setTimeout(done, 50_000)); return n }', kept)
  assert.deepEqual(answer, { json: '1', degraded: undefined })
  assert.ok(waitedMs >= 50_000)
})

test('code that loops, fills memory or does not end in time fails its own answer and no other', async () => {
  const kept = keptOf(await recordingOf('async n => n', { deadlineMs: 300 }), 0)
  const loop = await answerAlone('async n => { for (;;); }', kept)
  assert.ok(loop.killed && 'failure' in loop.answer && /ms of CPU/.test(loop.answer.failure.message))
  const full = await answerAlone('async n => { const all = []; for (;;) all.push(new Array(1e4).fill(n)) }', kept, { cpuMs: 10_000 })
  assert.ok(full.killed && 'failure' in full.answer && /over its memory limit/.test(full.answer.failure.message))
  const late = await answerAlone('n => new Promise(() => setInterval(() => 0, 1))', kept)
  assert.ok('failure' in late.answer && late.answer.failure.code === 'DEADLINE_EXCEEDED')
})

test('parameters are worked out again from those of scene and version, overridden by the arms of the capsule', async () => {
  const kept = keptOf(await recordingOf('async (_, ctx) => ctx.params', { params: { a: 0 } }), 0)
  const arms = [{ layer: 'l', experiment: 'e', arm: 'x', values: { c: 3 } }]
  const params = { sceneParams: { a: 1, b: 1, c: 1 }, versionParams: { b: 2 } }
  const { answer } = await answerAlone('async (_, ctx) => ctx.params', { ...kept, capsule: { ...kept.capsule, arms } }, { params })
  assert.deepEqual(answer, { json: '{"a":1,"b":2,"c":3}', degraded: undefined })
})

test('with other chance and another clock, answers differ that depend on them, and no others', async () => {
  const kept = keptOf(await recordingOf('async n => [n, Math.random(), Date.now()]'), 0)
  const other = await answerAlone('async n => [n, Math.random(), Date.now()]', kept, { chance: 'other' })
  const [before, after] = [kept.capsule.answer, other.answer].map(
    answer => JSON.parse('json' in answer ? answer.json : '[]') as number[],
  ) as [number[], number[]]
  assert.equal(after[0], before[0])
  assert.notEqual(after[1], before[1])
  assert.notEqual(after[2], before[2])
})

test('a shared slot answers capsules of several recordings, and its clocks never go back', async () => {
  const code =
    'async n => { const now = performance.now(); const back = now < (globalThis.last ?? 0); globalThis.last = now; return [n, back, globalThis.n = (globalThis.n ?? 0) + 1] }'
  const recordings = [await recordingOf(code), await recordingOf(code)]
  const kept = [
    keptOf(recordings[1] as SentRecording, 2),
    keptOf(recordings[0] as SentRecording, 0),
    keptOf(recordings[1] as SentRecording, 0),
  ]
  const slot = await AnsweringSlot.open({ plan, cpuMs: 100, chance: 'recorded' }, kept[0] as KeptCapsule, partsOf(code))
  const answers = []
  for (const one of kept) answers.push((await slot.answer(one)).answer)
  slot.end()
  assert.deepEqual(
    answers.map(answer => 'json' in answer && answer.json),
    ['[3,false,1]', '[1,false,2]', '[1,false,3]'],
  )
})

test('the stage is found from which on a version that keeps something answers otherwise in a fresh slot', async () => {
  const code = { first: 'n => n + 1', second: 'n => [n, globalThis.n = (globalThis.n ?? 0) + 1]', third: 'list => list.join()' }
  const stages = Object.keys(code)
  const parts = {
    ...partsOf(''),
    readBundle: async () => `({ ${stages.map(stage => `${stage}: ${code[stage as keyof typeof code]}`).join(', ')} })`,
  }
  const lock = stages.map(stage => ({ stage, modules: [module] }))
  const recording = await record({ plan: { ...plan, lock }, services, bodies: ['1', '2'], host: { readBundle: parts.readBundle } })
  assert.equal(await stageOfParting(keptOf(recording, 1), 100, parts), 'second')
})
