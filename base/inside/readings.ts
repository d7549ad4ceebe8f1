/**
 * The tape of this isolate, where it has one: every reading of a clock that modules can see passes through here, to be written down or to be taken from what
 * was written down before. Whatever else decides what a module sees, or what is posted, goes by these readings, so that a replay does the same.
 */
import { tape } from './host.ts'
import { TAPE, TapeMark, TapeMode } from './protocol.ts'

export const hasTape = tape !== undefined

/** The last reading. It is a time of the monotonic clock, in milliseconds. */
export let lastReading = 0

/**
 * Makes a reading. To be called only where there is a tape.
 * @param time what the monotonic clock of the cell shows, in milliseconds
 * @returns what the clock is to show
 */
export function reading(time: number): number {
  const places = tape as Float64Array
  const mode = places[TAPE.mode]
  const count = places[TAPE.count] as number
  places[TAPE.count] = count + 1
  lastReading = mode === TapeMode.replaying ? given(places, count) : time
  if (mode === TapeMode.recording) keep(places, count, time)
  return lastReading
}

const given = (places: Float64Array, count: number): number =>
  places[count < (places[TAPE.length] as number) ? TAPE.readings + count : TAPE.beyond] as number

function keep(places: Float64Array, count: number, time: number): void {
  const place = TAPE.readings + count
  if (place < places.length) places[place] = time
  else mark(TapeMark.tooManyReadings)
}

/** Notes why a replay may give something else. Does nothing where there is no tape. */
export function mark(why: number): void {
  if (tape !== undefined) tape[TAPE.marks] = (tape[TAPE.marks] as number) | why
}

const STACK_OVERFLOW = 'Maximum call stack size exceeded'

/**
 * Looks through a text that leaves the isolate for the message of a stack overflow. How deep the stack goes depends on what V8 has compiled by then. V8 runs
 * no code when it throws that error, so one that a module catches and says nothing about is not seen.
 */
export function lookForOverflow(text: string): void {
  if (hasTape && text.includes(STACK_OVERFLOW)) mark(TapeMark.stackOverflow)
}
