/** Measures what requests cost: it has a generator send them, to one subject after the other in interleaved rounds, and watches the machine meanwhile. */
import { renderColumns } from '../../base/kernel/columns.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { type ClosedLoad, Generator, type GeneratorName, type LoadResult, type OpenLoad, type SparseLoad } from './generator.ts'
import { median } from './median.ts'
import { allowed, CpuMeter, choosePair, machineTimes, type Pair, pin, sumOf } from './processors.ts'

/** What requests are sent to. */
export interface Subject {
  readonly name: string
  readonly url: string
  /** The processes whose CPU is counted. */
  pids(): Promise<readonly number[]>
  /** Of its requests, where not all subjects get the same. */
  readonly headers?: Readonly<Record<string, string>>
  /** Prepares each of its rounds. */
  before?(): Promise<unknown>
}

export interface Run {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Microseconds of CPU of all processes of the subject, for each request that they answered. */
  readonly cpuUs: number
  readonly failed: number
  /** Processors that were used meanwhile by whatever is neither the subject nor the generator. */
  readonly others: number
  /** Processors that the host of a virtual machine has withheld. */
  readonly stolen: number
  /** Parts of `cpuUs`, by process and thread. */
  readonly threads: Readonly<Record<string, number>>
}

export type Column = Exclude<keyof Run, 'threads'>

/** Where processes run: the subject on one processor and the generator on another one, or both where the system wants. */
export type Way = 'pinned' | 'free'

export interface Result {
  readonly subject: string
  readonly runs: readonly Run[]
}

/** Runs of several subjects under the same load, the first of which is what the others are compared with. */
export interface Comparison {
  readonly scenario: string
  readonly title: string
  /** What is sent, in words. */
  readonly load: string
  readonly way: Way
  readonly results: readonly Result[]
}

/** All that a bench has measured. */
export interface Report {
  readonly machine: string
  readonly generator: GeneratorName
  readonly seconds: number
  readonly comparisons: readonly Comparison[]
}

export const medianOf = ({ runs }: Result, column: Column): number => median(runs.map(run => run[column]))

/** A ratio of medians, and the lowest and highest ratio of the two runs of a round. */
export interface Ratio {
  readonly value: number
  readonly low: number
  readonly high: number
}

export function ratioOf(one: Result, other: Result, column: Column): Ratio {
  const ofRounds = one.runs.map((run, round) => run[column] / (other.runs[round]?.[column] ?? Number.NaN))
  return { value: medianOf(one, column) / medianOf(other, column), low: Math.min(...ofRounds), high: Math.max(...ofRounds) }
}

export const showRatio = ({ value, low, high }: Ratio): string => `${value.toFixed(2)}x (${low.toFixed(2)}–${high.toFixed(2)})`

/** Who is compared how often. */
export interface Plan extends Omit<Comparison, 'results'> {
  readonly subjects: readonly Subject[]
  readonly rounds: number
  readonly seconds: number
}

/** Sent on each connection in turn, the next one when the one before is answered. By default all requests are of one unit. */
export type Load = Pick<ClosedLoad, 'body' | 'connections'> & Partial<Pick<ClosedLoad, 'units'>>

/** Load that a subject gets before it is measured: much before the first time, until its code is optimised, and little before the next load. */
const warmUp = { first: 3, next: 1 } as const
/** Connections of an open loop. A request that is due when all of them wait for an answer is not sent, and counts as failed. */
const CONNECTIONS_MAX = 512

export class Rig {
  readonly generator: Generator
  /** Undefined where processes cannot be pinned. */
  readonly pair: Pair | undefined
  readonly #warm = new Set<string>()
  /** On which processors each process of a subject runs. */
  readonly #assigned = new Map<number, string>()

  constructor(generator: GeneratorName) {
    if (process.platform !== 'linux') throw new Error('Cannot measure here: CPU is read from /proc, which only Linux has')
    this.generator = new Generator(generator)
    this.pair = choosePair()
  }

