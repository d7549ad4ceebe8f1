/** Runs one case, and sees what its caller, its neighbours and the machine get of it. */
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { isAlive, vitalsOf } from '../soak/processes.ts'
import { BENIGN, type Code, inputOf, type NamedCase } from './case.ts'
import { type Ground, type Published, TURNS_BAD_MS } from './ground.ts'
import { type Answer, type Line, linesTo, NEIGHBOUR, Probe, post, type Sample } from './lines.ts'
import { cpuOfTree, settles, usedSince, watchMemory } from './vitals.ts'

/** What the probe of a neighbour saw. */
export interface Neighbour {
  readonly answered: number
  readonly failures: readonly string[]
  readonly worstMs: number
}

export interface Observed {
  /** How often each code was seen. */
  readonly codes: Readonly<Partial<Record<Code, number>>>
  /** What the first failure says. */
  readonly detail: string
  /** An answer that the case does not allow; undefined when there was none. */
  readonly wrong: unknown
  /** Milliseconds from the deadline to the last answer; negative before it. Undefined when the case has none. */
  readonly lateMs: number | undefined
  readonly same: Neighbour
  readonly other: Neighbour
  /** The longest time, in milliseconds, in which the scene did not answer its benign input; undefined when the case allows no answer. */
  readonly gapMs: number | undefined
  /** Cells that were replaced. */
  readonly cellsLost: number
  /** Whether the processes of the base have come to rest. */
  readonly isIdle: boolean
  /** Seconds of processor time that the base has used. */
  readonly cpuSeconds: number
  readonly memoryMB: { readonly before: number; readonly peak: number; readonly after: number }
  /** Milliseconds that the slowest change of the neighbour took meanwhile, and how many cells there were at most; undefined when none was made. */
  readonly commitMs: number | undefined
  readonly cellsMost: number | undefined
}

const IDLE_MS_MAX = 20_000
const MEMORY_MS_MAX = 10_000
/** Milliseconds for which a case is watched after its answer: code that it has left behind may begin later. */
const WATCHED_MS = 100
/** The memory of a slot that is loaded anew, and of what V8 keeps for the next one. */
const SLACK_MB = 96

/** @throws Error when the base does not come back, or does not take a module that is sound so far */
export async function runCase(ground: Ground, each: NamedCase): Promise<Observed> {
  const pids = await ground.cells()
  const lines = await ground.linesTo(pids)
  const [first = 0, second = 0] = pids
  const [probing, asking] = lines.get(first) as [Line, Line]
  const [elsewhere] = lines.get(second) as [Line]
  const root = ground.base.process.pid ?? 0
  const [cpuBefore, before, seen] = [cpuOfTree(root), vitalsOf(first)?.rssMB ?? 0, ground.base.log.length]
  const memory = watchMemory(first)
  const [same, other] = [new Probe(probing), new Probe(elsewhere)]
  try {
    const acted = await act(ground, each, asking)
    const { isIdle, gapMs } = await afterwards(root, each, asking)
    await untilMemoryIsBack(first, before + each.limits.memoryMB + SLACK_MB)
    const cellsLost = each.turnsBad ? cellsEnded(ground, seen) - 1 : cellsGone(ground, pids, seen)
    const cpuSeconds = usedSince(cpuBefore, cpuOfTree(root)) / 1000
    const neighbours = { same: neighbourOf(await same.stop()), other: neighbourOf(await other.stop()) }
    return { ...acted, ...neighbours, gapMs, cellsLost, isIdle, cpuSeconds, memoryMB: { before, ...memory.stop() } }
  } finally {
    memory.stop()
    await Promise.all([same.stop(), other.stop()])
  }
}

/** Waits until the base has come to rest, and asks the scene of the case for what it answers as it should. */
async function afterwards(root: number, each: NamedCase, line: Line): Promise<Pick<Observed, 'isIdle' | 'gapMs'>> {
  const isAsked = !each.isLeftAlone && !each.turnsBad
  let from = performance.now()
  let benign = isAsked ? new Probe(line, each.name, () => BENIGN) : undefined
  await delay(WATCHED_MS)
  const isIdle = await settles(root, IDLE_MS_MAX)
  if (each.isLeftAlone) {
    from = performance.now()
    benign = new Probe(line, each.name, () => BENIGN)
    await delay(WATCHED_MS)
  }
  const samples = await benign?.stop()
  return { isIdle, gapMs: samples && longestGap(samples, from) }
}

/** How many of the cells have ended or are about to: the supervisor says nothing of a cell that is well. */
function cellsGone({ base }: Ground, pids: readonly number[], from: number): number {
  const named = new Set(base.log.slice(from).flatMap(({ process, pid }) => (process === 'base' ? Number(pid) : [])))
  return pids.filter(pid => named.has(pid)).length
}

/** How many cells have ended since the log had so many lines. */
const cellsEnded = ({ base }: Ground, from: number): number => base.log.slice(from).filter(({ msg }) => msg === 'cell ended').length

type Acted = Pick<Observed, 'codes' | 'detail' | 'wrong' | 'lateMs' | 'commitMs' | 'cellsMost'>
const unmeasured = { lateMs: undefined, commitMs: undefined, cellsMost: undefined }

async function act(ground: Ground, each: NamedCase, line: Line): Promise<Acted> {
  if (each.isRefused) return ofPublishing(await ground.publishNext(each))
  if (each.turnsBad) return turnBad(ground, each)
  const answers: Answer[] = []
  const { together = 1, inTurn = 1, name } = each
  if (together > 1)
    answers.push(...(await Promise.all(Array.from({ length: together }, (_, n) => post(ground.base.url, name, inputOf(n))))))
  else for (let n = 0; n < inTurn; n++) answers.push(await line.post(name, inputOf(n)))
  const late = Math.max(...answers.map(({ ms }) => ms)) - each.limits.deadlineMs
  return { ...ofAnswers(each, answers), lateMs: late > 0 ? await lateInCell(ground, each, late) : late }
}

