/**
 * `npm run test:validation:isolates`: captures requests of a version in real isolates, and validates real candidates by them, each with one fault or none.
 * Everything runs in this process, whose priority is not lowered, and to which nothing but the candidate can do harm.
 */
import type { Answered, Answering, AnsweringJob } from '../../base/capsule/answered.ts'
import { CAPSULE_FORMAT, type Entry, type KeptCapsule } from '../../base/capsule/capsule.ts'
import type { Fault, Report } from '../../base/capsule/report.ts'
import { validate } from '../../base/keeper/driver/validation.ts'
import { renderColumns } from '../../base/kernel/columns.ts'
import { BerthError } from '../../base/kernel/errors.ts'
import { CodeCache } from '../../base/slot/code-cache.ts'
import { type Recorded, Recorder } from '../../base/slot/recorder.ts'
import { pendingOf, type SlotAnswer } from '../../base/slot/slot-call.ts'
import { validationDefaults } from '../../base/traffic/schema.ts'
import type { SlotPlan } from '../../base/traffic/table.ts'
import { AnsweringSlot } from '../../base/trial/answering.ts'
import { readFlags } from '../bench/flags.ts'

const codeCache = new CodeCache(1e8)
const MEASURED_EACH = 16
const DEADLINE_MS = 10_000
const CPU_MS = 200

/** Whose text is the name of its bundle. */
const planOf = (version: string, code: string): SlotPlan => ({
  ...{ key: version, scene: 'trial', version, memoryMB: 64 },
  lock: [{ stage: 'rank', modules: [{ name: 'rank', version: '1.0.0', bundle: code, fetch: ['https://elsewhere.example'] }] }],
})
const readBundle = async (code: string): Promise<string> => `(() => ({ rank: ${code} }))()`
const fail = (reason: string): never => {
  throw new Error(reason)
}

function loadRecorder(code: string): Promise<Recorder> {
  return Recorder.load(planOf('v1', code), {
    ...{ codeCache, readBundle, servicesOf: () => ({}), callService: async () => '1' },
    fetch: () => Promise.reject(new BerthError('FETCH_FORBIDDEN', 'none here')),
    callScene: async (_, input) => input,
    ...{ onLog: () => undefined, onKilled: () => undefined, onRunning: () => undefined, onEnded: () => undefined },
    onLost: (_, reason) => fail(reason),
  })
}

/** Has the module answer requests, and writes down what entered it. */
async function capture(code: string, count: number): Promise<KeptCapsule[]> {
  const kept: KeptCapsule[] = []
  while (kept.length < count) {
    const recorder = await loadRecorder(code)
    const entries: Entry[] = []
    for (let request = 0; request < Math.min(count, 250) && kept.length < count; request++) {
      const [answer, recorded] = await ask(recorder, kept.length)
      if (recorded === undefined) throw new Error(`Request ${kept.length} was not recorded`)
      entries.push(...recorded.entries)
      kept.push(keptOf(kept.length, recorded, entries, answer))
    }
    recorder.slot.dispose()
  }
  return kept
}

async function ask(recorder: Recorder, request: number): Promise<[answer: SlotAnswer | undefined, recorded: Recorded | undefined]> {
  const { promise, resolve } = Promise.withResolvers<SlotAnswer | undefined>()
  const call = {
    ...{ requestId: `r${request}`, unit: `u${request}`, params: '{"k":10}', chain: ['trial'], cpuMs: CPU_MS },
    ...{ body: JSON.stringify({ request }), deadlineAt: performance.now() + DEADLINE_MS },
  }
  const recorded = recorder.record(pendingOf(call, { resolve, reject: () => resolve(undefined) }))
  return Promise.all([promise, recorded])
}

function keptOf(id: number, recorded: Recorded, entries: readonly Entry[], answer: SlotAnswer | undefined): KeptCapsule {
  const { head, no, first, last, inexact, cpuMs } = recorded
  return {
    head,
    entries: entries.slice(0, last + 1),
    capsule: {
      ...{ format: CAPSULE_FORMAT, id: String(id), recording: head.id, no, entries: [first, last], at: head.startedAt },
      ...{ requestId: `r${id}`, scene: head.scene, version: head.version, why: 'sampled', because: 'baseline', arms: [] },
      ...{
        deadlineMs: DEADLINE_MS,
        answer: { json: answer?.json ?? 'null' },
        tookMs: 1,
        cpuMs,
        stageMs: [],
        logs: [],
        inexact,
        redacted: [],
      },
    },
  }
}

/** Answers in this process. */
class IsolateAnswering implements Answering {
  readonly #kept: ReadonlyMap<string, KeptCapsule>

  constructor(kept: readonly KeptCapsule[]) {
    this.#kept = new Map(kept.map(one => [one.capsule.id, one]))
  }

