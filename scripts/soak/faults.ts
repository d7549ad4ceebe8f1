/** What goes wrong in a run: done to its processes, told to the record before it can be felt, and waited for until the base is whole again. */
import { messageOf } from '../../base/kernel/errors.ts'
import { Flood } from '../bench/flood.ts'
import { isAlive, isStopped, peersOf } from './processes.ts'
import type { Disturbance } from './record.ts'
import { burst } from './scenes.ts'
import { between, type Fault, pick, type Random, type Step } from './schedule.ts'
import type { Stage } from './stage.ts'

/** A restart with backoff, on a machine with other work. */
const RECOVERY_MS_MAX = 30_000
const LOGGED_MS = 1000
/** Until every request of an overload has its answer: its deadline, and what a machine with other work adds. */
const ANSWER_MS_MAX = burst.deadlineMs + 10_000
/** Below what makes the supervisor take a process for hung. */
const PAUSE_MS = { from: 500, to: 4000 } as const

interface Target {
  readonly cell: number
  readonly pid: number
}

interface FaultOptions {
  /** Leaves the last cell and the keeper alive, so that it can be seen what they hold. */
  readonly sparing: boolean
}

/**
 * Resolves when the base is whole again, or was not within a bound, which is told to the record.
 * @returns whether it was done: nothing is when there is no process to do it to, when that has ended meanwhile, or when the base refuses
 */
export async function commit(stage: Stage, { kind, random }: Step<Fault>, { sparing }: FaultOptions): Promise<boolean> {
  const from = stage.now()
  // What ended a moment ago is not there to be hit.
  stage.roster.look()
  const killable = sparing ? stage.roster.ready.filter(({ cell }) => cell < stage.cells) : stage.roster.ready
  const some = pick(random, kind === 'pause cell' ? stage.roster.ready : killable)
  const isDone = await inject(stage, kind, random, some)
  tellRecovered(stage, from, kind, await stage.whole(RECOVERY_MS_MAX))
  return isDone
}

async function inject(stage: Stage, kind: Fault, random: Random, some: Target | undefined): Promise<boolean> {
  if (kind === 'kill keeper') return killKeeper(stage)
  if (kind === 'pause keeper') return pause(stage, stage.roster.keeper, random, 'keeper away')
  if (kind === 'overload') return overload(stage)
  if (some === undefined) return false
  if (kind === 'kill cell') return killCell(stage, some.pid)
  if (kind === 'pause cell') return pause(stage, some.pid, random, 'paused cell')
  return retire(stage, some)
}

function tellRecovered(stage: Stage, from: number, after: Fault, failure: string | undefined): void {
  if (!stage.ending.aborted) stage.tell({ is: 'recovered', at: stage.now(), from, after, ...(failure === undefined ? {} : { failure }) })
}

function killCell(stage: Stage, pid: number): Promise<boolean> {
  // It takes no more connections from here on, so that those that it holds are all that its death can cost.
  return whileStopped(stage, pid, async () => {
    const calm = stage.disturb('killed cell', peersOf(pid, stage.port))
    stage.injected.add(pid)
    signal(pid, 'SIGKILL')
    await stage.until(() => !isAlive(pid), RECOVERY_MS_MAX)
    calm()
  })
}

async function killKeeper(stage: Stage): Promise<boolean> {
  const [from, pid] = [stage.now(), stage.roster.keeper]
  const calm = stage.disturb('keeper away')
  const isKilled = signal(pid, 'SIGKILL')
  const isBack = await stage.until(() => stage.roster.keeper !== pid, RECOVERY_MS_MAX)
  // Cells come back to it at their own pace.
  if (isBack) await stage.whole(RECOVERY_MS_MAX)
  calm()
  if (isBack) await stage.checkAudit()
  else tellRecovered(stage, from, 'kill keeper', 'no other keeper came')
  return isKilled
}

function pause(stage: Stage, pid: number, random: Random, by: Disturbance): Promise<boolean> {
  return whileStopped(stage, pid, async () => {
    const calm = stage.disturb(by, by === 'paused cell' ? peersOf(pid, stage.port) : [])
    await stage.rest(between(random, PAUSE_MS.from, PAUSE_MS.to))
    // It is calm when it runs again, not before.
    signal(pid, 'SIGCONT')
    calm()
  })
}

async function retire(stage: Stage, { cell, pid }: Target): Promise<boolean> {
  const calm = stage.disturb('retirement')
  try {
    stage.asked.add(pid)
    await stage.client.retireCell(cell)
    return await stage.until(() => !stage.roster.ready.some(one => one.pid === pid), RECOVERY_MS_MAX)
  } catch (error) {
    stage.note(`cell ${cell} could not be retired: ${messageOf(error)}`)
    return false
  } finally {
    calm()
  }
}

async function overload(stage: Stage): Promise<boolean> {
  const from = stage.now()
  const calm = stage.disturb('overload')
  const { samples, unanswered } = await new Flood(stage.url, burst.scene, burst.body).open(3000, 1500, 600, ANSWER_MS_MAX)
  calm()
  const counted = Object.groupBy(samples, ({ status }) => String(status))
  const answered = Object.fromEntries(Object.entries(counted).map(([status, some = []]) => [status, some.length]))
  const statuses = { ...answered, ...(unanswered > 0 && { unanswered }) }
  const at = stage.now()
  // A cell that a broken module has ended meanwhile is in the log by then.
  await stage.rest(LOGGED_MS)
  stage.tell({ is: 'burst', at, from, statuses })
  return samples.length > 0
}

/** Does `work` once the process runs no more, and lets it go on afterwards. @returns false when it has ended, or the run ends: nothing was done */
async function whileStopped(stage: Stage, pid: number, work: () => Promise<void>): Promise<boolean> {
  if (!signal(pid, 'SIGSTOP')) return false
  try {
    await stage.until(() => isStopped(pid) || !isAlive(pid), RECOVERY_MS_MAX)
    if (!isStopped(pid) || stage.ending.aborted) return false
    await work()
    return true
  } finally {
    // Whatever went wrong: the base could not end while this holds it up.
    signal(pid, 'SIGCONT')
  }
}

/** @returns false of a process that has ended */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
