/** Measures what requests cost: it has a generator send them, to one subject after the other in interleaved rounds, and watches the machine meanwhile. */
import { messageOf } from '../../base/kernel/errors.ts'
import type { Comparison, Run, Way } from './comparison.ts'
import {
  type ClosedLoad,
  Generator,
  type GeneratorName,
  type LoadResult,
  type OpenLoad,
  possibleSeconds,
  type SparseLoad,
} from './generator.ts'
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
      const enough = Math.min(this.#warm.has(subject.url) ? warmUp.next : warmUp.first, seconds * 1.5)
      await send(subject, possibleSeconds(this.generator.name, enough))
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
