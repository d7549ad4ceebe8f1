/** Decides what to do with the cells. It recommends steps from what is known, and takes none. It has no clock: it is given milliseconds. */
import assert from 'node:assert/strict'
import { limits } from '../kernel/limits.ts'
import { MEMORY_KILL_RATIO } from '../kernel/memory-plan.ts'
import type { CellStatus } from '../wire/messages.ts'

/**
 * Why a ready cell has to go: an operator has `asked` for it, it is over its `memory`, or it has said that it is `lost`, so that only the
 * end of the process helps.
 */
export type Leaving = 'asked' | 'memory' | 'lost'

/** One process that is a cell. The code that takes the steps writes its fields. */
export interface CellView {
  /** The id of this process alone. Its replacement takes over the ordinal `cell`, but not the id. */
  readonly id: number
  readonly cell: number
  readonly state: CellStatus['state']
  readonly startedAt: number
  /** When the last message of the cell came. */
  readonly beatAt: number
  /** When the cell was asked to retire; 0 before. */
  readonly retiringAt: number
  readonly connections: number
  readonly inFlight: number
  readonly rssMB: number
  readonly leaving: Leaving | undefined
  /** Whether the cell has been killed. It has not ended yet. */
  readonly killed: boolean
}

/** The place of one cell, kept through its replacements. */
export interface Seat {
  readonly cell: number
  /** Faults one after the other, each soon after a start. */
  readonly failures: number
  /** The seat has no start before this time. */
  readonly notBefore: number
}

export interface Situation {
  readonly seats: readonly Seat[]
  readonly cells: readonly CellView[]
  readonly cellMemoryMB: number
  /** Whether there is memory for the replacement of one cell only. */
  readonly isThrifty: boolean
  readonly stopping: boolean
}

export type Step =
  | { readonly do: 'start'; readonly cell: number }
  /** Start a replacement, and retire the cell once that is ready. */
  | { readonly do: 'replace'; readonly id: number; readonly leaving: Leaving }
  | { readonly do: 'retire'; readonly id: number }
  | { readonly do: 'kill'; readonly id: number; readonly why: string }

/** Milliseconds after the bound of a retirement at which the cell is killed. */
const RETIRE_MARGIN_MS = 2000
/** Milliseconds without a message after which a lost cell is killed: it may be stuck. */
const LOST_SILENCE_MS_MAX = 4 * limits.process.heartbeatMs

assert(
  limits.cell.retireLingerMsMax + RETIRE_MARGIN_MS < limits.process.shutdownMsMax,
  'a shutdown must outlast the cells and leave time for the keeper',
)

/**
 * The steps depend on the present state only, so this may be asked at any time, and again after each step that was taken.
 * A cell is started in each seat without an heir, except while the seat backs off. A leaving cell retires when its heir is ready.
 */
export function plan(situation: Situation, now: number): Step[] {
  const alive = situation.cells.filter(cell => !cell.killed)
  const kills = alive.flatMap(cell => killStep(cell, situation, now))
  const dying = new Set(kills.map(step => step.id))
  const rest = alive.filter(cell => !dying.has(cell.id))
  if (situation.stopping) return [...kills, ...rest.filter(cell => cell.state === 'ready').map(retireStep)]
  const steps = situation.seats.flatMap(seat => seatSteps(seat, situation, rest, now))
  return [...kills, ...(situation.isThrifty ? oneForItsMemory(steps, situation.cells) : steps)]
}

/** A cell that is over its memory waits while another one is being replaced for that. */
function oneForItsMemory(steps: readonly Step[], cells: readonly CellView[]): Step[] {
  const isForMemory = (step: Step) => step.do === 'replace' && step.leaving === 'memory'
  const next = cells.some(cell => cell.leaving === 'memory') ? undefined : steps.find(isForMemory)
  return steps.filter(step => step === next || !isForMemory(step))
}

function killStep(cell: CellView, situation: Situation, now: number): (Step & { do: 'kill' })[] {
  const why = killReason(cell, situation, now)
  return why === undefined ? [] : [{ do: 'kill', id: cell.id, why }]
}

function killReason(cell: CellView, { cellMemoryMB, stopping }: Situation, now: number): string | undefined {
  const silentMs = now - cell.beatAt
  if (cell.rssMB > cellMemoryMB * MEMORY_KILL_RATIO) return `it holds ${cell.rssMB} MB of at most ${cellMemoryMB}`
  if (cell.state === 'starting') {
    if (stopping) return 'the base stops before it was ready'
    return now - cell.startedAt > limits.process.readyMsMax ? `it was not ready within ${limits.process.readyMsMax} ms` : undefined
  }
  if (silentMs > (cell.leaving === 'lost' ? LOST_SILENCE_MS_MAX : limits.process.heartbeatLostMsMax))
    return `it gave no sign for ${Math.round(silentMs)} ms`
  return cell.state === 'retiring' ? retiringKillReason(cell, now) : undefined
}

function retiringKillReason(cell: CellView, now: number): string | undefined {
  if (now - cell.retiringAt > limits.cell.retireLingerMsMax + RETIRE_MARGIN_MS) return 'it outlived its retirement'
  // An isolate that cannot be stopped keeps a lost cell from exiting. A heartbeat from before the retirement may not count the last connections.
  const drained = cell.connections === 0 && cell.inFlight === 0 && cell.beatAt > cell.retiringAt + limits.process.heartbeatMs
  return cell.leaving === 'lost' && drained ? 'it is doomed and has answered all it had' : undefined
}

function seatSteps(seat: Seat, situation: Situation, rest: readonly CellView[], now: number): Step[] {
  const heir = situation.cells.find(cell => isHeir(seat, cell))
  if (!heir) return now >= seat.notBefore ? [{ do: 'start', cell: seat.cell }] : []
  if (heir.state !== 'ready') return []
  const leavers = rest.filter(cell => cell.cell === seat.cell && cell.state === 'ready' && cell.leaving !== undefined)
  const bloated = rest.includes(heir) && heir.rssMB > situation.cellMemoryMB && retirable(situation.cells, seat.cell) === heir.id
  return [...leavers.map(retireStep), ...(bloated ? [{ do: 'replace', id: heir.id, leaving: 'memory' } as const] : [])]
}

/** Whether the cell has the seat, or is about to. A killed cell has it until it has ended, so that its end counts as a fault before the next start. */
const isHeir = (seat: Seat, cell: CellView): boolean => cell.cell === seat.cell && cell.leaving === undefined && cell.state !== 'retiring'

const retireStep = (cell: CellView): Step => ({ do: 'retire', id: cell.id })

/** The id of the ready cell of this ordinal; undefined when a cell of the ordinal is leaving already, since a seat changes one cell at a time. */
export function retirable(cells: readonly CellView[], ordinal: number): number | undefined {
  const seated = cells.filter(cell => cell.cell === ordinal)
  const [only] = seated
  return seated.length === 1 && only?.state === 'ready' && only.leaving === undefined && !only.killed ? only.id : undefined
}

/** The seat after a fault of the cell in it, which had lived for `livedMs`. */
export function afterFault<S extends Seat>(seat: S, livedMs: number, now: number): S {
  const failures = livedMs >= limits.process.restartForgivenAfterMs ? 1 : seat.failures + 1
  return { ...seat, failures, notBefore: now + nextDelay(failures) }
}

/** Milliseconds to wait before the start that follows so many faults in a row. */
export function nextDelay(failures: number): number {
  return failures === 0 ? 0 : Math.min(limits.process.restartMsMax, limits.process.restartMsMin * 2 ** (failures - 1))
}