const ofPublishing = ({ code, detail }: Published): Acted => ({
  ...{ codes: { [code]: 1 }, detail, wrong: undefined, ...unmeasured },
})

function ofAnswers({ answer }: NamedCase, answers: readonly Answer[]): Acted {
  const codes: Partial<Record<Code, number>> = {}
  for (const { code } of answers) codes[code] = (codes[code] ?? 0) + 1
  const wrong = answer === undefined ? undefined : answers.find(({ code, body }) => code === 'OK' && !isDeepStrictEqual(body, answer))?.body
  return { codes, detail: answers.find(({ code }) => code !== 'OK')?.detail ?? '', wrong, ...unmeasured }
}

/**
 * How late an answer was by the clock of its cell, which does not count the time that a busy machine took to deliver it. The mean, where a case has
 * several requests; `late` itself, when the cell cannot say.
 */
async function lateInCell({ base }: Ground, { name, limits }: NamedCase, late: number): Promise<number> {
  const text = await base.client.metrics()
  const total = (series: string) => {
    const lines = text.matchAll(new RegExp(`^berth_request_duration_seconds_${series}\\{scene="${name}",.*\\} (.*)$`, 'gm'))
    return [...lines].reduce((sum, [, value]) => sum + Number(value), 0)
  }
  const count = total('count')
  return count === 0 ? late : Math.min(late, (total('sum') / count) * 1000 - limits.deadlineMs)
}

const ASKED_AFTER_TURNING_BAD = 10
const PAUSE_BETWEEN_CHANGES_MS = 250

/**
 * Publishes a module that turns bad, waits until it is, and replaces a cell, so that it is loaded once more. Changes another scene until the base has
 * come to rest. Then it asks only the new cell: the other has the module as it was.
 */
async function turnBad(ground: Ground, each: NamedCase): Promise<Acted> {
  const { base } = ground
  await ground.publish([each])
  if (each.isReplaced) await ground.publishNext({ ...each, top: '' })
  await delay(TURNS_BAD_MS)
  const [before, seen] = [await ground.cells(), base.log.length]
  await base.client.retireCell(1)
  const isOver = base.logged(({ msg }) => msg === 'cell ready' || msg === 'cell is lost', seen).then(() => cellsAtRest(ground))
  const { commitMs, cellsMost } = await keepChanging(ground, isOver)
  const pids = await isOver
  // The lines of the ground are those of the probes, which go on.
  const lines = await linesTo(base.url, pids, 1)
  const [line] = lines.get(pids.find(pid => !before.includes(pid)) ?? 0) ?? []
  if (line === undefined) throw new Error('No new cell has taken the place of the one that was retired')
  const answers: Answer[] = []
  for (let n = 0; n < ASKED_AFTER_TURNING_BAD; n++) answers.push(await line.post(each.name, inputOf(n)))
  for (const opened of [...lines.values()].flat()) opened.close()
  return { ...ofAnswers(each, answers), commitMs, cellsMost }
}

/** Waits until the cells stay the same while nothing burns: a cell may be lost after it was ready, and its heir too. @returns their process ids */
async function cellsAtRest(ground: Ground): Promise<readonly number[]> {
  for (let before = await ground.cells(); ; ) {
    await settles(ground.base.process.pid ?? 0, IDLE_MS_MAX)
    const pids = await ground.cells()
    if (isDeepStrictEqual(pids, before)) return pids
    before = pids
  }
}

/** Changes the neighbour again and again. @returns how long the slowest change took, and how many cells there were at most */
async function keepChanging(
  { base: { client } }: Ground,
  over: Promise<unknown>,
): Promise<Required<Pick<Acted, 'commitMs' | 'cellsMost'>>> {
  let [isOver, commitMs, cellsMost] = [false, 0, 0]
  const end = () => {
    isOver = true
  }
  over.then(end, end)
  for (let n = 0; !isOver; n++) {
    const from = performance.now()
    await client.setParams(NEIGHBOUR, { params: { changed: n } })
    commitMs = Math.max(commitMs, performance.now() - from)
    cellsMost = Math.max(cellsMost, (await client.status()).cells.length)
    await delay(PAUSE_BETWEEN_CHANGES_MS)
  }
  return { commitMs, cellsMost }
}

/** Waits until the process holds no more than that, has ended, or has had its time. */
async function untilMemoryIsBack(pid: number, megabytesMax: number): Promise<void> {
  const until = performance.now() + MEMORY_MS_MAX
  while (performance.now() < until && isAlive(pid) && (vitalsOf(pid)?.rssMB ?? 0) > megabytesMax) await delay(100)
}

/** @returns whether the memory of a case has come back */
export function isMemoryBack({ memoryMB: { before, after }, cellsLost }: Observed, limitMB: number): boolean {
  return cellsLost > 0 || after <= before + limitMB + SLACK_MB
}

function neighbourOf(samples: readonly Sample[]): Neighbour {
  const failures = samples.flatMap(({ failure }) => failure ?? [])
  return { answered: samples.length - failures.length, failures, worstMs: Math.max(0, ...samples.map(({ ms }) => ms)) }
}

function longestGap(samples: readonly Sample[], from: number): number {
  let [last, longest] = [from, 0]
  for (const { at, failure } of samples) {
    if (failure !== undefined) continue
    longest = Math.max(longest, at - last)
    last = at
  }
  // Without an answer at the end, the gap lasts until then.
  return Math.max(longest, (samples.at(-1)?.at ?? from) - last)
}
