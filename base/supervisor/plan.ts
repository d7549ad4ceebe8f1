/** Decides what to do with the cells. It recommends steps from what is known, and takes none. It has no clock: it is given milliseconds. */
import assert from 'node:assert/strict'
import { limits } from '../kernel/limits.ts'
import { MEMORY_KILL_RATIO } from '../kernel/memory-plan.ts'
import type { CellStatus } from '../wire/messages.ts'

/**
 * Why a cell has to go: an operator has `asked` for it, it is over its `memory`, or it has said that it is `lost`, so that only the end of
 * the process helps. A cell can be lost in any state.
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
  /** When the cell said that it is lost; 0 before. */
  readonly lostAt: number
  /** Whether the cell has been killed. It has not ended yet. */
  readonly killed: boolean
}

/** The place of one cell, kept through its replacements. */
export interface Seat {
  readonly cell: number
  /** Faults one after the other, each soon after a start. */
  readonly failures: number
  /** The seat has no start before this time, unless no cell serves. */
  readonly notBefore: number
  /** When the last of these faults was; 0 before. */
  readonly faultAt: number
  /** Starts in a row that ended before the cell was ready. */
  readonly vainStarts: number
}

export interface Situation {
  readonly seats: readonly Seat[]
  readonly cells: readonly CellView[]
  readonly cellMemoryMB: number
  /** Whether there is memory for the replacement of one cell only, and for one lost cell. */
  readonly isThrifty: boolean
  readonly stopping: boolean
}

export type Step =
  | { readonly do: 'start'; readonly cell: number }
  /** Start a replacement, and retire the cell once that is ready. */
  | { readonly do: 'replace'; readonly id: number; readonly leaving: Leaving }
  | { readonly do: 'retire'; readonly id: number }
  /** `isFault`: what the cell did while it ran code is the reason, not the state that the base is in. */
  | { readonly do: 'kill'; readonly id: number; readonly why: string; readonly isFault: boolean }

/** Milliseconds after the bound of a retirement at which the cell is killed. */
const RETIRE_MARGIN_MS = 2000
/** Milliseconds without a message after which a lost cell is killed: it may be stuck. */
const LOST_SILENCE_MS_MAX = 4 * limits.process.heartbeatMs

assert(
  limits.cell.retireLingerMsMax + RETIRE_MARGIN_MS < limits.process.shutdownMsMax,
  'a shutdown must outlast the cells and leave time for the keeper',
)

// Where cells are not thrifty, each has that room. So there is memory for an heir beside each lost cell.
assert(limits.memory.thriftyMB * (MEMORY_KILL_RATIO - 1) >= limits.memory.replacementMB, 'the heirs of lost cells must fit')

/**
 * The steps depend on the present state only, so this may be asked at any time, and again after each step that was taken.
 * A cell is started in each seat without an heir, except while the seat backs off. A leaving cell retires when its heir is ready, and a lost
 * one as soon as any cell serves. There are never more processes than two for each seat and `lostMax`.
 */
export function plan(situation: Situation, now: number): Step[] {
  const alive = situation.cells.filter(cell => !cell.killed)
  const kills = [...alive.flatMap(cell => killStep(cell, situation, now)), ...killsOfLost(alive, lostMax(situation))]
  const dying = new Set(kills.map(step => step.id))
  const rest = alive.filter(cell => !dying.has(cell.id))
  if (situation.stopping) return [...kills, ...rest.filter(cell => cell.state === 'ready').map(retireStep)]
  const steps = situation.seats.flatMap(seat => seatSteps(seat, situation, rest, now))
  return [...kills, ...(situation.isThrifty ? oneForItsMemory(steps, situation.cells) : steps)]
}

/** How many lost cells the base may have beside those that take their places. */
const lostMax = ({ isThrifty }: Situation): number => (isThrifty ? 1 : limits.process.lostMax)

/** A cell that is over its memory waits while another one is being replaced for that. */
function oneForItsMemory(steps: readonly Step[], cells: readonly CellView[]): Step[] {
  const isForMemory = (step: Step) => step.do === 'replace' && step.leaving === 'memory'
  const next = cells.some(cell => cell.leaving === 'memory') ? undefined : steps.find(isForMemory)
  return steps.filter(step => step === next || !isForMemory(step))
}

type Kill = Step & { readonly do: 'kill' }

/**
 * Kills lost cells when one more would be too many, the longest lost first: it has had the most time to answer what it had. Cells that were
 * lost while they started are killed in any case, and are not counted.
 */
function killsOfLost(alive: readonly CellView[], most: number): Kill[] {
  const latestFirst = alive.filter(cell => cell.leaving === 'lost' && cell.state !== 'starting').sort((a, b) => b.lostAt - a.lostAt)
  const seats = new Set<number>()
  let kept = 0
  return latestFirst.flatMap(({ id, cell }) => {
    if (!seats.has(cell) && kept < most) {
      seats.add(cell)
      kept++
      return []
    }
    return { do: 'kill', id, why: 'it is lost, and more cells have been lost since', isFault: true }
  })
}

function killStep(cell: CellView, situation: Situation, now: number): Kill[] {
  const why = faultOf(cell, situation, now)
  if (why !== undefined) return [{ do: 'kill', id: cell.id, why, isFault: true }]
  const over = endOf(cell, situation, now)
  return over === undefined ? [] : [{ do: 'kill', id: cell.id, why: over, isFault: false }]
}

