/** Keeps some of the worst cases running, and measures what a neighbour gets meanwhile, compared with a quiet base. */
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningBase } from '../../test/support/base.ts'
import { type Code, inputOf, type NamedCase } from './case.ts'
import { Ground } from './ground.ts'
import { Line, Probe, post, type Sample } from './lines.ts'

/** Its thread cannot be stopped; V8 ends its process; it grows outside of the heap; it burns after its answers; it fills places. */
export const worst: readonly string[] = ['stuck-in-includes', 'grow-map', 'grow-pad-end', 'flood-interval-burning', 'flood-never-settling']

const PROBES = 8
const PAUSE_MS = 100
/** Requests at once, of a case that is run with many. */
const TOGETHER_MAX = 40
const LOOK_MS = 250
const SUCCESS_MIN = 0.999
const P99_RATIO_MAX = 3

export interface Spread {
  readonly requests: number
  readonly failures: readonly string[]
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface WorstReport {
  readonly quiet: Spread
  /** Every request of the neighbour while the cases ran. */
  readonly all: Spread
  /** Those that went to cells that have lived to the end. */
  readonly apart: Spread
  readonly cellsLost: number
  /** What the callers of each case saw. */
  readonly callers: Readonly<Record<string, Readonly<Partial<Record<Code, number>>>>>
  readonly faults: readonly string[]
}

interface OwnedSample extends Sample {
  /** The cell that held the connection; undefined when it is not known. */
  readonly pid: number | undefined
}

/** @param cases the worst ones */
export async function runWorst(cases: readonly NamedCase[], seconds: number): Promise<WorstReport> {
  const ground = await Ground.open()
  try {
    for (const family of Map.groupBy(cases, each => each.family).values()) await ground.publish(family)
    await ground.cells()
    const quiet = await probed(ground.base, () => delay((seconds * 1000) / 4))
    const callers = Object.fromEntries(cases.map(({ name }) => [name, {}]))
    const from = ground.base.log.length
    const busy = await probed(ground.base, async () => {
      const over = AbortSignal.timeout(seconds * 1000)
      await Promise.all(cases.map(each => keepCalling(ground.base.url, each, over, callers[each.name] ?? {})))
    })
    const ended = new Set(
      ground.base.log.slice(from).flatMap(({ msg, pid }) => (msg === 'cell ended' || msg === 'cell retiring' ? Number(pid) : [])),
    )
    const report = {
      quiet: spreadOf(quiet),
      all: spreadOf(busy),
      apart: spreadOf(busy.filter(({ pid }) => pid !== undefined && !ended.has(pid))),
    }
    return { ...report, cellsLost: ended.size, callers, faults: faultsOf(report) }
  } finally {
    await ground.close()
  }
}

async function keepCalling(
  url: string,
  { name, together = 1 }: NamedCase,
  over: AbortSignal,
  codes: Partial<Record<Code, number>>,
): Promise<void> {
  for (let n = 0; !over.aborted; n++) {
    const answers = await Promise.all(Array.from({ length: Math.min(together, TOGETHER_MAX) }, () => post(url, name, inputOf(n))))
    for (const { code } of answers) codes[code] = (codes[code] ?? 0) + 1
    await delay(PAUSE_MS)
  }
}

/** Probes the neighbour on several connections while `work` goes on. */
async function probed(base: RunningBase, work: () => Promise<void>): Promise<OwnedSample[]> {
  const lines = Array.from({ length: PROBES }, () => new Line(base.url))
  const probes = lines.map(line => new Probe(line))
  const owners: { readonly at: number; readonly pids: readonly (number | undefined)[] }[] = []
  const looking = setInterval(() => {
    const pids = base.log.flatMap(({ msg, pid }) => (msg === 'cell ready' ? Number(pid) : []))
    owners.push({ at: performance.now(), pids: lines.map(line => line.ownerAmong(pids)) })
  }, LOOK_MS)
  await work()
  const samples = await Promise.all(probes.map(probe => probe.stop()))
  clearInterval(looking)
  for (const line of lines) line.close()
  return samples.flatMap((some, i) =>
    some.map(sample => ({ ...sample, pid: owners.find(({ at }) => at >= sample.at - sample.ms)?.pids[i] })),
  )
}

function spreadOf(samples: readonly Sample[]): Spread {
  const times = samples.map(({ ms }) => ms).sort((a, b) => a - b)
  const at = (part: number) => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? Number.NaN
  return { requests: samples.length, failures: samples.flatMap(({ failure }) => failure ?? []), p50Ms: at(0.5), p99Ms: at(0.99) }
}

function faultsOf({ quiet, all, apart }: Pick<WorstReport, 'quiet' | 'all' | 'apart'>): string[] {
  const faults: string[] = []
  const success = 1 - all.failures.length / all.requests
  if (success < SUCCESS_MIN)
    faults.push(`the neighbour has ${(success * 100).toFixed(2)} % success, less than ${SUCCESS_MIN * 100} %: ${all.failures[0]}`)
  const ratio = apart.p99Ms / quiet.p99Ms
  if (!(ratio <= P99_RATIO_MAX))
    faults.push(`in cells that live on, p99 of the neighbour is ${ratio.toFixed(1)} times that of a quiet base`)
  return faults
}
