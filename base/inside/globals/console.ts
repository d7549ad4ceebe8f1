/** `console`, whose lines go to the log of the slot. */
import { readWholeTime } from '../clock.ts'
import { logText } from '../log-lines.ts'
import { trunc } from '../primordials.ts'
import type { LogLine } from '../protocol.ts'
import { textOf } from '../to-text.ts'

const LABELS_MAX = 1000
const INDENT_CHARS_MAX = 64

let indent = ''
const counts = new Map<string, number>()
const started = new Map<string, number>()

function write(level: LogLine['level'], values: readonly unknown[]): void {
  logText(level, indent + textOfAll(values))
}

/** Logs an error that nobody can catch. */
export function report(what: string, error: unknown): void {
  logText('error', textOfAll([what, error]))
}

function textOfAll(values: readonly unknown[]): string {
  const [first, ...rest] = values
  if (typeof first !== 'string' || rest.length === 0 || !first.includes('%')) return values.map(textOf).join(' ')
  let used = 0
  const text = first.replace(/%([sdifjoOc%])/g, (directive, kind: string) => {
    if (kind === '%') return '%'
    return used < rest.length ? directed(kind, rest[used++]) : directive
  })
  return [text, ...rest.slice(used).map(textOf)].join(' ')
}

/** A value as the directive `%kind` shows it. */
function directed(kind: string, value: unknown): string {
  if (kind === 'c') return ''
  if (kind !== 'd' && kind !== 'i' && kind !== 'f') return textOf(value)
  const number = typeof value === 'symbol' || typeof value === 'object' ? Number.NaN : Number(value)
  return String(kind === 'i' ? trunc(number) : number)
}

function elapsed(label: string): string {
  return `${label}: ${readWholeTime() - (started.get(label) ?? readWholeTime())}ms`
}

/** Callers choose the labels, so a table of them must not grow without end. */
function keep(table: Map<string, number>, label: string, value: number): void {
  if (table.size < LABELS_MAX || table.has(label)) table.set(label, value)
}

/** Its functions are arrow functions, because others have prototypes, which would have to be frozen as well. */
export const consoleOfSlot = {
  log: (...values: unknown[]) => write('info', values),
  info: (...values: unknown[]) => write('info', values),
  debug: (...values: unknown[]) => write('debug', values),
  warn: (...values: unknown[]) => write('warn', values),
  error: (...values: unknown[]) => write('error', values),
  dir: (value: unknown) => write('info', [value]),
  dirxml: (...values: unknown[]) => write('info', values),
  table: (value: unknown) => write('info', [value]),
  trace: (...values: unknown[]) => write('debug', [...values, new Error('Trace').stack]),
  assert: (condition?: unknown, ...values: unknown[]) => {
    if (!condition) write('error', ['Assertion failed', ...values])
  },
  group: (...values: unknown[]) => {
    if (values.length > 0) write('info', values)
    if (indent.length < INDENT_CHARS_MAX) indent += '  '
  },
  groupCollapsed: (...values: unknown[]) => consoleOfSlot.group(...values),
  groupEnd: () => {
    indent = indent.slice(2)
  },
  count: (label: unknown = 'default') => {
    keep(counts, String(label), (counts.get(String(label)) ?? 0) + 1)
    write('info', [`${String(label)}: ${counts.get(String(label)) ?? 1}`])
  },
  countReset: (label: unknown = 'default') => {
    counts.delete(String(label))
  },
  time: (label: unknown = 'default') => keep(started, String(label), readWholeTime()),
  timeLog: (label: unknown = 'default', ...values: unknown[]) => write('info', [elapsed(String(label)), ...values]),
  timeEnd: (label: unknown = 'default') => {
    write('info', [elapsed(String(label))])
    started.delete(String(label))
  },
  clear: () => {},
}
