/** What to do with the cells: recommends from what is known, does nothing. No clock: milliseconds come in. */
import assert from 'node:assert/strict'
import { limits } from '../kernel/limits.ts'
import type { CellStatus } from '../wire/messages.ts'

/** Why a ready cell is to go: `asked` by an operator, over its `memory`, or `doomed` by its own word. */
export type Leaving = 'asked' | 'memory' | 'doomed'

/** One process that is a cell. Its fields are written by whoever does what the plan says. */
export interface CellView {
  /** Never used again; the ordinal is. */
  readonly id: number
  readonly cell: number
  readonly state: CellStatus['state']
  readonly startedAt: number
  /** When it last said that it lives. */
  readonly beatAt: number
  /** When it was told to retire; 0 before. */
  readonly retiringAt: number
  readonly connections: number
  readonly inFlight: number
  readonly rssMB: number
  readonly leaving: Leaving | undefined
  /** Killed, and not yet gone. */
  readonly killed: boolean
}

/** The place of one cell, kept through its replacements. */
export interface Seat {
  readonly cell: number
  /** Faults in a row, each soon after a start. */
  readonly failures: number
  /** No start before this time. */
  readonly notBefore: number
}

export interface Situation {
  readonly seats: readonly Seat[]
  readonly cells: readonly CellView[]
  readonly cellMemoryMB: number
  readonly stopping: boolean
}

export type Step =
  | { readonly do: 'start'; readonly cell: number }
  /** Let it leave once its replacement is ready. */
  | { readonly do: 'replace'; readonly id: number; readonly leaving: Leaving }
  | { readonly do: 'retire'; readonly id: number }
  | { readonly do: 'kill'; readonly id: number; readonly why: string }

/** Milliseconds above the bound of a retirement before the supervisor ends it. */
const RETIRE_MARGIN_MS = 2000
/** A doomed cell may be stuck; it is waited for only so long. */
const DOOMED_DEAF_MS_MAX = 4 * limits.process.heartbeatMs
const MEMORY_KILL_RATIO = 1.25

assert(
  limits.cell.retireLingerMsMax + RETIRE_MARGIN_MS < limits.process.shutdownMsMax,
  'a shutdown must outlast the cells and leave time for the keeper',
)

/**
 * Depends on the present state only, so it may be asked at any time and again after each step was done.
 * A seat without an heir is filled, except while it backs off; a leaving cell retires when its heir is ready.
 */
export function plan(situation: Situation, now: number): Step[] {
  const alive = situation.cells.filter(cell => !cell.killed)
  const kills = alive.flatMap(cell => killStep(cell, situation, now))
  const dying = new Set(kills.map(step => step.id))
  const rest = alive.filter(cell => !dying.has(cell.id))
  if (situation.stopping) return [...kills, ...rest.filter(cell => cell.state === 'ready').map(retireStep)]
  return [...kills, ...situation.seats.flatMap(seat => seatSteps(seat, situation, rest, now))]
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
  if (silentMs > (cell.leaving === 'doomed' ? DOOMED_DEAF_MS_MAX : limits.process.heartbeatLostMsMax))
    return `it gave no sign for ${Math.round(silentMs)} ms`
  return cell.state === 'retiring' ? retiringKillReason(cell, now) : undefined
}

function retiringKillReason(cell: CellView, now: number): string | undefined {
  if (now - cell.retiringAt > limits.cell.retireLingerMsMax + RETIRE_MARGIN_MS) return 'it outlived its retirement'
  // The isolate that doomed it would keep it from exiting. An older heartbeat may not count the last connections.
  const drained = cell.connections === 0 && cell.inFlight === 0 && cell.beatAt > cell.retiringAt + limits.process.heartbeatMs
  return cell.leaving === 'doomed' && drained ? 'it is doomed and has answered all it had' : undefined
}

function seatSteps(seat: Seat, situation: Situation, rest: readonly CellView[], now: number): Step[] {
  const heir = situation.cells.find(cell => isHeir(seat, cell))
  if (!heir) return now >= seat.notBefore ? [{ do: 'start', cell: seat.cell }] : []
  if (heir.state !== 'ready') return []
  const leavers = rest.filter(cell => cell.cell === seat.cell && cell.state === 'ready' && cell.leaving !== undefined)
  const bloated = rest.includes(heir) && heir.rssMB > situation.cellMemoryMB && retirable(situation.cells, seat.cell) === heir.id
  return [...leavers.map(retireStep), ...(bloated ? [{ do: 'replace', id: heir.id, leaving: 'memory' } as const] : [])]
}

/** The cell that has the seat or is about to; a killed one has it until it is gone, so that its end counts before the next start. */
const isHeir = (seat: Seat, cell: CellView): boolean => cell.cell === seat.cell && cell.leaving === undefined && cell.state !== 'retiring'

const retireStep = (cell: CellView): Step => ({ do: 'retire', id: cell.id })

/** The ready cell of this ordinal, unless one of the ordinal is leaving already: a seat changes one cell at a time. */
export function retirable(cells: readonly CellView[], ordinal: number): number | undefined {
  const seated = cells.filter(cell => cell.cell === ordinal)
  const [only] = seated
  return seated.length === 1 && only?.state === 'ready' && only.leaving === undefined && !only.killed ? only.id : undefined
}

/** The seat after a fault of the cell in it, which lived so long. */
export function afterFault<S extends Seat>(seat: S, livedMs: number, now: number): S {
  const failures = livedMs >= limits.process.restartForgivenAfterMs ? 1 : seat.failures + 1
  return { ...seat, failures, notBefore: now + nextDelay(failures) }
}

/** Milliseconds to wait before the start that follows so many faults in a row. */
export function nextDelay(failures: number): number {
  return failures === 0 ? 0 : Math.min(limits.process.restartMsMax, limits.process.restartMsMin * 2 ** (failures - 1))
}
