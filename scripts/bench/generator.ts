/**
 * Puts load on what is measured. Every generator is a process of its own, so that what it uses is neither counted with what is measured nor, when
 * both are pinned, taken from it.
 */
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Pace } from './flood.ts'
import { allowed, CpuMeter, pin } from './processors.ts'

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
export type Job = { readonly kind: 'closed'; readonly load: ClosedLoad } | { readonly kind: 'open'; readonly load: OpenLoad }

export const generators = ['wrk', 'autocannon'] as const
export type GeneratorName = (typeof generators)[number]

/** `wrk` when it is installed: it needs little of the processor. Otherwise autocannon, which the project has. */
export function defaultGenerator(): GeneratorName {
  return spawnSync('wrk', ['--version']).error === undefined ? 'wrk' : 'autocannon'
}

export class Generator {
  readonly name: GeneratorName
  readonly #child: ChildProcess
  readonly #folder = mkdtempSync(join(tmpdir(), 'berth-load-'))
  #processors: readonly number[] | undefined

  constructor(name: GeneratorName) {
    this.name = name
    this.#child = fork(new URL('generator-child.ts', import.meta.url), { execArgv: ['--disable-warning=ExperimentalWarning'] })
  }

  /** @param processors undefined: all that this process may use */
  runOn(processors: readonly number[] | undefined): void {
    if (processors === undefined && this.#processors === undefined) return
    this.#processors = processors
    pin(this.#child.pid ?? 0, processors ?? allowed())
  }

  /** Closed loop: on each connection, the next request is sent when the one before is answered. */
  closed(load: ClosedLoad): Promise<LoadResult> {
    return this.name === 'wrk' ? this.#wrk(load) : this.#ask({ kind: 'closed', load })
  }

  /** Open loop: requests are sent at a fixed rate, whether or not they are answered. Latency is measured from the moment when a request was due. */
  open(load: OpenLoad): Promise<LoadResult> {
    return this.#ask({ kind: 'open', load })
  }

  async stop(): Promise<void> {
    this.#child.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #ask(job: Job): Promise<LoadResult> {
    const meter = new CpuMeter([this.#child.pid ?? 0])
    this.#child.send(job)
    const [result] = (await once(this.#child, 'message')) as [Omit<LoadResult, 'cpu'> | { readonly error: string }]
    if ('error' in result) throw new Error(`The load could not be sent: ${result.error}`)
    return { ...result, cpu: meter.usedUs() / 1e6 }
  }

  async #wrk(load: ClosedLoad): Promise<LoadResult> {
    const script = join(this.#folder, 'wrk.lua')
    writeFileSync(script, wrkScript(load))
    // It takes whole seconds only.
    const seconds = Math.max(1, Math.round(load.seconds))
    const args = ['--threads', '1', '--connections', String(load.connections), '--duration', `${seconds}s`, '--script', script, load.url]
    const pinned = this.#processors === undefined ? ['wrk'] : ['taskset', '--cpu-list', this.#processors.join(','), 'wrk']
    const [file = '', ...all] = [...pinned, ...args]
    const child = spawn(file, all, { stdio: ['ignore', 'pipe', 'inherit'] })
    const printed = await text(child.stdout)
    const line = printed.split('\n').find(line => line.startsWith('{'))
    if (line === undefined) throw new Error(`wrk sent no load: ${printed}`)
    // What it used is counted with the ended children of this process, because a process that has ended has no figures any more.
    return { ...(JSON.parse(line) as Omit<LoadResult, 'cpu'>), cpu: Number.NaN }
  }
}

/** Lua that has wrk send the requests and print what it measured. */
function wrkScript({ body, units }: ClosedLoad): string {
  const quoted = (text: string) => `[==[${text}]==]`
  const inTurn = `local requests, next = {}, 0
local units = { ${units.map(quoted).join(', ')} }
init = function()
  for i, unit in ipairs(units) do
    wrk.headers['x-unit-id'] = unit
    requests[i] = wrk.format()
  end
end
request = function()
  next = next % #requests + 1
  return requests[next]
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
