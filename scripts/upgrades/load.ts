/** Puts load on a scene from a process of its own, and says what became of the requests that were due within a time. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Failure, failures, type Outcome } from './exchange.ts'

export interface LoadSettings {
  /** URL of a scene that answers with the body. */
  readonly url: string
  /** Requests a second: half of them over kept connections, half over connections of their own. */
  readonly rate: number
  /** Kept connections. */
  readonly connections: number
  readonly timeoutMs: number
  readonly seed: number
}

/** A request that has come to its end. */
export interface Sample extends Outcome {
  /** When it had to be sent, in milliseconds since 1970. */
  readonly dueAt: number
  /** How much later it was sent, because the load itself was late. */
  readonly lagMs: number
  /** From when it was due until its end. */
  readonly ms: number
  readonly isKept: boolean
}

export interface FromLoad {
  readonly samples: readonly Sample[]
  /** All requests that were due before this time have come to their end, and have been reported. */
  readonly settledTo: number
}

/** Milliseconds since 1970, as the process of the load counts them. */
export const loadTime = (): number => performance.timeOrigin + performance.now()

/** Requests under way at most: others are sent late. */
export const UNDER_WAY_MAX = 1000

export class Load {
  readonly samples: Sample[] = []
  readonly #child: ChildProcess
  readonly #begun = Promise.withResolvers<void>()
  #settledTo = 0
  #onReport = Promise.withResolvers<void>()

  constructor(settings: LoadSettings) {
    this.#child = fork(join(import.meta.dirname, 'load-process.ts'), { serialization: 'advanced' })
    this.#child.send(settings)
    this.#child.on('message', message => this.#take(message as FromLoad))
    this.#child.on('exit', () => this.#onReport.resolve())
  }

  /** Resolves when requests are being sent. */
  get begun(): Promise<void> {
    return this.#begun.promise
  }

  /** Resolves once all requests that were due before this moment, in milliseconds since 1970, have come to their end and are in `samples`. */
  async until(time: number): Promise<void> {
    while (this.#child.exitCode === null && this.#child.signalCode === null && this.#settledTo < time) await this.#onReport.promise
  }

  /** Sends no more, and resolves when the last request has come to its end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    if (this.#child.connected) this.#child.send('stop')
    await ended
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #take({ samples, settledTo }: FromLoad): void {
    this.#begun.resolve()
    this.samples.push(...samples)
    this.#settledTo = settledTo
    this.#onReport.resolve()
    this.#onReport = Promise.withResolvers()
  }
}

/** What became of some requests. */
export interface Summary {
  readonly requests: number
  readonly failed: number
  readonly failures: Partial<Record<Failure, number>>
  /** Requests under which a kept connection was closed, and which were sent again. */
  readonly sentAgain: number
  /** Answers of each release. */
  readonly by: Readonly<Record<string, number>>
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** How late the load itself was. */
  readonly lagP99Ms: number
  readonly lagMaxMs: number
}

export function summarise(samples: readonly Sample[]): Summary {
  const failed = samples.filter(({ failure }) => failure !== undefined)
  const answered = samples.filter(({ failure }) => failure === undefined)
  const [times, lags] = [answered.map(({ ms }) => ms).sort(ascending), samples.map(({ lagMs }) => lagMs).sort(ascending)]
  return {
    requests: samples.length,
    failed: failed.length,
    failures: Object.fromEntries(failures.flatMap(kind => countOf(kind, failed))),
    sentAgain: samples.filter(({ isSentAgain }) => isSentAgain).length,
    by: countBy(answered.map(({ release }) => release)),
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
    maxMs: times.at(-1) ?? 0,
    lagP99Ms: quantile(lags, 0.99),
    lagMaxMs: lags.at(-1) ?? 0,
  }
}

const ascending = (a: number, b: number): number => a - b

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0

function countOf(kind: Failure, failed: readonly Sample[]): [Failure, number][] {
  const count = failed.filter(({ failure }) => failure === kind).length
  return count === 0 ? [] : [[kind, count]]
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
