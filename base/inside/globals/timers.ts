/**
 * Timers of the modules. The cell is asked for a wake-up only when none is due early enough already, so one wake-up serves many timers and at
 * most `limits.slotTimers` are under way. A wake-up is never taken back.
 */
import { readTime } from '../clock.ts'
import { limits, post } from '../host.ts'
import { type Cause, causeNow, closeLeftover, runFor } from '../open-request.ts'
import { max, min, trunc } from '../primordials.ts'
import { report } from './console.ts'

interface Timer {
  readonly no: number
  readonly run: () => void
  readonly everyMs: number | undefined
  readonly cause: Cause
  /** When it is due, by `readTime`. */
  at: number
}

const DELAY_MS_MAX = 2 ** 31 - 1
/** How far the clock here may be behind that of the cell. */
const BEHIND_MS_MAX = 2

const timers = new Map<number, Timer>()
/** When each wake-up that the cell has promised is due. */
const wakeUps = new Map<number, number>()
let lastTimer = 0
let lastWakeUp = 0
/** When the next wake-up is due. */
let nextWakeAt = Infinity

/** @param name of the global that was called, for messages */
export function openTimer(name: string, run: unknown, delayMs: unknown, values: readonly unknown[], repeats: boolean): number {
  if (typeof run !== 'function') throw new TypeError(`${name} takes a function`)
  if (timers.size >= limits.slotTimers) throw new RangeError(`${name}: ${limits.slotTimers} timers are open in this slot already`)
  const delay = Number(delayMs)
  const ms = delay > 0 ? min(trunc(delay), DELAY_MS_MAX) : 0
  const at = readTime() + ms
  wakeBy(name, at, ms)
  const no = ++lastTimer
  timers.set(no, { no, run: () => run(...values), everyMs: repeats ? max(ms, 1) : undefined, cause: causeNow(), at })
  return no
}

function wakeBy(name: string, at: number, delayMs: number): void {
  if (at >= nextWakeAt) return
  // Wake-ups of cleared timers count as well, because the cell still has to deliver them.
  if (wakeUps.size >= limits.slotTimers) throw new RangeError(`${name}: too many timers were opened and cleared in this slot`)
  nextWakeAt = at
  wakeUps.set(++lastWakeUp, at)
  post('timer', lastWakeUp, delayMs)
}

export function closeTimer(no: unknown): void {
  timers.delete(Number(no))
}

/** Runs the timers that are due at this wake-up. Never throws. */
export function fireTimer(no: number): void {
  closeLeftover()
  const wakeAt = wakeUps.get(no)
  if (wakeAt === undefined) return
  wakeUps.delete(no)
  nextWakeAt = min(Infinity, ...wakeUps.values())
  // The timers that the wake-up was asked for are due. If the clock here was ahead when they were opened, they are not, and get another one.
  const now = readTime()
  const time = max(now, min(wakeAt, now + BEHIND_MS_MAX))
  const due = [...timers.values()].filter(timer => timer.at <= time).sort((a, b) => a.at - b.at || a.no - b.no)
  runDue(due, 0, time)
}

/** Runs timers one after the other, each after the promise reactions of the one before. */
function runDue(due: readonly Timer[], index: number, time: number): void {
  const timer = due[index]
  if (timer === undefined) {
    wakeForRest(time)
    return
  }
  if (timers.has(timer.no)) runTimer(timer, time)
  if (index + 1 < due.length) Promise.resolve().then(() => runDue(due, index + 1, time))
  else wakeForRest(time)
}

function runTimer(timer: Timer, time: number): void {
  if (timer.everyMs === undefined) timers.delete(timer.no)
  else timer.at = time + timer.everyMs
  try {
    runFor(timer.cause, timer.run)
  } catch (error) {
    report('A timer threw:', error)
  }
}

function wakeForRest(time: number): void {
  let at = Infinity
  for (const timer of timers.values()) if (timer.at < at) at = timer.at
  if (at !== Infinity) wakeBy('setInterval', at, max(at - time, 0))
}
