/** Prints the progress and the report of a run for people. */
import { colorsFor } from '../../sdk/cli/terminal/colors.ts'
import type { Output } from '../../sdk/cli/terminal/output.ts'
import { type Invariant, invariants, type Trend, type Violation } from './record.ts'
import type { Progress, Report } from './run.ts'

const PROGRESS_SECONDS = { terminal: 10, otherwise: 60 } as const

/** Prints a line of progress from time to time: often on a terminal, seldom into a file. */
export function progressReporter(out: Output): (progress: Progress) => void {
  const every = process.stdout.isTTY === true ? PROGRESS_SECONDS.terminal : PROGRESS_SECONDS.otherwise
  let due = every
  return ({ seconds, faults, operations, requests, violations, rssMB }) => {
    if (seconds < due) return
    due = seconds + every
    const memory = Object.entries(rssMB).map(([role, megabytes]) => `${role} ${megabytes}`)
    out.say(
      `${clock(seconds)}  ${sum(faults)} faults · ${sum(operations)} operations · ${requests.toLocaleString('en')} requests · ${violations} violations · MB: ${memory.join(', ')}`,
    )
  }
}

const clock = (seconds: number): string => `${String(Math.floor(seconds / 60)).padStart(3)}:${String(seconds % 60).padStart(2, '0')}`
const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((total, count) => total + count, 0)

export function print(out: Output, { seconds, faults, operations, verdict, kept }: Report): void {
  const colors = colorsFor(process.stdout)
  out.say(`\n${clock(seconds).trim()} minutes`)
  const [left, right] = [Object.entries(faults), Object.entries(operations)]
  const rows = Array.from({ length: Math.max(left.length, right.length) }, (_, row) => [
    ...(left[row] ?? ['', '']),
    ...(right[row] ?? ['', '']),
  ])
  out.table(
    ['fault', 'times', 'operation', 'times'],
    rows.map(row => row.map(String)),
  )
  out.say('')
  const requests = Object.entries(verdict.requests).sort(([a], [b]) => (a < b ? -1 : 1))
  out.table(
    ['requests', 'outcomes'],
    requests.map(([name, outcomes]) => [name, describeOutcomes(outcomes)]),
  )
  out.say(`\nCells that ended: ${describeOutcomes(verdict.ends)}\n`)
  const checked = Object.entries(verdict.checked) as [Invariant, { checks: number; violations: number }][]
  out.table(
    ['invariant', 'checks', 'violations', ''],
    checked.map(([name, { checks, violations }]) => {
      const count = violations > 0 ? colors.red(String(violations)) : String(violations)
      return [name, checks.toLocaleString('en'), checks === 0 ? '–' : count, invariants[name]]
    }),
  )
  out.say('')
  printTrends(out, verdict.trends)
  for (const violation of verdict.violations) out.say(describeViolation(violation))
  if (kept !== undefined) out.say(`\nThe data and the log of the base are in ${kept}`)
}

function printTrends(out: Output, trends: readonly Trend[]): void {
  if (trends.length === 0) {
    out.say('Memory: not said; no process was left alone for a minute in the second half of the run.')
    return
  }
  const bounded = ({ perHour, bound }: { perHour: number; bound: number }) => `${perHour.toFixed(1)} (≤ ${bound.toFixed(0)})`
  out.table(
    ['process', 'minutes', 'MB', 'MB/hour', 'handles/hour', 'threads/hour'],
    trends.map(({ role, minutes, rssMB, growth }) => [
      ...[role, minutes.toFixed(1), rssMB.toFixed(0)],
      ...[growth.memory, growth.handles, growth.threads].map(bounded),
    ]),
  )
}

const describeOutcomes = (outcomes: Readonly<Record<string, number>>): string =>
  Object.entries(outcomes)
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, count]) => `${outcome} ${count.toLocaleString('en')}`)
    .join(', ')

const describeViolation = ({ invariant, at, what, during }: Violation): string =>
  `\n${colorsFor(process.stdout).red(invariant)} at ${(at / 1000).toFixed(1)} s: ${what}\n  meanwhile: ${during.join(', ') || 'nothing'}`
