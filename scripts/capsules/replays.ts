/**
 * Captures requests of the example modules and of modules that use everything that is not the same twice, replays them in a fresh process, and counts the
 * bytes that differ: `npm run capsules:replays [-- REQUESTS]`. There must be none.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Validators } from '../../base/keeper/cells/validators.ts'
import { BerthError } from '../../base/kernel/errors.ts'
import { roleCommand } from '../../base/process/roles.ts'
import type { RecorderHost } from '../../base/slot/recorder.ts'
import { Blobs } from '../../base/store/blobs.ts'
import type { LockedModule } from '../../base/traffic/schema.ts'
import type { SlotPlan } from '../../base/traffic/table.ts'
import { record } from '../../base/trial/fixtures/recording.ts'
import type { SentRecording } from '../../base/wire/validator-messages.ts'
import { bundleModule } from '../../sdk/bundle/bundle.ts'

/** Requests of one recording: a recorder ends after 256. */
const RECORDING_REQUESTS = 250

/** Stages that use chance, clocks, timers, services, calls and fetches in ways that are hard to repeat. */
const hostile: Readonly<Record<string, string>> = {
  chance: '(n) => [Math.random(), Math.random() < 0.5, crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(9))]]',
  clocks: `(n, ctx) => { const k = Date.now(); for (let i = 0; i < 500 && Date.now() < k + 2; i++); return [new Date(), Date(), performance.now(), ctx.deadlineMs(),
    new Intl.DateTimeFormat('en', { timeStyle: 'long' }).format(), new Event('e').timeStamp, performance.timeOrigin] }`,
  timers: `async (n) => { const order = []; await Promise.all([5, 1, 3, 0, 3].map((ms, i) => new Promise(done => setTimeout(() => { order.push([i, Math.random()]); done() }, ms)))); return order }`,
  race: `async (n, ctx) => Promise.race([ctx.services.store.get('a', n), ctx.services.store.get('b', n), new Promise(done => setTimeout(done, 1, 'late'))])`,
  calls: `async (n, ctx) => Promise.all([ctx.call('x', n), ctx.services.store.get(String(Math.random())), ctx.call('y', [n])])`,
  fetches: `async (n, ctx) => Promise.allSettled([1, 2, 3].map(async i => (await ctx.fetch('https://a.example/' + i + '?' + Math.random())).text())).then(all => all.map(({ value, reason }) => value ?? reason.message))`,
  keeps: `async (n, ctx) => { globalThis.log ??= []; globalThis.every ??= setInterval(() => log.push(Date.now() % 7), 2); globalThis.model ??= ctx.services.store.get('model'); log.push(n); await new Promise(done => setTimeout(done, 1)); return [log.length, log.slice(-5), await model] }`,
  forgets: `async (n, ctx) => { ctx.call('later', n).then(v => { globalThis.last = v }); Promise.reject(new Error('nobody')); setTimeout(() => { globalThis.last = Math.random() }, 1); return [globalThis.last ?? null, n] }`,
  fails: `(n, ctx) => { if (Math.random() < 0.3) throw new RangeError('by chance ' + n); if (Math.random() < 0.3) ctx.reject('NOT_NOW', 'no', { n }); ctx.log.warn('lived', { at: Date.now() }); return n }`,
  late: `async (n) => { if (n % 50 === 1) await new Promise(() => {}); return Date.now() % 1000 }`,
  sorts: `(n) => { const list = Array.from({ length: 200 }, () => Math.random()); return [list.sort(() => Math.random() - 0.5)[7], new Map([[n, list[3]]]).get(n), structuredClone({ at: new Date() })] }`,
}

const examples: Readonly<Record<string, readonly string[]>> = {
  'fashion-men': ['recall-all:recall', 'rank-lr:rank', 'diversify:rerank'],
  'fashion-women': ['recall-all:recall', 'rank-lr:rank', 'diversify:rerank'],
}

const later = async <T>(value: () => T): Promise<T> => {
  await delay(Math.random() * 3)
  return value()
}

