/** One run: it starts a base, sends traffic to it, injects faults and does operations, and lets a judge check the record of all that. */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { launchBase, type RunningBase } from '../../test/support/base.ts'
import { commit } from './faults.ts'
import { Judge } from './judge.ts'
import { Operator } from './operations.ts'
import { isAlive, vitalsOf } from './processes.ts'
import type { Entry, Verdict } from './record.ts'
import { setUp, units } from './scenes.ts'
import { type Fault, faults, type Operation, operations, type Step, stepsOf } from './schedule.ts'
import { Stage } from './stage.ts'
import { startTraffic } from './traffic.ts'

export interface RunOptions {
  readonly minutes: number
  readonly seed: number
  readonly cells: number
  /** Requests a second. */
  readonly rate: number
  /** Milliseconds of quiet between two faults, and between two operations, on average. */
  readonly everyMs: number
  /** Ends the run early; what has been seen until then is judged. */
  readonly interrupted: AbortSignal
  /** Called twice a second. */
  readonly onProgress: (progress: Progress) => void
  readonly note: (line: string) => void
}

export interface Progress {
  readonly seconds: number
  readonly faults: Readonly<Record<Fault, number>>
  readonly operations: Readonly<Record<Operation, number>>
  readonly requests: number
  readonly violations: number
  /** Resident MB by role. */
  readonly rssMB: Readonly<Record<string, number>>
}

export interface Report extends Omit<Progress, 'requests' | 'violations' | 'rssMB'> {
  readonly verdict: Verdict
  /** The folder with the data and the log of the base; undefined when there was no violation and it has been removed. */
  readonly kept: string | undefined
}

const REVIEW_MS = 500
const SAMPLE_MS = 2000
const END_MS_MAX = 30_000

/**
 * Runs for the given minutes, and at least until every kind of fault and operation was due once. Only faults that were really injected are counted.
 * In the second half the keeper and the last cell are not killed any more, so that their growth can be measured.
 */
export async function run(options: RunOptions): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-soak-'))
  const base = await launchBase({ data: join(folder, 'data'), cells: options.cells, args: ['--log-level', 'info'] })
  let isClean = false
  try {
    const report = await new Soak(base, options).run()
    isClean = report.verdict.violations.length === 0
    return isClean ? report : { ...report, kept: folder }
  } finally {
    await base.kill()
    if (isClean) await rm(folder, { recursive: true, force: true })
    else await keepLog(folder, base)
  }
}

async function keepLog(folder: string, { log, output }: RunningBase): Promise<void> {
  await writeFile(join(folder, 'log.ndjson'), log.map(line => `${JSON.stringify(line)}\n`).join(''))
  // This is the output of processes that is not part of the log.
  await writeFile(join(folder, 'output.txt'), output.map(line => `${line}\n`).join(''))
}

class Soak {
  readonly #base: RunningBase
  readonly #options: RunOptions
  #startedAt = performance.now()
  readonly #judge = new Judge(units)
  readonly #over = new AbortController()
  readonly #faults = countsOf(faults)
  readonly #operations = countsOf(operations)
  readonly #stage: Stage
  readonly #rssMB: Record<string, number> = {}
  #sampledAt = 0

