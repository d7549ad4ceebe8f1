/**
 * `npm run bench:slots`: measures what slots cost. It makes slots as a cell does, all in one process, and measures:
 * - the time to the first answer of a version with a bundle of 500 KB, and of an idle scene with a small bundle
 * - the memory that a slot adds when it is loaded, and after 100 rankings
 * - many different scenes in one process, and a busy scene among them compared with the same scene alone
 * - memory, handles and threads while slots are loaded and disposed again and again
 * - what a lookout costs a slot, and how long a look at code that loops takes
 * - what clocks and random numbers cost code in a slot, and in an isolate without the code inside
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import ivm from 'isolated-vm'
import { renderColumns } from '../../base/kernel/columns.ts'
import { makeBlank } from '../../base/slot/blank.ts'
import { CodeCache } from '../../base/slot/code-cache.ts'
import type { SlotCall } from '../../base/slot/slot-call.ts'
import { Slots, type SlotsHost } from '../../base/slot/slots.ts'
import type { SlotPlan } from '../../base/traffic/table.ts'
import { bundleModule } from '../../sdk/bundle/bundle.ts'
import { root } from '../../test/support/base.ts'
import { readFlags } from './flags.ts'
import { median, quantile } from './median.ts'
import { sampleInput } from './rank50/index.ts'

const { scenes, cycles, rounds } = readFlags({
  scenes: { value: 1000, about: 'scenes in one process' },
  cycles: { value: 10_000, about: 'how often a slot is loaded and disposed' },
  rounds: { value: 50, about: 'first answers, and looks at code that loops, that are timed' },
})
const MB = 2 ** 20
/** How often each way to a clock is taken at a time. */
const CLOCK_RUNS = 1_000_000

const rank50 = (await bundleModule(join(root, 'scripts/bench/rank50'))).code
const sampleBody = JSON.stringify(sampleInput())

/** A bundle of about so many KB with the stage of rank50. The rest are functions of half a KB each, and the first request calls every one. */
function padded(kilobytes: number): string {
  const count = kilobytes * 2
  const branch = (i: number, j: number) => `    case ${j}: sum += (x.a ?? ${i}) * ${j} - String(x.b).length; break`
  const body = (i: number) => Array.from({ length: 7 }, (_, j) => branch(i, j)).join('\n')
  const text = (i: number) =>
    `function f${i}(x) {\n  let sum = ${i}\n  for (let i = 0; i < 7; i++) switch (i) {\n${body(i)}\n  }\n  return sum\n}`
  const functions = Array.from({ length: count }, (_, i) => text(i))
  const names = functions.map((_, i) => `f${i}`).join(',')
  return `(() => { const base = ${rank50.trim().replace(/;$/, '')};\n${functions.join('\n')}\nconst all = [${names}]; let first = true
    return { rank(input, ctx) { if (first) { first = false; for (const f of all) f({ a: 1 }) } return base.rank(input, ctx) } } })()`
}

/** @param bundleOf the text of a bundle by its digest */
function makeSlots(bundleOf: (digest: string) => string, host: Partial<SlotsHost> = {}): Slots {
  return new Slots({
    readBundle: async digest => bundleOf(digest),
    servicesOf: () => ({}),
    callService: () => Promise.reject(new Error('none')),
    fetch: () => Promise.reject(new Error('none')),
    callScene: () => Promise.reject(new Error('none')),
    onLog: () => undefined,
    onKilled: (plan, { reason }) => console.error(plan.scene, reason),
    onRunning: () => undefined,
    onLost: (_, reason) => {
      throw new Error(reason)
    },
    onBufferFailed: error => console.error(error),
    ...host,
  })
}

function plan(scene: string, bundle = 'rank50'): SlotPlan {
  const lock = [{ stage: 'rank', modules: [{ name: 'rank50', version: '1.0.0', bundle }] }]
  return { key: scene, scene, version: 'v1', memoryMB: 128, lock }
}

function call(scene: string): SlotCall {
  return {
    requestId: 'r',
    body: sampleBody,
    unit: 'u',
    deadlineAt: performance.now() + 60_000,
    cpuMs: 60_000,
    params: '{}',
    chain: [scene],
  }
}

const rss = () => process.memoryUsage.rss() / MB
const settle = () => new Promise(resolve => setTimeout(resolve, 50))
const rows: string[][] = []

