/**
 * `npm run capsules:warm-up`: compares the first hundred answers of three slots of a version, in rounds that take turns: one that has just been loaded (cold), one that
 * has warmed up before (warm), and one that has answered thousands of requests (hot). Ends with 1 when the p99 of the warm one is more than 1.5 times that of the hot
 * one. The p99 of a hundred answers is the second slowest. Requests are made from a seed; those to warm up with are others than those that are timed.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WarmUpRequest } from '../../base/capsule/warm-up-request.ts'
import { Services } from '../../base/cell/base-services.ts'
import { warmUp } from '../../base/cell/warm-up.ts'
import { renderColumns } from '../../base/kernel/columns.ts'
import { limits } from '../../base/kernel/limits.ts'
import { Slots } from '../../base/slot/slots.ts'
import type { Lock, LockedStage } from '../../base/traffic/schema.ts'
import { lockedServices, type SlotPlan } from '../../base/traffic/table.ts'
import { bundleModule } from '../../sdk/bundle/bundle.ts'
import { root } from '../../test/support/base.ts'
import { readFlags } from '../bench/flags.ts'
import { median } from '../bench/median.ts'
import { sampleInput } from '../bench/rank50/index.ts'

const { rounds, seed, hot, ratio } = readFlags({
  rounds: { value: 21, about: 'rounds, each with a slot that is cold and one that is warm' },
  seed: { value: 1, about: 'from which requests are made' },
  hot: { value: 20_000, about: 'requests that the hot slot has answered before' },
  ratio: { value: 1.5, about: 'how many times as long as the hot one the warm one may take at p99' },
})
const FIRST = 100

/** A version whose slots are compared. */
interface Subject {
  readonly name: string
  readonly lock: Lock
  readonly params: string
  body(): string
}

/** Numbers from 0 to 1 from a seed (mulberry32). */
function chanceOf(from: number): () => number {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

const chance = chanceOf(seed)
const below = (max: number) => Math.floor(chance() * max)

const stage = (name: string, module: string, services: string[] = []): LockedStage => ({
  stage: name,
  modules: [{ name: module, version: '1.0.0', bundle: module, services }],
})

const subjects: readonly Subject[] = [
  {
    name: 'rank50',
    lock: [stage('rank', 'rank50')],
    params: '{}',
    body: () => JSON.stringify(sampleInput(5 + below(96))),
  },
  {
    name: 'fashion-men',
    lock: [stage('recall', 'recall-all', ['features']), stage('rank', 'rank-lr', ['features']), stage('rerank', 'diversify', [])],
    params: JSON.stringify({ campaign: 'men', topK: 3, diversity: 0.3 }),
    body: () => {
      const affinity = Object.fromEntries(Array.from({ length: below(6) }, () => [String(below(34)), 1 + below(3)]))
      return JSON.stringify({ user: { affinity }, exclude: Array.from({ length: below(4) }, () => below(34)) })
    },
  },
]

const data = await mkdtemp(join(tmpdir(), 'berth-warm-up-'))
await cp(join(root, 'fixtures/features'), join(data, 'features'), { recursive: true })
const services = new Services({
  data,
  log: (_, level, message) => level === 'error' && console.error(message),
  count: () => undefined,
  onFailed: (_, __, error) => console.error(error),
  onTables: () => undefined,
})
await services.start([])
const bundles = new Map<string, Promise<string>>()
const bundleOf = (module: string): Promise<string> => {
  const folder = module === 'rank50' ? 'scripts/bench/rank50' : `modules/${module}`
  const bundle = bundles.get(module) ?? bundleModule(join(root, folder)).then(({ code }) => code)
  bundles.set(module, bundle)
  return bundle
}
const notThere = () => Promise.reject(new Error('no module here asks for it'))
const host = {
  servicesOf: ({ lock }: SlotPlan) => services.named(lockedServices(lock)),
  callService: (...asked: Parameters<Services['call']>) => services.call(...asked),
}
const slots = new Slots({
  ...host,
  readBundle: bundleOf,
  fetch: notThere,
  callScene: notThere,
  onLog: () => undefined,
  onKilled: (plan, { reason }) => console.error(plan.scene, reason),
  onRunning: () => undefined,
  onLost: (_, reason) => {
    throw new Error(reason)
  },
  onBufferFailed: error => console.error(error),
})

const plan = ({ lock }: Subject, key: string): SlotPlan => ({ key, scene: key, version: 'v1', memoryMB: 128, lock })

const requestOf = ({ body, params }: Subject): WarmUpRequest => {
  return { requestId: `r${below(1e6)}`, body: body(), unit: `u${below(1000)}`, bucket: undefined, deadlineMs: 60_000, params, replies: [] }
}

/** Milliseconds that each of so many answers takes, one after the other, in ascending order. */
async function timesOf(subject: Subject, to: SlotPlan, count: number): Promise<number[]> {
  const slot = await slots.ensure(to)
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const { requestId, body, unit, params } = requestOf(subject)
    const startedAt = performance.now()
    await slot.call({ requestId, body, unit, params, deadlineAt: startedAt + 60_000, cpuMs: 60_000, chain: [to.scene] })
    times.push(performance.now() - startedAt)
  }
  return times.sort((a, b) => a - b)
}