  /** Pinned where that is possible. */
  get bestWay(): Way {
    return this.pair === undefined ? 'free' : 'pinned'
  }

  stop(): Promise<void> {
    return this.generator.stop()
  }

  /** Closed loop: measures what each subject answers at most. */
  closed(plan: Plan, load: Load): Promise<Comparison> {
    return this.#compare(plan, ({ url }, seconds) => this.generator.closed({ units: ['u42'], ...load, url, seconds }))
  }

  /** Open loop: measures latencies at a rate that all subjects can answer. */
  open(plan: Plan, load: Pick<OpenLoad, 'body' | 'perSecond'>): Promise<Comparison> {
    const pace = plan.way === 'pinned' ? 'even' : 'by millisecond'
    return this.#compare(plan, ({ url }, seconds) => this.generator.open({ ...load, connectionsMax: CONNECTIONS_MAX, pace, url, seconds }))
  }

  /** Asks each of several scenes once, with pauses in between. The url of a subject is what the urls of its scenes begin with. */
  oneByOne(plan: Omit<Plan, 'seconds'>, load: Omit<SparseLoad, 'url' | 'headers'>): Promise<Comparison> {
    return this.#compare({ ...plan, seconds: Number.NaN }, ({ url, headers = {} }) => this.generator.oneByOne({ ...load, url, headers }))
  }

  /** Another subject goes first in each round, so that a drift of the machine's speed favours none. */
  async #compare(plan: Plan, send: (subject: Subject, seconds: number) => Promise<LoadResult>): Promise<Comparison> {
    const { subjects, rounds, seconds, ...comparison } = plan
    const runs = subjects.map((): Run[] => [])
    for (const subject of subjects) {
      this.assign(plan.way, await subject.pids())
      await send(subject, Math.min(this.#warm.has(subject.url) ? warmUp.next : warmUp.first, seconds * 1.5))
      this.#warm.add(subject.url)
    }
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < subjects.length; i++) {
        const at = (round + i) % subjects.length
        const subject = subjects[at] as Subject
        runs[at]?.push(await this.#measure(plan.way, subject, () => send(subject, seconds)))
      }
    }
    return { ...comparison, results: subjects.map(({ name }, at) => ({ subject: name, runs: runs[at] ?? [] })) }
  }

  async #measure(way: Way, subject: Subject, send: () => Promise<LoadResult>): Promise<Run> {
    await subject.before?.()
    const pids = await subject.pids()
    this.assign(way, pids)
    const [meter, own, before, startedAt] = [new CpuMeter(pids), process.cpuUsage(), machineTimes(), performance.now()]
    const { answered, seconds, p50Ms, p99Ms, failed, cpu } = await send().catch(error => {
      throw new Error(`Cannot measure ${subject.name}: ${messageOf(error)}`, { cause: error })
    })
    const [threads, after, elapsed] = [meter.usedUs(), machineTimes(), (performance.now() - startedAt) / 1000]
    const usedUs = sumOf(threads.values())
    const { user, system } = process.cpuUsage(own)
    const generator = Number.isNaN(cpu) ? after.children - before.children : cpu
    const known = (usedUs + user + system) / 1e6 + generator
    return {
      requestsPerSecond: answered / seconds,
      ...{ p50Ms, p99Ms, failed },
      cpuUs: usedUs / answered,
      others: Math.max(0, (after.busy - before.busy - known) / elapsed),
      stolen: (after.stolen - before.stolen) / elapsed,
      threads: Object.fromEntries([...threads].map(([thread, us]) => [thread, us / answered])),
    }
  }

  /** Moves the processes of a subject, and the generator, to where they shall run, and those of other subjects out of the way. */
  assign(way: Way, pids: readonly number[]): void {
    if (this.pair === undefined) return
    const [measured, rest] = way === 'pinned' ? [[this.pair.measured], [this.pair.generator]] : [allowed(), allowed()]
    // Even a base that nobody asks uses a little of its processor.
    for (const pid of this.#assigned.keys()) if (!pids.includes(pid)) this.#move(pid, rest)
    // Threads that were started meanwhile run where the one runs that started them, but processes may be new.
    for (const pid of pids) this.#move(pid, measured, true)
    this.generator.runOn(way === 'pinned' ? [this.pair.generator] : undefined)
  }

  #move(pid: number, processors: readonly number[], always = false): void {
    const where = processors.join()
    if (!always && this.#assigned.get(pid) === where) return
    pin(pid, processors)
    this.#assigned.set(pid, where)
  }
}