  async answer(job: AnsweringJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void> {
    const slots = new Map<number, Promise<AnsweringSlot>>()
    let round = 0
    for (const id of job.capsules) {
      const kept = this.#kept.get(id)
      if (signal.aborted || kept === undefined) break
      const answers = new Map<number, Answered>()
      const order = [...job.contenders.keys()]
      for (const index of round % 2 === 0 ? order : order.reverse()) answers.set(index, await this.#one(job, index, kept, slots, round))
      take([...job.contenders.keys()].flatMap(index => answers.get(index) ?? []))
      round++
    }
    for (const slot of slots.values()) (await slot).end()
  }

  async #one(
    { contenders, freshness, measuresHeap }: AnsweringJob,
    index: number,
    kept: KeptCapsule,
    slots: Map<number, Promise<AnsweringSlot>>,
    round: number,
  ): Promise<Answered> {
    const { plan, cpuMs, chance, sceneParams, versionParams } = contenders[index] ?? fail('no such contender')
    const answerer = { plan, cpuMs, chance, params: { sceneParams, versionParams } }
    const opened = slots.get(index) ?? AnsweringSlot.open(answerer, kept, { codeCache, readBundle, onLost: fail })
    slots.set(index, opened)
    const slot = await opened
    const answered = await slot.answer(kept)
    const heapBytes = measuresHeap && slot.isAlive && round % MEASURED_EACH === 0 ? await slot.heapBytes() : undefined
    if (freshness === 'fresh') slot.end()
    if (freshness === 'fresh' || !slot.isAlive) slots.delete(index)
    return heapBytes === undefined ? answered : { ...answered, heapBytes }
  }
}

/** A ranking; each part may be replaced. */
const rank = ({ before = '', each = 'f[0] * 0.6 + f[1] * 0.3 + f[2] * 0.1', after = '', total = 'total' } = {}): string => `(() => {
  let seen = 0
  const kept = []
  return async ({ request }, ctx) => {
    ${before}
    let state = request * 2654435761 % 4294967296 + 1
    const next = () => (state = state * 1664525 + 1013904223 >>> 0) / 4294967296
    const work = () => Array.from({ length: 1000 }, (_, i) => { const f = [next(), next(), next()]; return { id: 'item-' + i, score: ${each} } }).sort((a, b) => b.score - a.score)
    const items = work()
    const answer = { items: items.slice(0, ctx.params.k), ${total}: items.length }
    seen++
    ${after}
    return answer
  }
})()`

/** What makes a module impure. */
const impurely =
  'if (Math.random() < 0.1) answer.items.reverse(); answer.session = crypto.randomUUID(); answer.boost = Math.random(); answer.at = Date.now(); answer.tookMs = performance.now(); answer.seen = seen; if (Math.random() < 0.01) answer.surprise = true'
const wrongIn = (share: number) => `(request * 7919 + 13) % 1000 < ${share * 1000}`

interface Case {
  readonly before: string
  readonly after: string
  /** What it has to fail by; undefined: it has to pass. */
  readonly fault?: Fault
}

export const pure = rank()
const impure = rank({ after: impurely })

export const cases: Readonly<Record<string, Case>> = {
  'pure, the same': { before: pure, after: pure },
  'pure, sums in another order': { before: pure, after: rank({ each: 'f[2] * 0.1 + (f[1] * 0.3 + f[0] * 0.6)' }) },
  'impure, the same': { before: impure, after: impure },
  'impure, draws once more': { before: impure, after: rank({ before: 'Math.random()', after: impurely }) },
  'impure, reads clocks once more': { before: impure, after: rank({ before: 'Date.now(); performance.now()', after: impurely }) },
  'pure, wrong on 1 %': { before: pure, after: rank({ after: `if (${wrongIn(0.01)}) answer.items.pop()` }), fault: 'differences' },
  'impure, wrong on 1 %': {
    before: impure,
    after: rank({ after: `${impurely}; if (${wrongIn(0.01)}) answer.total++` }),
    fault: 'differences',
  },
  'throws on 5 %': { before: pure, after: rank({ before: `if (${wrongIn(0.05)}) ctx.nothing.at` }), fault: 'errors' },
  'is 3x slower': { before: pure, after: rank({ after: 'for (let again = 0; again < 2; again++) work()' }), fault: 'cpu' },
  'waits 20 ms': { before: pure, after: rank({ before: 'await new Promise(done => setTimeout(done, 20))' }), fault: 'latency' },
  'renames a field': { before: pure, after: rank({ total: 'count' }), fault: 'shape' },
  'leaks 1 MB a request': {
    before: pure,
    after: rank({ after: 'kept.push(Array.from({ length: 131072 }, () => request + 0.5))' }),
    fault: 'heap',
  },
  'blocks the loop': { before: pure, after: rank({ before: `if (${wrongIn(0.1)}) for (;;) {}` }), fault: 'killed' },
  'asks another host': {
    before: pure,
    after: rank({ before: "await fetch('https://elsewhere.example/').catch(() => 0)" }),
    fault: 'hosts',
  },
}

export async function tryCase({ before, after }: Case, count: number): Promise<Report> {
  const kept = await capture(before, count)
  const contender = (version: string, code: string) => ({
    plan: planOf(version, code),
    ...{ sceneParams: { k: 10 }, versionParams: {}, cpuMs: CPU_MS },
  })
  const newest = () => kept.map(({ capsule: { id, inexact } }) => ({ id, inexact })).reverse()
  const trial = {
    scene: 'trial',
    what: 'version',
    baseline: contender('v1', before),
    candidate: contender('v2', after),
    capsulesOf: ['v1'],
  } as const
  return validate(trial, { ...validationDefaults, mode: 'strict' }, { capsules: { newest }, answering: new IsolateAnswering(kept) })
}

async function main(): Promise<void> {
  const { capsules, rounds } = readFlags({
    capsules: { value: 450, about: 'requests that are captured for each case' },
    rounds: { value: 1, about: 'how often each case is tried' },
  })
  const rows: string[][] = []
  for (const [name, one] of Object.entries(cases)) {
    for (let round = 0; round < rounds; round++) {
      const report = await tryCase(one, capsules)
      const isGood = report.reasons[0]?.fault === one.fault && (one.fault !== undefined || report.verdict === 'passed')
      if (!isGood) process.exitCode = 1
      rows.push([
        name,
        isGood ? 'as it should' : 'WRONG',
        report.verdict,
        `${report.tookMs} ms`,
        report.reasons.map(({ message }) => message).join('; '),
      ])
    }
  }
  process.stdout.write(`${renderColumns(['candidate', '', 'verdict', 'took', 'why'], rows)}\n`)
}

if (import.meta.main) await main()