/** What the cell has done that it is killed for. */
function faultOf(cell: CellView, { cellMemoryMB }: Situation, now: number): string | undefined {
  if (cell.rssMB > cellMemoryMB * MEMORY_KILL_RATIO) return `it holds ${cell.rssMB} MB of at most ${cellMemoryMB}`
  if (cell.state === 'starting') return cell.leaving === 'lost' ? 'it was lost before it was ready' : undefined
  const silentMs = now - cell.beatAt
  const isSilent = silentMs > (cell.leaving === 'lost' ? LOST_SILENCE_MS_MAX : limits.process.heartbeatLostMsMax)
  return isSilent ? `it gave no sign for ${Math.round(silentMs)} ms` : undefined
}

/** Why the time of the cell is over. */
function endOf(cell: CellView, { stopping }: Situation, now: number): string | undefined {
  if (cell.state === 'retiring') return endOfRetiring(cell, now)
  if (cell.state !== 'starting') return undefined
  if (stopping) return 'the base stops before it was ready'
  return now - cell.startedAt > limits.process.readyMsMax ? `it was not ready within ${limits.process.readyMsMax} ms` : undefined
}

function endOfRetiring(cell: CellView, now: number): string | undefined {
  if (now - cell.retiringAt > limits.cell.retireLingerMsMax + RETIRE_MARGIN_MS) return 'it outlived its retirement'
  // An isolate that cannot be stopped keeps a lost cell from exiting. A heartbeat from before the retirement may not count the last connections.
  const drained = cell.connections === 0 && cell.inFlight === 0 && cell.beatAt > cell.retiringAt + limits.process.heartbeatMs
  return cell.leaving === 'lost' && drained ? 'it is lost and has answered all it had' : undefined
}

function seatSteps(seat: Seat, situation: Situation, rest: readonly CellView[], now: number): Step[] {
  const leavers = rest.filter(cell => cell.cell === seat.cell && cell.state === 'ready' && cell.leaving !== undefined)
  const heir = situation.cells.find(cell => isHeir(seat, cell))
  if (heir?.state === 'ready') {
    const bloated = rest.includes(heir) && heir.rssMB > situation.cellMemoryMB && retirable(situation.cells, seat.cell) === heir.id
    return [...leavers.map(retireStep), ...(bloated ? [{ do: 'replace', id: heir.id, leaving: 'memory' } as const] : [])]
  }
  const lost = leavers.filter(cell => cell.leaving === 'lost' && rest.some(serves))
  const isDue = heir === undefined && now >= startAt(seat, situation) && hasRoom(seat, situation)
  return [...lost.map(retireStep), ...(isDue ? [{ do: 'start', cell: seat.cell } as const] : [])]
}

/**
 * When the seat may have its next start. The pauses after crashes must not leave a base where nothing serves. But a cell
 * that ends before it is ready, start after start, as when its code cannot be loaded, is not mended by one more.
 */
function startAt(seat: Seat, { cells }: Situation): number {
  const isAlone = !cells.some(cell => !cell.killed && (serves(cell) || cell.state === 'starting'))
  return isAlone && seat.vainStarts <= limits.process.vainStartsMax
    ? Math.min(seat.notBefore, seat.faultAt + limits.process.heirMsMax)
    : seat.notBefore
}

/** Whether a start leaves the lost cells at their number, also those that have been killed and have not ended yet. */
function hasRoom(seat: Seat, situation: Situation): boolean {
  const lost = situation.cells.filter(cell => cell.leaving === 'lost')
  return lost.length <= lostMax(situation) && lost.filter(({ cell }) => cell === seat.cell).length <= 1
}

/** Whether the cell has the seat, or is about to. A killed cell has it until it has ended, so that its end counts as a fault before the next start. */
const isHeir = (seat: Seat, cell: CellView): boolean => cell.cell === seat.cell && cell.leaving === undefined && cell.state !== 'retiring'

const serves = (cell: CellView): boolean => cell.state === 'ready' && cell.leaving !== 'lost'

const retireStep = (cell: CellView): Step => ({ do: 'retire', id: cell.id })

/** The id of the ready cell of this ordinal; undefined when a cell of the ordinal is leaving already, since a seat changes one cell at a time. */
export function retirable(cells: readonly CellView[], ordinal: number): number | undefined {
  const seated = cells.filter(cell => cell.cell === ordinal)
  const [only] = seated
  return seated.length === 1 && only?.state === 'ready' && only.leaving === undefined && !only.killed ? only.id : undefined
}

/**
 * The seat after a fault of the cell in it, which had lived for `livedMs`.
 * @param pauseMsMax the longest pause before the next start
 */
export function afterFault<S extends Seat>(seat: S, livedMs: number, now: number, pauseMsMax = Number.POSITIVE_INFINITY): S {
  const failures = livedMs >= limits.process.restartForgivenAfterMs ? 1 : seat.failures + 1
  return { ...seat, failures, faultAt: now, notBefore: now + Math.min(nextDelay(failures), pauseMsMax) }
}

/** Milliseconds to wait before the start that follows so many faults in a row. */
export function nextDelay(failures: number): number {
  return failures === 0 ? 0 : Math.min(limits.process.restartMsMax, limits.process.restartMsMin * 2 ** (failures - 1))
}