/** An outside that never says the same, at other times each time. */
const outside: Partial<RecorderHost> = {
  callService: (service, method) => later(() => JSON.stringify({ service, method, chance: Math.random() })),
  callScene: (scene, input) => later(() => JSON.stringify({ scene, input, chance: Math.random() })),
  fetch: () =>
    later(() => {
      if (Math.random() < 0.3) throw new BerthError('FETCH_FAILED', 'Cannot fetch: by chance')
      const head = { status: 200, statusText: 'OK', headers: [], url: 'https://a.example/', redirected: false }
      const body = Math.random() < 0.5 ? String(Math.random()) : Uint8Array.of(255, 254, Math.floor(Math.random() * 256)).buffer
      return { head: JSON.stringify(head), body }
    }),
}

interface Subject {
  readonly plan: SlotPlan
  readonly body: (n: number) => string
  readonly params: object
}

const planOf = (scene: string, modules: readonly [stage: string, module: LockedModule][]): SlotPlan => ({
  ...{ key: `${scene}/v1`, scene, version: 'v1', memoryMB: 64 },
  lock: modules.map(([stage, module]) => ({ stage, modules: [module] })),
})

async function subjects(blobs: Blobs): Promise<Subject[]> {
  const found: Subject[] = []
  for (const [name, code] of Object.entries(hostile)) {
    const bundle = await blobs.put(Buffer.from(`({ run: ${code} })`))
    const module = { name, version: '1.0.0', bundle, services: ['store'], fetch: ['https://a.example'] }
    found.push({ plan: planOf(name, [['run', module]]), body: n => String(n), params: {} })
  }
  for (const [scene, stages] of Object.entries(examples)) {
    const { params } = JSON.parse(readFileSync(`fixtures/scenes/${scene}.json`, 'utf8')) as { readonly params: object }
    const request = readFileSync(`fixtures/requests/${scene}.json`, 'utf8')
    const modules: [string, LockedModule][] = []
    for (const [name = '', stage = ''] of stages.map(one => one.split(':'))) {
      const { code } = await bundleModule(`modules/${name}`)
      modules.push([stage, { name, version: '1.0.0', bundle: await blobs.put(Buffer.from(code)) }])
    }
    found.push({ plan: planOf(scene, modules), body: () => request, params })
  }
  return found
}

const requests = Number(process.argv[2] ?? 10_000)
const data = mkdtempSync(join(tmpdir(), 'berth-replays-'))
const recordings = new Map<string, SentRecording>()
const source = {
  find: () => undefined,
  bytesOf: () => 0,
  readRecording: async (id: string) => recordings.get(id) ?? Promise.reject(new Error(id)),
}
const validators = new Validators(roleCommand('validator', data), { data, recordings: source, tables: () => [] })
let [replayed, same, entries, sameEntries] = [0, 0, 0, 0]
try {
  const blobs = new Blobs(data)
  const all = await subjects(blobs)
  for (let round = 0; replayed < requests; round++) {
    const { plan, body, params } = all[round % all.length] as Subject
    const count = Math.min(RECORDING_REQUESTS, Math.ceil(requests / all.length), requests - replayed)
    const readBundle = async (digest: string) => (await blobs.read(digest)).toString('utf8')
    const bodies = Array.from({ length: count }, (_, n) => body(n))
    const recording = await record({
      plan,
      bodies,
      params,
      services: { store: ['get'] },
      deadlineMs: 100,
      host: { ...outside, readBundle },
    })
    recordings.set(recording.head.id, recording)
    await validators.replay(plan.scene, [recording.head.id], ({ replayed: { same: places, difference } }) => {
      same += recording.capsules.filter(capsule => capsule.entries[1] < places).length
      sameEntries += places
      if (difference !== undefined)
        console.log(`${plan.scene}: entry ${difference.entry} of ${recording.entries.length} (${difference.kind}): ${difference.what}`)
    })
    recordings.clear()
    replayed += recording.capsules.length
    entries += recording.entries.length
    console.log(
      `${plan.scene}: ${recording.capsules.length} requests, ${recording.entries.length} entries; ${same} of ${replayed} the same so far`,
    )
  }
} finally {
  validators.close()
  rmSync(data, { recursive: true })
}
console.log(`${same} of ${replayed} captured requests, and ${sameEntries} of ${entries} entries, gave the same bytes in a fresh process`)
process.exitCode = same === replayed ? 0 : 1
