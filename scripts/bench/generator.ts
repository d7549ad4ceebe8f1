/**
 * Puts load on what is measured. Every generator is a process of its own, so that what it uses is neither counted with what is measured nor, when
 * both are pinned, taken from it.
 */
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { FloodRun, Pace } from './flood.ts'
import { allowed, CpuMeter, pin, sumOf } from './processors.ts'

export interface ClosedLoad {
  readonly url: string
  readonly body: string
  readonly connections: number
  readonly seconds: number
  /** Unit ids that the requests have in turn. */
  readonly units: readonly string[]
}

export interface OpenLoad extends Pick<ClosedLoad, 'url' | 'body' | 'seconds'> {
  readonly perSecond: number
  readonly connectionsMax: number
  readonly pace: Pace
}

/** One request after the other, with pauses, on one connection. */
export interface SparseLoad extends Pick<ClosedLoad, 'url' | 'body'> {
  /** They go to `url` with `-0` behind it, then `-1`, and so on. */
  readonly count: number
  readonly pauseMs: number
  readonly headers: Readonly<Record<string, string>>
}

/** More than a base can take, to one scene of it. */
export interface FloodLoad extends Pick<ClosedLoad, 'body' | 'seconds'> {
  readonly base: string
  readonly scene: string
  readonly connections: number
  /** Undefined for a closed loop on these connections. */
  readonly perSecond?: number
}

export interface FloodResult extends Pick<FloodRun, 'sent' | 'held' | 'unanswered' | 'seconds'> {
  /** What was answered with success, refused because of the load, and everything else. Latencies count from the moment when a request was written. */
  readonly answered: Latencies
  readonly refused: Latencies
  readonly others: Latencies
}

export interface Latencies {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly mostMs: number
}

export interface LoadResult {
  readonly answered: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Requests without an answer, and those whose answer was no success. */
  readonly failed: number
  /** Seconds of CPU that the generator used. */
  readonly cpu: number
}

/** What the child is asked to do. */
export type Job =
  | { readonly kind: 'closed'; readonly load: ClosedLoad }
  | { readonly kind: 'open'; readonly load: OpenLoad }
  | { readonly kind: 'one by one'; readonly load: SparseLoad }
  | { readonly kind: 'flood'; readonly load: FloodLoad }

export const generators = ['wrk', 'autocannon'] as const
export type GeneratorName = (typeof generators)[number]

/** `wrk` when it is installed: it needs little of the processor. Otherwise autocannon, which the project has. */
export const defaultGenerator = (): GeneratorName => (isInstalled('wrk') ? 'wrk' : 'autocannon')

export const isInstalled = (name: GeneratorName): boolean => name === 'autocannon' || spawnSync(name, ['--version']).error === undefined

/** So many seconds, or the next number of them for which a generator can send a load: wrk takes whole seconds only. */
export const possibleSeconds = (name: GeneratorName, seconds: number): number =>
  name === 'wrk' ? Math.max(1, Math.ceil(seconds)) : seconds

export class Generator {
  readonly name: GeneratorName
  readonly #child: ChildProcess
  #processors: readonly number[] | undefined

  constructor(name: GeneratorName) {
    this.name = name
    this.#child = fork(new URL('generator-child.ts', import.meta.url), { execArgv: ['--disable-warning=ExperimentalWarning'] })
    this.#child.on('exit', this.#fail)
  }

  /** @param processors undefined: all that this process may use */
  runOn(processors: readonly number[] | undefined): void {
    if (processors === undefined && this.#processors === undefined) return
    this.#processors = processors
    pin(this.#child.pid ?? 0, processors ?? allowed())
  }

  /**
   * Closed loop: on each connection, the next request is sent when the one before is answered.
   * @throws Error when the generator cannot send it for so long: see `possibleSeconds`
   */
  closed(load: ClosedLoad): Promise<LoadResult> {
    return this.name === 'wrk' ? this.#wrk(load) : this.#send({ kind: 'closed', load })
  }

  /** Open loop: requests are sent at a fixed rate, whether or not they are answered. Latency is measured from the moment when a request was due. */
  open(load: OpenLoad): Promise<LoadResult> {
    return this.#send({ kind: 'open', load })
  }

  /** One request after the other. The seconds of the result are those in which a request was under way. */
  oneByOne(load: SparseLoad): Promise<LoadResult> {
    return this.#send({ kind: 'one by one', load })
  }

  /** Sends far more than a base can take, to see what it still answers. */
  async flood(load: FloodLoad): Promise<FloodResult> {
    return (await this.#ask<FloodResult>({ kind: 'flood', load })).result
  }

  async stop(): Promise<void> {
    this.#child.off('exit', this.#fail)
    this.#child.kill()
  }

  /** Rejects what waits for a message of the child. */
  readonly #fail = (code: number | null) => void this.#child.emit('error', new Error(`The generator ended with ${code}`))

  async #send(job: Job): Promise<LoadResult> {
    const { result, cpu } = await this.#ask<Omit<LoadResult, 'cpu'>>(job)
    return { ...result, cpu }
  }

  async #ask<Result extends object>(job: Job): Promise<{ readonly result: Result; readonly cpu: number }> {
    const meter = new CpuMeter([this.#child.pid ?? 0])
    this.#child.send(job)
    const [result] = (await once(this.#child, 'message')) as [Result | { readonly error: string }]
    if ('error' in result) throw new Error(`The load could not be sent: ${result.error}`)
    return { result, cpu: sumOf(meter.usedUs().values()) / 1e6 }
  }

  async #wrk(load: ClosedLoad): Promise<LoadResult> {
    if (possibleSeconds('wrk', load.seconds) !== load.seconds) throw new Error(`wrk sends for whole seconds only: ${load.seconds}`)
    using folder = mkdtempDisposableSync(join(tmpdir(), 'berth-load-'))
    const script = join(folder.path, 'wrk.lua')
    writeFileSync(script, wrkScript(load))
    const { url, connections, seconds } = load
    const args = ['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`, '--script', script, url]
    const pinned = this.#processors === undefined ? ['wrk'] : ['taskset', '--cpu-list', this.#processors.join(','), 'wrk']
    const [file = '', ...all] = [...pinned, ...args]
    const child = spawn(file, all, { stdio: ['ignore', 'pipe', 'inherit'] })
    const [printed] = await Promise.all([text(child.stdout), once(child, 'close')])
    const line = printed.split('\n').find(line => line.startsWith('{'))
    if (line === undefined) throw new Error(`wrk measured nothing. ${printed}`.trim())
    // What it used is counted with the ended children of this process, because a process that has ended has no figures any more.
    return { ...(JSON.parse(line) as Omit<LoadResult, 'cpu'>), cpu: Number.NaN }
  }
}

/** Lua that has wrk send the requests and print what it measured. */
function wrkScript({ body, units }: ClosedLoad): string {
  const quoted = (text: string) => `[==[${text}]==]`
  const inTurn = `local requests, at = {}, 0
local units = { ${units.map(quoted).join(', ')} }
init = function()
  for i, unit in ipairs(units) do
    wrk.headers['x-unit-id'] = unit
    requests[i] = wrk.format()
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end`
  // Without a function for it, wrk makes the request only once.
  const alwaysTheSame = `wrk.headers['x-unit-id'] = ${quoted(units[0] ?? '')}`
  return `wrk.method = 'POST'
wrk.headers['content-type'] = 'application/json'
wrk.body = ${quoted(body)}
${units.length > 1 ? inTurn : alwaysTheSame}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"answered":%d,"seconds":%.6f,"p50Ms":%.3f,"p99Ms":%.3f,"failed":%d}\\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
`
}