/** Prints medians, how they compare with the first subject, and each round. */
export function printComparison({ title, load, way, results }: Comparison): void {
  const [reference] = results
  const head = ['', 'req/s', 'against the first', 'CPU µs/req', '', 'p50 ms', 'p99 ms', '', 'each round: req/s, CPU µs, p99 ms']
  const against = (result: Result, column: Column) =>
    reference === undefined || result === reference ? '' : showRatio(ratioOf(result, reference, column))
  const rows = results.map(result => [
    result.subject,
    ...[medianOf(result, 'requestsPerSecond').toFixed(0), against(result, 'requestsPerSecond')],
    ...[medianOf(result, 'cpuUs').toFixed(1), against(result, 'cpuUs')],
    medianOf(result, 'p50Ms').toFixed(2),
    ...[medianOf(result, 'p99Ms').toFixed(2), against(result, 'p99Ms')],
    result.runs.map(run => `${run.requestsPerSecond.toFixed(0)},${run.cpuUs.toFixed(0)},${run.p99Ms.toFixed(1)}`).join(' '),
  ])
  console.log(`\n${title}: ${load}, ${way === 'pinned' ? 'pinned' : 'not pinned'}`)
  console.log(renderColumns(head, rows))
  for (const warning of warningsOf(results)) console.log(`! ${warning}`)
}

/** Prints what each thread of each process of a subject costs a request. */
export function printThreads({ results }: Comparison): void {
  const names = (runs: readonly Run[]) => [...new Set(runs.flatMap(({ threads }) => Object.keys(threads)))]
  const rows = results.flatMap(({ subject, runs }) =>
    names(runs).map((name): [string, string, number] => [subject, name, median(runs.map(({ threads }) => threads[name] ?? 0))]),
  )
  const shown = rows.filter(([, , us]) => us > 0.5).map(([subject, name, us]) => [subject, name, us.toFixed(1)])
  console.log(renderColumns(['', 'process, thread', 'CPU µs/req'], shown))
}

/** Bounds beyond which the machine is too noisy to tell. */
const noise = { spread: 0.15, others: 0.1, stolen: 0.03 } as const

export const hasFailed = ({ runs }: Result): boolean => runs.some(({ failed }) => failed > 0)

/** Why figures may be wrong. */
export function warningsOf(results: readonly Result[]): string[] {
  const runs = results.flatMap(result => result.runs)
  const most = (column: 'others' | 'stolen') => median(runs.map(run => run[column]))
  const percent = (part: number) => `${(part * 100).toFixed(0)} %`
  const failures = results.filter(hasFailed).map(({ subject }) => `Requests to ${subject} failed: its figures mean nothing`)
  const spreads = results.flatMap(result => {
    const spread = spreadOf(result)
    if (spread <= noise.spread) return []
    return [`Noisy: the rounds of ${result.subject} are ${percent(spread)} apart, so only ratios whose brackets do not overlap differ`]
  })
  return [
    ...failures,
    ...spreads,
    ...(most('others') > noise.others ? [`Too noisy to tell: other programs used ${percent(most('others'))} of a processor`] : []),
    ...(most('stolen') > noise.stolen ? [`Too noisy to tell: the host withheld ${percent(most('stolen'))} of a processor`] : []),
  ]
}

/** How far the rounds of a subject are apart, as a part of their median. */
function spreadOf(result: Result): number {
  const rates = result.runs.map(run => run.requestsPerSecond)
  return (Math.max(...rates) - Math.min(...rates)) / medianOf(result, 'requestsPerSecond')
}