  constructor(base: RunningBase, options: RunOptions) {
    this.#base = base
    this.#options = options
    const { cells, interrupted, note } = options
    const ending = AbortSignal.any([interrupted, this.#over.signal])
    this.#stage = new Stage({ base, cells, now: this.#now, record: this.#record, note, ending })
    // At a terminal, the base gets Ctrl-C too. It counts signals that come close together as one.
    interrupted.addEventListener('abort', () => base.process.kill('SIGTERM'))
    base.process.once('exit', () => this.#over.abort())
  }

  async run(): Promise<Report> {
    try {
      await setUp(this.#base.client, this.#base.data)
      this.#startedAt = performance.now()
      await this.#underTraffic(await Operator.open(this.#stage, this.#base.data))
    } catch (error) {
      // The base ends as soon as the run is interrupted, so errors after that are expected.
      if (!this.#options.interrupted.aborted) throw error
    } finally {
      this.#over.abort()
    }
    await this.#end()
    const verdict = this.#judge.end(this.#now())
    return { seconds: this.#seconds, faults: this.#faults, operations: this.#operations, verdict, kept: undefined }
  }

  async #underTraffic(operator: Operator): Promise<void> {
    const { url, token } = this.#base
    const { seed, rate } = this.#options
    const traffic = startTraffic({ url, token, seed, perSecond: rate, now: this.#now, onExchange: this.#record })
    const watching = setInterval(() => this.#watch(), REVIEW_MS)
    try {
      await Promise.all([this.#faultLane(), this.#operationLane(operator)])
      if (!this.#stage.ending.aborted) await this.#stage.checkAudit({ all: true })
    } finally {
      clearInterval(watching)
      await traffic.stop()
    }
  }

  readonly #now = (): number => performance.now() - this.#startedAt

  /** Passes an entry to the judge. After an interruption only the entry `ended` counts, since everything else is an effect of the interruption. */
  readonly #record = (entry: Entry): void => {
    if (this.#options.interrupted.aborted && entry.is !== 'ended') return
    this.#judge.take(entry)
  }

  get #seconds(): number {
    return Math.round(this.#now() / 1000)
  }

  get #halfMs(): number {
    return this.#options.minutes * 30_000
  }

  async #faultLane(): Promise<void> {
    const { seed, everyMs } = this.#options
    const half = () => this.#now() >= this.#halfMs
    await this.#lane(stepsOf(seed, 'faults', faults, everyMs), faults.length, half, async step => {
      if (await commit(this.#stage, step, { sparing: false })) this.#faults[step.kind]++
    })
    if (this.#stage.ending.aborted) return
    this.#record({ is: 'measured', at: this.#now() })
    const spared = faults.filter(kind => kind !== 'kill keeper')
    await this.#lane(stepsOf(seed, 'faults that spare', spared, everyMs), 0, this.#isOver, async step => {
      if (await commit(this.#stage, step, { sparing: true })) this.#faults[step.kind]++
    })
  }

  #operationLane(operator: Operator): Promise<void> {
    const { seed, everyMs } = this.#options
    return this.#lane(stepsOf(seed, 'operations', operations, everyMs), operations.length, this.#isOver, async step => {
      this.#operations[step.kind]++
      await operator.do(step)
    })
  }

  readonly #isOver = (): boolean => this.#now() >= this.#halfMs * 2

  /** Does one step after the other until `over`, but at least `atLeast` steps. */
  async #lane<Kind extends string>(
    steps: Iterable<Step<Kind>>,
    atLeast: number,
    over: () => boolean,
    work: (step: Step<Kind>) => Promise<void>,
  ): Promise<void> {
    const { ending } = this.#stage
    for (const step of steps) {
      if (ending.aborted || (step.no > atLeast && over())) return
      await this.#stage.rest(step.waitMs)
      if (!ending.aborted) await work(step)
    }
  }

  #watch(): void {
    this.#stage.roster.look()
    this.#judge.review(this.#now())
    if (this.#now() - this.#sampledAt >= SAMPLE_MS) this.#sample()
    const { requestCount: requests, violationCount: violations } = this.#judge
    const [faults, operations, rssMB] = [this.#faults, this.#operations, this.#rssMB]
    this.#options.onProgress({ seconds: this.#seconds, faults, operations, requests, violations, rssMB })
  }

  #sample(): void {
    this.#sampledAt = this.#now()
    const { roster } = this.#stage
    const cells = roster.ready.map(({ cell, pid }) => [`cell ${cell}`, pid] as const)
    for (const [role, pid] of [['base', this.#base.process.pid ?? 0] as const, ['keeper', roster.keeper] as const, ...cells]) {
      const vitals = vitalsOf(pid)
      if (vitals === undefined) continue
      this.#rssMB[role] = Math.round(vitals.rssMB)
      this.#record({ is: 'sample', at: this.#now(), role, pid, ...vitals })
    }
  }

  /** Ends the base as an operator would, with SIGTERM. */
  async #end(): Promise<void> {
    const { process: supervisor } = this.#base
    const running = supervisor.exitCode === null && supervisor.signalCode === null
    if (running && !this.#options.interrupted.aborted) supervisor.kill('SIGTERM')
    if (running) await Promise.race([once(supervisor, 'exit'), delay(END_MS_MAX, undefined, { ref: false })])
    this.#stage.roster.look()
    const left = [...this.#stage.roster.all].filter(isAlive)
    this.#record({ is: 'ended', at: this.#now(), code: supervisor.exitCode, left })
  }
}

const countsOf = <Kind extends string>(kinds: readonly Kind[]) => Object.fromEntries(kinds.map(kind => [kind, 0])) as Record<Kind, number>
