/** What a command prints: readable lines for people, or one JSON document for machines. */
import type { AppliedCells, Timings } from '../../../base/contract/common-api.ts'
import { renderColumns } from '../../../base/kernel/columns.ts'
import { asTyped } from '../../../base/kernel/typed-commands.ts'
import { colorsFor } from './colors.ts'

export interface Output {
  /** A line for people. */
  say(line: string): void
  /** Says what to do next, to people, with commands as they are typed here. It is on standard error, so that what a command found can be piped. */
  next(line: string): void
  table(head: readonly string[], rows: readonly (readonly string[])[]): void
  /** Reports a finished step: its name, the milliseconds it took and what came of it. */
  done(step: string, ms: number, outcome: string): void
  /** Reports something that is not wrong enough to fail, on standard error. */
  warn(text: string): void
  /** The one document that `--json` prints. */
  result(value: unknown): void
}

/** @param base of the one document: in it, an object says which base it is about */
export function createOutput(json: boolean, base?: URL): Output {
  const colors = colorsFor(process.stdout)
  const say = (line: string) => {
    if (!json) process.stdout.write(`${line}\n`)
  }
  return {
    say,
    next: line => {
      if (!json) process.stderr.write(`${colorsFor(process.stderr).dim(asTyped(line, 'sdk'))}\n`)
    },
    table: (head, rows) => say(renderColumns(head.map(colors.bold), rows)),
    done: (step, ms, outcome) => {
      say(`  ${colors.green('✔')} ${step.padEnd(8)} ${`${Math.round(ms)} ms`.padStart(7)}  ${outcome}`)
    },
    warn: text => {
      process.stderr.write(`${colorsFor(process.stderr).yellow('!')} ${asTyped(text, 'sdk')}\n`)
    },
    result: value => {
      if (!json) return
      const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
      const document = base !== undefined && isObject ? { base: base.origin, ...value } : value
      process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
    },
  }
}

/**
 * Runs `work`.
 * @returns what it returned, and the milliseconds it took
 */
export async function timed<T>(work: () => Promise<T>): Promise<[result: T, ms: number]> {
  const startedAt = performance.now()
  const result = await work()
  return [result, Math.round((performance.now() - startedAt) * 10) / 10]
}

/** A size: 7955 bytes are `7.8 KB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const kilobytes = bytes / 1024
  return kilobytes < 1024 ? `${kilobytes.toFixed(1)} KB` : `${(kilobytes / 1024).toFixed(1)} MB`
}

const ages = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
] as const

/**
 * How long ago a time was, in one unit: `3 d`, `5 min`.
 * @param at ISO 8601
 */
export function ageOf(at: string, now = Date.now()): string {
  const ms = Math.max(0, now - Date.parse(at))
  const [size, unit] = ages.find(([step]) => ms >= step) ?? [1000, 's']
  return `${Math.floor(ms / size)} ${unit}`
}

/** The time so many milliseconds ago: ISO 8601. */
export const timeAgo = (ms: number): string => new Date(Date.now() - ms).toISOString()

/** Cells in words: `live on 2 of 2 cells`. */
export function describeCells({ applied, connected }: AppliedCells): string {
  return `live on ${applied} of ${connected} cells`
}

/** Steps in words: `check 2 ms, warm-up 98 ms` for `{ checkMs: 2, warmUpMs: 98 }`. */
export function describeTimings(timings: Timings): string {
  return Object.entries(timings)
    .map(([step, ms]) => `${step.replace(/Ms$/, '').replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)} ${Math.round(ms)} ms`)
    .join(', ')
}

/** The text without control characters: what callers have sent and modules have logged must stay on its line, and must not move the cursor. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, found =>
    found === '\n' ? '\\n' : found === '\t' ? ' ' : `\\x${found.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}