/** Measures first answers of versions that are not loaded. Each time it is another version, and a buffered isolate is ready. */
async function firstAnswers(label: string, bundle: string): Promise<void> {
  const slots = makeSlots(() => bundle)
  const times: number[] = []
  for (let i = 0; i < rounds + 3; i++) {
    // The buffer of isolates is refilled in between. In a real cell, the time between two publishes is much longer than that takes.
    await settle()
    const startedAt = performance.now()
    await (await slots.ensure(plan(`s${i}`))).call(call(`s${i}`))
    times.push(performance.now() - startedAt)
    slots.retain(new Set())
  }
  // The first answers are not counted, because they fill the code cache.
  const counted = times.slice(3).sort((a, b) => a - b)
  rows.push([label, median(counted).toFixed(1), quantile(counted, 0.95).toFixed(1), 'ms'])
  await slots.close()
}

async function density(): Promise<void> {
  const slots = makeSlots(() => rank50)
  await settle()
  const empty = rss()
  const all = Array.from({ length: scenes }, (_, i) => plan(`s${i}`))
  for (const one of all) await slots.ensure(one)
  const loaded = rss()
  rows.push([`${scenes} scenes in one process: memory of each when loaded`, ((loaded - empty) / scenes).toFixed(2), '', 'MB'])
  const used = all.slice(0, Math.min(100, scenes))
  for (let i = 0; i < 100; i++) for (const one of used) await slots.peek(one)?.call(call(one.scene))
  rows.push([
    `the same after 100 rankings (${used.length} of them)`,
    ((rss() - loaded) / used.length + (loaded - empty) / scenes).toFixed(2),
    '',
    'MB',
  ])
  const [hot] = all
  if (hot === undefined) return
  const among = await throughput(slots, hot)
  await slots.close()
  const alone = makeSlots(() => rank50)
  await alone.ensure(hot)
  const ratio = among / (await throughput(alone, hot))
  rows.push([`a hot scene among ${scenes}: throughput against alone`, ratio.toFixed(2), '', 'ratio'])
  await alone.close()
}

async function throughput(slots: Slots, hot: SlotPlan): Promise<number> {
  const seconds: number[] = []
  const requests = Math.min(5000, cycles * 10)
  for (let round = 0; round < 5; round++) {
    const startedAt = performance.now()
    let left = requests
    const client = async () => {
      while (left-- > 0) await slots.peek(hot)?.call(call(hot.scene))
    }
    await Promise.all(Array.from({ length: 32 }, client))
    seconds.push((performance.now() - startedAt) / 1000)
  }
  return requests / median(seconds)
}

async function churn(): Promise<void> {
  // Each module has code of its own, which fills the code cache.
  const slots = makeSlots(digest => `${rank50}\n// ${digest}`)
  const measure = () => ({ mb: rss(), handles: process.getActiveResourcesInfo().length, threads: readdirSync('/proc/self/task').length })
  const cycle = async (i: number) => {
    await (await slots.ensure(plan(`c${i}`, `c${i}`))).call(call(`c${i}`))
    slots.retain(new Set())
  }
  for (let i = 0; i < Math.min(1000, cycles / 10); i++) await cycle(i)
  await settle()
  const before = measure()
  for (let i = 0; i < cycles; i++) await cycle(i)
  await settle()
  const after = measure()
  rows.push([`${cycles} modules: specialise, answer, dispose: memory`, `${before.mb.toFixed(0)} → ${after.mb.toFixed(0)}`, '', 'MB'])
  rows.push(['… handles', `${before.handles} → ${after.handles}`, '', ''], ['… threads', `${before.threads} → ${after.threads}`, '', ''])
  await slots.close()
}

/** Ends its request only after as many `await`s as the body says. */
const awaits = '(() => ({ rank: async n => { for (let i = 0; i < n; i++) await null; return n } }))()'
/** Loops until its slot is killed. */
const loops = '(() => ({ rank: () => { for (;;); } }))()'
const AWAITS = 200
/** Requests under way at the same time. */
const BATCH = 32
const watched: Partial<SlotsHost> = { lookoutUntil: () => Infinity }

