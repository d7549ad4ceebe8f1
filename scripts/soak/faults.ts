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
/** Below what makes the supervisor take a process for hung. */
const PAUSE_MS = { from: 500, to: 4000 } as const

interface FaultOptions {
  /** Leaves the last cell and the keeper alive, so that it can be seen what they hold. */
  readonly sparing: boolean
}

/** Resolves when the base is whole again, or was not within a bound, which is told to the record. */
export async function commit(stage: Stage, { kind, random }: Step<Fault>, { sparing }: FaultOptions): Promise<void> {
  const from = stage.now()
  const killable = sparing ? stage.roster.ready.filter(({ cell }) => cell < stage.cells) : stage.roster.ready
  const some = pick(random, kind === 'pause cell' ? stage.roster.ready : killable)
  if (kind === 'kill cell' && some !== undefined) await killCell(stage, some.pid)
  if (kind === 'pause cell' && some !== undefined) await pause(stage, some.pid, random, 'paused cell')
  if (kind === 'retire cell' && some !== undefined) await retire(stage, some.cell, some.pid)
  if (kind === 'kill keeper' && !(await killKeeper(stage))) tellRecovered(stage, from, kind, 'no other keeper came')
  if (kind === 'pause keeper') await pause(stage, stage.roster.keeper, random, 'keeper away')
  if (kind === 'overload') await overload(stage)
  tellRecovered(stage, from, kind, await stage.whole(RECOVERY_MS_MAX))
}

function tellRecovered(stage: Stage, from: number, after: Fault, failure: string | undefined): void {
  if (!stage.ending.aborted) stage.tell({ is: 'recovered', at: stage.now(), from, after, ...(failure === undefined ? {} : { failure }) })
}

async function killCell(stage: Stage, pid: number): Promise<void> {
  // It takes no more connections from here on, so that those that it holds are all that its death can cost.
  if (!(await stop(stage, pid))) return
  const calm = stage.disturb('killed cell', peersOf(pid, stage.port))
  stage.injected.add(pid)
  signal(pid, 'SIGKILL')
  await stage.until(() => !isAlive(pid), RECOVERY_MS_MAX)
  calm()
}

/** @returns whether another came in its place */
async function killKeeper(stage: Stage): Promise<boolean> {
  const pid = stage.roster.keeper
  const calm = stage.disturb('keeper away')
  signal(pid, 'SIGKILL')
  const isBack = await stage.until(() => stage.roster.keeper !== pid, RECOVERY_MS_MAX)
  // Cells come back to it at their own pace.
  if (isBack) await stage.whole(RECOVERY_MS_MAX)
  calm()
  if (isBack) await stage.checkAudit()
  return isBack
}

async function pause(stage: Stage, pid: number, random: Random, by: Disturbance): Promise<void> {
  if (!(await stop(stage, pid))) return
  const calm = stage.disturb(by, by === 'paused cell' ? peersOf(pid, stage.port) : [])
  try {
    await stage.rest(between(random, PAUSE_MS.from, PAUSE_MS.to))
  } finally {
    signal(pid, 'SIGCONT')
    calm()
  }
}

async function retire(stage: Stage, cell: number, pid: number): Promise<void> {
  const calm = stage.disturb('retirement')
  try {
    await stage.client.retireCell(cell)
    await stage.until(() => !stage.roster.ready.some(one => one.pid === pid), RECOVERY_MS_MAX)
  } catch (error) {
    stage.note(`cell ${cell} could not be retired: ${messageOf(error)}`)
  } finally {
    calm()
  }
}

async function overload(stage: Stage): Promise<void> {
  const from = stage.now()
  const calm = stage.disturb('overload')
  const { samples } = await new Flood(stage.url, burst.scene, burst.body).open(3000, 1500, 600)
  calm()
  const counted = Object.groupBy(samples, ({ status }) => String(status))
  const statuses = Object.fromEntries(Object.entries(counted).map(([status, some = []]) => [status, some.length]))
  const at = stage.now()
  // A cell that a broken module has ended meanwhile is in the log by then.
  await stage.rest(LOGGED_MS)
  stage.tell({ is: 'burst', at, from, statuses })
}

/** Resolves once it runs no more. @returns false of a process that has ended, and when the run ends */
async function stop(stage: Stage, pid: number): Promise<boolean> {
  if (!signal(pid, 'SIGSTOP')) return false
  if (await stage.until(() => isStopped(pid), RECOVERY_MS_MAX)) return true
  // The run ends, and the base with it: it could not while this holds it up.
  signal(pid, 'SIGCONT')
  return false
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
