/**
 * Every clock that code inside reads, and no module can read another: see `built-ins/dates.ts`. The only clock that an isolate has by itself is the wall clock. People and time servers set it, so it is
 * good for dates, and no duration and no timer may depend on it. For these, the cell writes the time of its monotonic clock into memory that
 * the isolate reads: before it enters the isolate, and every few milliseconds while code runs there.
 */
import { shownAs } from './built-ins/stand-ins.ts'
import { clock } from './host.ts'
import { floor } from './primordials.ts'
import { CLOCK } from './protocol.ts'
import { hasTape, lastReading, reading } from './readings.ts'

/**
 * How far the time here may run ahead of what the cell has written. When the wall clock is set forward, the time here is wrong by no more than
 * this, until the cell writes again. The cell writes every ten milliseconds, but on a busy machine its thread may not get to it for much longer,
 * and then a lower bound would hold up the time here.
 */
const AHEAD_MS_MAX = 500

const { now: nativeWallTime } = Date

/**
 * The monotonic clock of the cell, in milliseconds, to within one. Like `monotonicTime`, it is for what is measured about modules. When the wall clock is set, this is wrong until the cell writes again: by up
 * to `AHEAD_MS_MAX`, or by the time since it wrote last. Then it is right again, so it may go back by as much.
 */
export function cellTime(): number {
  const written = clock[CLOCK.monotonic] as number
  // Since the cell has written, as much time has passed as by the wall clock, unless that was set meanwhile.
  const time = nativeWallTime() - (clock[CLOCK.wallMinusMonotonic] as number)
  if (time > written + AHEAD_MS_MAX) return written + AHEAD_MS_MAX
  return time < written - 1 ? written : time
}

let latest = -Infinity

/**
 * The same in whole milliseconds: it never goes back. It is for what is measured about modules, such as the time that a stage takes: it is not on the tape,
 * so no module may get to see it, and nothing that a module sees may depend on it.
 */
export function monotonicTime(): number {
  const time = cellTime()
  if (time > latest) latest = floor(time)
  return latest
}

/** What the monotonic clock was when the cell last wrote it: the time some milliseconds ago, with no part of the wall clock in it. */
const lastWrittenTime = (): number => clock[CLOCK.monotonic] as number

/** What `cellTime` is, for modules and for what they see. Each call is a reading. */
export const readTime = hasTape ? () => reading(cellTime()) : cellTime

/** What `lastWrittenTime` is, for modules and for what they see. Each call is a reading. */
export const readWrittenTime = hasTape ? () => reading(lastWrittenTime()) : lastWrittenTime

/** The wall clock, for modules: milliseconds since the epoch. It may jump, forward and back. Each call is a reading. */
export const readWallTime: () => number = hasTape
  ? shownAs(nativeWallTime, () => floor(readTime() + (clock[CLOCK.wallMinusMonotonic] as number)))
  : nativeWallTime

/** Where there is a tape, notes the time at which the cell has entered the isolate: `recentTime` stands still otherwise. */
export function noteEntry(): void {
  if (hasTape) readTime()
}

/**
 * The time some milliseconds ago, by the monotonic clock, for decisions about what is posted: how many log lines, and what gets a closer look. This is no
 * reading, and yet a replay decides the same.
 */
export const recentTime = hasTape ? () => lastReading : lastWrittenTime

const startedAt = readTime()
/** What `performance.timeOrigin` is. */
export const timeOrigin = floor(startedAt + (clock[CLOCK.wallMinusMonotonic] as number))

let latestShown = floor(startedAt)

/** The monotonic clock in whole milliseconds, for modules. It never goes back. Each call is a reading. */
export function readWholeTime(): number {
  const time = readTime()
  if (time > latestShown) latestShown = floor(time)
  return latestShown
}

const startedAtWhole = latestShown
/** What `performance.now()` is: milliseconds since the isolate was made. Each call is a reading. */
export const sinceStart = (): number => readWholeTime() - startedAtWhole
