/**
 * The faults of a run. Each is recorded before requests can feel it, is then injected into the processes of the base, and is over when the base
 * is whole again.
 */
import { messageOf } from '../../base/kernel/errors.ts'
import { Flood } from '../bench/flood.ts'
import { isAlive, isStopped, peersOf } from './processes.ts'
import type { Disturbance } from './record.ts'
import { burst } from './scenes.ts'
import { between, type Fault, pick, type Random, type Step } from './schedule.ts'
import type { Stage } from './stage.ts'

/** Enough for a restart with backoff, on a machine with other work. */
const RECOVERY_MS_MAX = 30_000
const LOGGED_MS = 1000
/** Within this time every request of an overload has its answer: after its deadline, with some reserve for a busy machine. */
const ANSWER_MS_MAX = burst.deadlineMs + 10_000
/** Shorter than the time after which the supervisor kills a process that sends no heartbeat. */
const PAUSE_MS = { from: 500, to: 4000 } as const

interface Target {
  readonly cell: number
  readonly pid: number
}

interface FaultOptions {
  /** Whether the last cell and the keeper are left alive, so that their memory, handles and threads can be measured. */
  readonly sparing: boolean
}

/**
 * Injects a fault and waits until the base is whole again. If it is not within a bound, that is recorded.
 * @returns false when there was no process to do it to, when the process ended in the meantime, or when the base refused
 */
export async function commit(stage: Stage, { kind, random }: Step<Fault>, { sparing }: FaultOptions): Promise<boolean> {
  const from = stage.now()
  // A process that has just ended must not be chosen.
  stage.roster.look()
  const killable = sparing ? stage.roster.ready.filter(({ cell }) => cell < stage.cells) : stage.roster.ready
  const some = pick(random, kind === 'pause cell' ? stage.roster.ready : killable)
  const isDone = await inject(stage, kind, random, some)
  recordRecovery(stage, from, kind, await stage.whole(RECOVERY_MS_MAX))
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

function recordRecovery(stage: Stage, from: number, after: Fault, failure: string | undefined): void {
  if (!stage.ending.aborted) stage.record({ is: 'recovered', at: stage.now(), from, after, ...(failure === undefined ? {} : { failure }) })
}

function killCell(stage: Stage, pid: number): Promise<boolean> {
  // The stopped cell accepts no more connections, so that only the connections it holds now can break when it is killed.
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
  // The cells still have to connect to the new keeper.
  if (isBack) await stage.whole(RECOVERY_MS_MAX)
  calm()
  if (isBack) await stage.checkAudit()
  else recordRecovery(stage, from, 'kill keeper', 'no other keeper came')
  return isKilled
}

function pause(stage: Stage, pid: number, random: Random, by: Disturbance): Promise<boolean> {
  return whileStopped(stage, pid, async () => {
    const calm = stage.disturb(by, by === 'paused cell' ? peersOf(pid, stage.port) : [])
    await stage.rest(between(random, PAUSE_MS.from, PAUSE_MS.to))
    // The disturbance ends after the process runs again, not before.
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
  // By then the log shows whether a broken module has ended a cell in the meantime.
  await stage.rest(LOGGED_MS)
  stage.record({ is: 'burst', at, from, statuses })
  return samples.length > 0
}

/**
 * Stops the process, does `work`, and lets the process go on.
 * @returns false when the process had ended or the run ends, and nothing was done
 */
async function whileStopped(stage: Stage, pid: number, work: () => Promise<void>): Promise<boolean> {
  if (!signal(pid, 'SIGSTOP')) return false
  try {
    await stage.until(() => isStopped(pid) || !isAlive(pid), RECOVERY_MS_MAX)
    if (!isStopped(pid) || stage.ending.aborted) return false
    await work()
    return true
  } finally {
    // The process must go on whatever went wrong, because the base could not end while one of its processes is stopped.
    signal(pid, 'SIGCONT')
  }
}

/** @returns false when the process has ended */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
