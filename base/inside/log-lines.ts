/** What modules log, bounded in length and number. Lines leave in one message with the answer of their request, or by themselves. */
import { recentTime } from './clock.ts'
import { cursor, limits, post } from './host.ts'
import { type Request, running } from './open-request.ts'
import { floor, stringify } from './primordials.ts'
import { CURSOR, type LogLine } from './protocol.ts'
import { lookForOverflow } from './readings.ts'
import { messageOf, stackOf, textOf } from './to-text.ts'

let second = 0
let linesInSecond = 0
let dropped = 0

/** Returns undefined when there were too many lines in this second already, and while the slot warms up. */
export function logLine(level: LogLine['level'], module: string | undefined, message: string, fields?: unknown): LogLine | undefined {
  if (cursor[CURSOR.warmingUp] === 1) return undefined
  const thisSecond = floor(recentTime() / 1000)
  if (thisSecond !== second) {
    second = thisSecond
    linesInSecond = 0
  }
  if (++linesInSecond > limits.logLinesPerSecond) {
    dropped++
    return undefined
  }
  const line = { level, module, message: message.slice(0, limits.logLineChars), ...fieldsOf(fields), ...(dropped > 0 && { dropped }) }
  dropped = 0
  return line
}

function fieldsOf(fields: unknown): { fields?: string; stack?: string } {
  if (fields === undefined) return {}
  const stack = stackOf(fields)
  if (stack.stack !== undefined) return stack
  try {
    return { fields: stringify(fields)?.slice(0, limits.logLineChars) ?? '' }
  } catch (error) {
    return { fields: stringify({ unprintable: messageOf(error) }) }
  }
}

/** A line that a stage logs through its context. */
export function logFor(request: Request, level: LogLine['level'], message: unknown, fields: unknown): void {
  const line = logLine(level, running.module, textOf(message), fields)
  if (line !== undefined) keepLine(request, line)
}

/** Keeps a line for the answer of its request, or posts it when the answer has left. */
export function keepLine(request: Request, line: LogLine): void {
  if (request.done) postLines(request.no, [line])
  else if (request.lines === undefined) request.lines = [line]
  else request.lines.push(line)
}

/** Logs a line that belongs to no request: one of `console`, or of the code here. */
export function logText(level: LogLine['level'], text: string): void {
  const line = logLine(level, running.module, text)
  if (line !== undefined) postLines(0, [line])
}

/** @param requestNo 0 for lines that belong to no request */
export function postLines(requestNo: number, lines: readonly LogLine[]): void {
  const json = stringify(lines)
  lookForOverflow(json)
  post('log', requestNo, json)
}
