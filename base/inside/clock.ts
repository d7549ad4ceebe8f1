/**
 * Every clock that code inside reads. The only clock that an isolate has by itself is the wall clock. People and time servers set it, so it is
 * good for dates, and no duration and no timer may depend on it. For these, the cell writes the time of its monotonic clock into memory that
 * the isolate reads: before it enters the isolate, and every few milliseconds while code runs there.
 */
import { clock } from './host.ts'
import { floor } from './primordials.ts'
import { CLOCK } from './protocol.ts'

/**
 * How far the time here may run ahead of what the cell has written. When the wall clock is set forward, the time here is wrong by no more than
 * this, until the cell writes again. The cell writes every ten milliseconds, but on a busy machine its thread may not get to it for much longer,
 * and then a lower bound would hold up the time here.
 */
const AHEAD_MS_MAX = 500

/** The wall clock, in milliseconds since the epoch. It may jump, forward and back. */
export const { now: wallTime } = Date

/**
 * The monotonic clock of the cell, in milliseconds, to within one. When the wall clock is set, this is wrong until the cell writes again: by up
 * to `AHEAD_MS_MAX`, or by the time since it wrote last. Then it is right again, so it may go back by as much.
 */
export function cellTime(): number {
  const written = clock[CLOCK.monotonic] as number
  // Since the cell has written, as much time has passed as by the wall clock, unless that was set meanwhile.
  const time = wallTime() - (clock[CLOCK.wallMinusMonotonic] as number)
  if (time > written + AHEAD_MS_MAX) return written + AHEAD_MS_MAX
  return time < written - 1 ? written : time
}

let latest = floor(cellTime())

/** The same in whole milliseconds, for whoever measures: it never goes back. */
export function monotonicTime(): number {
  const time = cellTime()
  if (time > latest) latest = floor(time)
  return latest
}

const startedAt = monotonicTime()
/** Milliseconds since the isolate was made. */
export const sinceStart = (): number => monotonicTime() - startedAt

/** What the monotonic clock was when the cell last wrote it: the time some milliseconds ago, with no part of the wall clock in it. */
export const lastWrittenTime = (): number => clock[CLOCK.monotonic] as number
