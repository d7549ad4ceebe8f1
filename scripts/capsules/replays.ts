/**
 * Captures requests of the example modules and of modules that use everything that is not the same twice, replays them in a fresh process, and counts the
 * bytes that differ: `npm run capsules:replays [-- REQUESTS]`. There must be none.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Validators } from '../../base/keeper/cells/validators.ts'
import { BerthError } from '../../base/kernel/errors.ts'
import { roleCommand } from '../../base/process/roles.ts'
import type { RecorderHost } from '../../base/slot/recorder.ts'
import { Blobs } from '../../base/store/blobs.ts'
import type { LockedModule, SceneSchemas } from '../../base/traffic/schema.ts'
import type { SlotPlan } from '../../base/traffic/table.ts'
import { record } from '../../base/trial/fixtures/recording.ts'
import type { SentRecording } from '../../base/wire/validator-messages.ts'
import { bundleModule } from '../../sdk/bundle/bundle.ts'
import { readLog } from '../../sdk/cli/replay/log.ts'

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

/** The campaigns of the example scenes. Their requests are those of the visitors in the real logs. */
const campaigns = ['men', 'women'] as const
/** Requests of each log that are read. */
const LOGGED = 1000

const later = async <T>(value: () => T): Promise<T> => {
  await delay(Math.random() * 3)
  return value()
}

/** The feature tables of the examples, as `features` has them: JSON of each row by its key. */
const tables = new Map(readdirSync('fixtures/features').map(file => [file.replace('.ndjson', ''), rowsOf(`fixtures/features/${file}`)]))

function rowsOf(file: string): Map<string, string> {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  return new Map(lines.map(line => [String((JSON.parse(line) as { readonly key: unknown }).key), line]))
}

function readFeatures(method: string, args: string): string {
  const [table, keys] = JSON.parse(args) as [string, unknown]
  const rowOf = (key: unknown): string => tables.get(table)?.get(String(key)) ?? 'null'
  return method === 'getMany' ? `[${(keys as unknown[]).map(rowOf).join(',')}]` : rowOf(keys)
}

/** An outside that never says the same, but for the feature tables, at other times each time. */
const outside: Partial<RecorderHost> = {
  callService: (service, method, args) =>
    later(() => (service === 'features' ? readFeatures(method, args) : JSON.stringify({ service, method, chance: Math.random() }))),
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
  /** Whether a request that fails shows that the script is wrong. */
  readonly neverFails: boolean
}

const planOf = (scene: string, modules: readonly [stage: string, module: LockedModule][], schemas?: SceneSchemas): SlotPlan => ({
  ...{ key: `${scene}/v1`, scene, version: 'v1', memoryMB: 64, ...(schemas && { schemas }) },
  lock: modules.map(([stage, module]) => ({ stage, modules: [module] })),
})

async function subjects(blobs: Blobs): Promise<Subject[]> {
  const found: Subject[] = []
  for (const [name, code] of Object.entries(hostile)) {
    const bundle = await blobs.put(Buffer.from(`({ run: ${code} })`))
    const module = { name, version: '1.0.0', bundle, services: ['store'], fetch: ['https://a.example'] }
    found.push({ plan: planOf(name, [['run', module]]), body: n => String(n), params: {}, neverFails: false })
  }
  for (const campaign of campaigns) found.push(...(await exampleSubjects(campaign, blobs)))
  return found
}

const bundles = new Map<string, Promise<string>>()

/** The digest of the bundle of an example module, which several scenes use. */
function bundled(name: string, blobs: Blobs): Promise<string> {
  const made = bundles.get(name) ?? bundleModule(`modules/${name}`).then(({ code }) => blobs.put(Buffer.from(code)))
  bundles.set(name, made)
  return made
}

interface SceneFile {
  readonly params: object
  readonly schemas?: SceneSchemas
  readonly group: readonly { readonly stage: string; readonly modules: readonly string[] }[]
}

/** Every example scene of a campaign, asked what the visitors in its logs have asked. */
async function exampleSubjects(campaign: string, blobs: Blobs): Promise<Subject[]> {
  const scenes = readdirSync('fixtures/scenes').filter(file => file.startsWith(`fashion-${campaign}`))
  return Promise.all(
    scenes.map(async (file, index): Promise<Subject> => {
      const scene = file.replace('.json', '')
      const { params, schemas, group } = JSON.parse(readFileSync(`fixtures/scenes/${file}`, 'utf8')) as SceneFile
      const logs = [`fixtures/open-bandit/${index % 2 === 0 ? 'random' : 'bts'}_${campaign}.csv.gz`]
      const visitors = await readLog(logs, { scene, limit: LOGGED })
      const modules = group.map(async ({ stage, modules: [range = ''] }): Promise<[string, LockedModule]> => {
        const name = range.split('@')[0] as string
        const services = name === 'rank-lr' ? ['features'] : []
        return [stage, { name, version: '1.0.0', bundle: await bundled(name, blobs), services }]
      })
      const plan = planOf(scene, await Promise.all(modules), schemas)
      return { plan, body: n => visitors[n % visitors.length]?.body as string, params, neverFails: true }
    }),
  )
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
    const { plan, body, params, neverFails } = all[round % all.length] as Subject
    const count = Math.min(RECORDING_REQUESTS, Math.ceil(requests / all.length), requests - replayed)
    const readBundle = async (digest: string) => (await blobs.read(digest)).toString('utf8')
    const bodies = Array.from({ length: count }, (_, n) => body(replayed + n))
    const recording = await record({
      plan,
      bodies,
      params,
      services: { store: ['get'], features: ['get', 'getMany'] },
      deadlineMs: neverFails ? 5000 : 100,
      host: { ...outside, readBundle },
    })
    const failed = recording.capsules.find(({ answer }) => neverFails && 'failure' in answer)
    if (failed !== undefined) throw new Error(`${plan.scene} fails: ${JSON.stringify(failed.answer)}`)
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
