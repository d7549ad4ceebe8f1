/** How many cells a base has and how much memory each may take, by default; and whether what was asked for fits. Without effects. */
import assert from 'node:assert/strict'
import { limits } from './limits.ts'
import type { Machine } from './machine.ts'

export const CELLS_MAX = 64
/** Part of its memory that a cell may be over before it is killed. */
export const MEMORY_KILL_RATIO = 1.25

const { launcherMB, supervisorMB, keeperMB, trialMB, codeMB, replacementMB, cellMBMin, cellMBComfortable, cellMBMax } = limits.memory
const OWN_MB = launcherMB + supervisorMB + keeperMB + trialMB + codeMB

assert(cellMBMin > codeMB && cellMBComfortable > cellMBMin)

export interface CellOptions {
  readonly cells: number
  readonly cellMemoryMB: number
}

type Capacity = Pick<Machine, 'memoryMB' | 'memoryFile' | 'cores'>

/** One cell for each core, and at least two: with a single cell nothing would serve while it is replaced. */
export function defaultCells(cores: number): number {
  return Math.min(CELLS_MAX, Math.max(2, cores))
}

/** Completes what was given, so that it fits the memory if anything does. A number of cells that was given is kept, and so is their memory. */
export function completeCells(capacity: Capacity, given: Partial<CellOptions>): CellOptions {
  const cells = given.cells ?? cellsThatFit(capacity, given.cellMemoryMB)
  return { cells, cellMemoryMB: given.cellMemoryMB ?? Math.max(cellMBMin, cellMemoryFor(capacity.memoryMB, cells)) }
}

/** Whether the processes of the base should collect garbage early, so that they stay small. */
export const isThrifty = ({ cellMemoryMB }: Pick<CellOptions, 'cellMemoryMB'>): boolean => cellMemoryMB < limits.memory.thriftyMB

function cellsThatFit(capacity: Capacity, cellMemoryMB: number | undefined): number {
  const wanted = defaultCells(capacity.cores)
  // Outside of a container, a limit for cells that is set higher than all the memory may be meant: other programs and swap give way.
  if (cellMemoryMB !== undefined && capacity.memoryFile === undefined) return wanted
  const fits = (cells: number) =>
    cellMemoryMB === undefined
      ? cellMemoryFor(capacity.memoryMB, cells) >= cellMBComfortable
      : neededMB({ cells, cellMemoryMB }) <= capacity.memoryMB
  let cells = wanted
  while (cells > 1 && !fits(cells)) cells--
  return cells
}

/** The most that each of so many cells may take; less than nothing when they do not fit. */
function cellMemoryFor(memoryMB: number, cells: number): number {
  const whileReplaced = (memoryMB - OWN_MB - replacementMB) / cells + codeMB
  const beforeKilled = ((memoryMB - OWN_MB) / cells + codeMB) / MEMORY_KILL_RATIO
  return Math.min(cellMBMax, Math.floor(Math.min(whileReplaced, beforeKilled)))
}

/** MB that a base with these options may come to use: all cells at their limit and one more that starts, or all just before they are killed. */
export function neededMB({ cells, cellMemoryMB }: CellOptions): number {
  return OWN_MB + cellsMB({ cells, cellMemoryMB })
}

function cellsMB({ cells, cellMemoryMB }: CellOptions): number {
  const each = Math.max(cellMBMin, cellMemoryMB)
  return Math.ceil(Math.max(cells * (each - codeMB) + replacementMB, cells * (each * MEMORY_KILL_RATIO - codeMB)))
}

/** Whether the options fit. `refused` says that the kernel would kill processes, `tight` that it might, each with why and what to do. */
export type MemoryVerdict = { readonly is: 'fits' } | { readonly is: 'tight' | 'refused'; readonly message: string }

export function judgeMemory(options: CellOptions, capacity: Capacity): MemoryVerdict {
  const { memoryMB, memoryFile } = capacity
  const smallest = { ...options, cellMemoryMB: cellMBMin }
  const isHopeless = neededMB(memoryFile === undefined ? smallest : options) > memoryMB
  if (isHopeless) return { is: 'refused', message: `Cannot run in ${limitText(capacity)}: ${sumText(options)}. ${adviceFor(capacity)}` }
  if (neededMB(options) > memoryMB)
    return { is: 'tight', message: `memory may run short: ${sumText(options)}, and there are ${limitText(capacity)}` }
  if (memoryFile === undefined || options.cellMemoryMB >= cellMBComfortable) return { is: 'fits' }
  const message = `cells have little memory: ${options.cellMemoryMB} MB each, where ${cellMBComfortable} are enough for six small scenes. Take fewer --cells, or more memory than ${limitText(capacity)}`
  return { is: 'tight', message }
}

/**
 * Whether the options fit beside a base of another release that holds so much and ends once this one serves. Cells begin small, so the least that they may
 * have has to fit for that moment.
 */
export function judgeMemoryBeside(options: CellOptions, capacity: Capacity, usedMB: number): MemoryVerdict {
  const alone = judgeMemory(options, capacity)
  const atStartMB = neededMB({ cells: options.cells, cellMemoryMB: cellMBMin })
  if (alone.is === 'refused' || usedMB + atStartMB <= capacity.memoryMB) return alone
  const sum = `${usedMB} MB that it holds + ${atStartMB} MB for another release to start = ${usedMB + atStartMB} MB`
  return {
    is: 'refused',
    message: `Cannot run beside the base in ${limitText(capacity)}: ${sum}. Stop the base, and start the other release`,
  }
}

function limitText({ memoryMB, memoryFile }: Capacity): string {
  return memoryFile === undefined ? `the ${memoryMB} MB of this machine` : `${memoryMB} MB (${memoryFile})`
}

function sumText(options: CellOptions): string {
  const { cells, cellMemoryMB } = options
  const own = `launcher and supervisor ${launcherMB + supervisorMB} + keeper ${keeperMB} + trial ${trialMB} + code of Node.js ${codeMB}`
  const each = Math.max(cellMBMin, cellMemoryMB)
  const all = `${cells === 1 ? 'one cell' : `${cells} cells`} of up to ${each} MB, with room to replace and to kill them, ${cellsMB(options)}`
  return `${own} + ${all} = ${neededMB(options)} MB`
}

function adviceFor(capacity: Capacity): string {
  const least = neededMB({ cells: 1, cellMemoryMB: cellMBComfortable })
  const { cells, cellMemoryMB } = completeCells(capacity, {})
  if (neededMB({ cells, cellMemoryMB }) > capacity.memoryMB) return `A base needs ${least} MB for one cell`
  return `What fits are --cells ${cells} and --cell-memory-mb ${cellMemoryMB}, which is what it takes when neither is given`
}