const p99 = (sorted: readonly number[]): number => sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
const settle = () => new Promise(resolve => setTimeout(resolve, 50))

/** The medians of all rounds: of the p99 of each slot, and of the time that the warm-up took. */
async function compare(subject: Subject) {
  const hotPlan = plan(subject, `${subject.name}/hot`)
  await timesOf(subject, hotPlan, hot)
  const found = { cold: [] as number[], warm: [] as number[], hot: [] as number[], tookMs: [] as number[] }
  const outcomes = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const [cold, warm] = [plan(subject, `${subject.name}/cold${round}`), plan(subject, `${subject.name}/warm${round}`)]
    await slots.ensure(cold)
    await slots.ensure(warm)
    const startedAt = performance.now()
    const requests = Array.from({ length: limits.capsule.warmUpCapsulesMax }, () => requestOf(subject))
    const job = { plan: warm, requests, cpuMs: 1000, msMax: limits.capsule.warmUpMs, once: false }
    await warmUp(job, { ...host, slots, count: (_, outcome) => outcomes.add(outcome) })
    found.tookMs.push(performance.now() - startedAt)
    const turns = [
      async () => found.cold.push(p99(await timesOf(subject, cold, FIRST))),
      async () => found.warm.push(p99(await timesOf(subject, warm, FIRST))),
      async () => found.hot.push(p99(await timesOf(subject, hotPlan, FIRST))),
    ]
    for (let i = 0; i < turns.length; i++) {
      await settle()
      await turns[(round + i) % turns.length]?.()
    }
    slots.retain(new Set([hotPlan.key]))
  }
  return { cold: median(found.cold), warm: median(found.warm), hot: median(found.hot), tookMs: median(found.tookMs), outcomes }
}

let isKept = true
const rows: string[][] = []
for (const subject of subjects) {
  const { cold, warm, hot, tookMs, outcomes } = await compare(subject)
  if (warm > ratio * hot) isKept = false
  const figures = [cold, warm, hot].map(ms => ms.toFixed(3))
  rows.push([subject.name, ...figures, (warm / hot).toFixed(2), tookMs.toFixed(0), [...outcomes].join(', ')])
}
console.log(renderColumns(['p99 of the first 100 answers, ms', 'cold', 'warm', 'hot', 'warm / hot', 'warm-up, ms', 'ended'], rows))
await slots.close()
await services.stop()
await rm(data, { recursive: true })
if (!isKept) console.error(`Too slow: a warm slot may take ${ratio} times as long as a hot one`)
process.exit(isKept ? 0 : 1)
