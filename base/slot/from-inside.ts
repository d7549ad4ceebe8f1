/**
 * What an isolate posts, checked. The code inside makes it well, but a module may have broken that code: then it must cost neither the cell nor another
 * scene anything.
 */
import { AnswerKind, type LogLine } from '../inside/protocol.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { SlotAnswer } from './slot-call.ts'

const levels: ReadonlySet<unknown> = new Set<LogLine['level']>(['debug', 'info', 'warn', 'error'])
/** Lines in one post. Those of a request are posted together, and there is a bound for each second of it. */
const LINES_MAX = limits.slot.logLinesPerSecondMax * (limits.request.deadlineMsMax / 1000 + 1)
/** Whole milliseconds, with commas between them. */
const TIMES = /^\d{1,9}(,\d{1,9})*$/

/** The answer in a post of the kind `ok` or `noted`; undefined when it is none. What the notes say goes into headers. */
export function parseAnswer(kind: unknown, text: unknown, queueMs: number, plan: SlotPlan): SlotAnswer | undefined {
  if (typeof text !== 'string') return undefined
  if (kind === AnswerKind.ok) return { json: text, degraded: undefined, tookMs: undefined, queueMs }
  return kind === AnswerKind.noted ? splitNotes(text, queueMs, plan) : undefined
}

function splitNotes(text: string, queueMs: number, { lock }: SlotPlan): SlotAnswer | undefined {
  const at = text.indexOf('\n')
  const [degraded = '', tookMs = ''] = text.slice(0, Math.max(at, 0)).split(' ')
  const isStage = (name: string) => lock.some(({ stage }) => stage === name)
  const isFine = at > 0 && (degraded === '' || degraded.split(',').every(isStage)) && (tookMs === '' || TIMES.test(tookMs))
  return isFine ? { json: text.slice(at + 1), degraded: degraded || undefined, tookMs: tookMs || undefined, queueMs } : undefined
}

/** The lines in a post of the kind `log`, whose texts have a bounded length; undefined when they are none. */
export function parseLines(json: unknown): LogLine[] | undefined {
  try {
    const lines: unknown = JSON.parse(String(json))
    return Array.isArray(lines) ? lines.slice(0, LINES_MAX).map(toLine) : undefined
  } catch {
    return undefined
  }
}

const { lineCharsMax } = limits.log

function toLine(value: unknown): LogLine {
  const { level, module, message, fields, stack, code, once, dropped }: Readonly<Record<keyof LogLine, unknown>> = Object(value)
  return {
    level: levels.has(level) ? (level as LogLine['level']) : 'error',
    module: typeof module === 'string' ? module.slice(0, lineCharsMax) : undefined,
    message: typeof message === 'string' ? message.slice(0, lineCharsMax) : '',
    ...(typeof fields === 'string' && { fields: fields.slice(0, lineCharsMax) }),
    ...(typeof stack === 'string' && { stack: stack.slice(0, lineCharsMax) }),
    ...(typeof code === 'string' && { code: code.slice(0, lineCharsMax) }),
    ...(typeof once === 'string' && { once: once.slice(0, lineCharsMax) }),
    ...(Number.isSafeInteger(dropped) && { dropped: Number(dropped) }),
  }
}