async function lookouts(): Promise<void> {
  // The first loads fill what later ones use again.
  await costOfLoads(watched)
  const [opened, plain] = [await costOfLoads(watched), await costOfLoads({})]
  rows.push(['a slot with a lookout: CPU of a load more than without', (opened.cpuMs - plain.cpuMs).toFixed(2), '', 'ms'])
  rows.push(['… memory more than without', ((opened.mb - plain.mb) * 1024).toFixed(0), '', 'KB'])
  for (const [label, bundle, body] of [
    ['a ranking', rank50, sampleBody],
    [`a request with ${AWAITS} awaits`, awaits, String(AWAITS)],
  ] as const) {
    const [on, off] = [await cpuOfRequest(watched, bundle, body), await cpuOfRequest({}, bundle, body)]
    rows.push([`CPU of ${label}, with and without a lookout`, `${on.toFixed(0)} / ${off.toFixed(0)}`, '', 'µs'])
  }
  const looks: number[] = []
  for (let i = 0; i < rounds; i++) looks.push(await timeOfLook())
  looks.sort((a, b) => a - b)
  rows.push(['a look at code that loops', median(looks).toFixed(1), quantile(looks, 0.95).toFixed(1), 'ms'])
}

const cpuMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** What one of up to a hundred slots costs when it is loaded. */
async function costOfLoads(host: Partial<SlotsHost>): Promise<{ cpuMs: number; mb: number }> {
  const slots = makeSlots(() => rank50, host)
  await slots.ensure(plan('first'))
  await settle()
  const before = { cpuMs: cpuMs(), mb: rss() }
  const loads = Math.min(100, scenes)
  for (let i = 0; i < loads; i++) await slots.ensure(plan(`s${i}`))
  const cost = { cpuMs: (cpuMs() - before.cpuMs) / loads, mb: (rss() - before.mb) / loads }
  await slots.close()
  return cost
}

/** Microseconds of CPU, all threads of this process together. */
async function cpuOfRequest(host: Partial<SlotsHost>, bundle: string, body: string): Promise<number> {
  const slots = makeSlots(() => bundle, host)
  const slot = await slots.ensure(plan('s'))
  const run = async (batches: number) => {
    for (let i = 0; i < batches; i++) await Promise.all(Array.from({ length: BATCH }, () => slot.call({ ...call('s'), body })))
  }
  const batches = Math.ceil(cycles / 10)
  await run(Math.ceil(batches / 10))
  const before = cpuMs()
  await run(batches)
  const perRequest = ((cpuMs() - before) * 1000) / (batches * BATCH)
  await slots.close()
  return perRequest
}

/** Milliseconds from the kill of a slot whose code loops until the look at it has said the line. */
async function timeOfLook(): Promise<number> {
  const looked = Promise.withResolvers<number>()
  const onKilled: SlotsHost['onKilled'] = (_, { sight }) => {
    const killedAt = performance.now()
    sight?.then(seen => looked.resolve('stack' in seen ? performance.now() - killedAt : Number.NaN))
  }
  const slots = makeSlots(() => loops, { ...watched, onKilled })
  const slot = await slots.ensure(plan('loops'))
  slot.call({ ...call('loops'), cpuMs: 5 }).catch(() => undefined)
  const took = await looked.promise
  await slots.close()
  return took
}

/** Nanoseconds that clocks and chance take in a slot, and in an isolate that has V8's own. */
async function clocks(): Promise<void> {
  const { context, isolate } = await makeBlank(128, new CodeCache(0))
  const bare = new ivm.Isolate({ memoryLimit: 128 })
  const contexts = [context, bare.createContextSync()]
  for (const work of ['new Date().getTime()', 'new Date(i).getTime()', 'new Heir().getTime()', 'Date.now()', 'Math.random()']) {
    const code = `{ class Heir extends Date {}; const run = n => { let sum = 0; for (let i = 0; i < n; i++) sum += ${work}; return sum }
      for (let i = 0; i < 20; i++) run(20_000); run(${CLOCK_RUNS}); }`
    const times: number[][] = [[], []]
    for (let round = 0; round < 7; round++) for (const [i, each] of contexts.entries()) times[i]?.push(await nanoseconds(each, code))
    rows.push([
      `${work.replace('.getTime()', '')} in a slot, and in a bare isolate`,
      times.map(each => median(each).toFixed(1)).join(' / '),
      '',
      'ns',
    ])
  }
  isolate.dispose()
  bare.dispose()
}

async function nanoseconds(context: ivm.Context, code: string): Promise<number> {
  const startedAt = performance.now()
  await context.eval(code)
  return ((performance.now() - startedAt) * 1e6) / (CLOCK_RUNS + 400_000)
}

const large = padded(500)
await firstAnswers(`specialise and first answer, ${Math.round(large.length / 1024)} KB bundle, each of its 1,000 functions called`, large)
await firstAnswers('first answer of an idle scene, small bundle', rank50)
await density()
await churn()
await lookouts()
await clocks()
console.log(renderColumns(['what', 'p50', 'p95', 'unit'], rows))
