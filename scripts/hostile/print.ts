/** Prints the table for people. */
import { colorsFor } from '../../sdk/cli/terminal/colors.ts'
import type { Output } from '../../sdk/cli/terminal/output.ts'
import type { Neighbour } from './run.ts'
import type { Row } from './table.ts'
import type { Spread, WorstReport } from './worst.ts'

const head = ['case', 'caller saw', 'late', 'same cell', 'other cell', 'back', 'cell', 'MB', 'CPU s', '']

/** One line of the table while it is made. */
export function describeRow({ name, seen, faults }: Row): string[] {
  if (seen === undefined) return [name, ...Array.from({ length: head.length - 2 }, () => ''), mark(faults)]
  const { codes, lateMs, same, other, gapMs, cellsLost, memoryMB, cpuSeconds } = seen
  const counts = Object.entries(codes).map(([code, count]) => (count === 1 ? code : `${code} ×${count}`))
  return [
    ...[name, counts.join(', '), signed(lateMs), describe(same), describe(other), gapMs === undefined ? '–' : ms(gapMs)],
    cellsLost === 0 ? 'kept' : cellsLost === 1 ? 'replaced' : `${cellsLost} replaced`,
    `${Math.round(memoryMB.before)} → ${Math.round(memoryMB.peak)} → ${Math.round(memoryMB.after)}`,
    cpuSeconds.toFixed(1),
    mark(faults),
  ]
}

const ms = (value: number): string => `${Math.round(value)}`
const signed = (value: number | undefined): string => (value === undefined ? '–' : value > 0 ? `+${ms(value)}` : ms(value))
const describe = ({ answered, failures, worstMs }: Neighbour): string => `${answered}/${answered + failures.length} ≤${ms(worstMs)}`
const mark = (faults: readonly string[]): string => {
  const colors = colorsFor(process.stdout)
  return faults.length === 0 ? colors.green('✔') : colors.red('✖')
}

export function printTable(out: Output, rows: readonly Row[]): void {
  for (const [family, members] of Map.groupBy(rows, row => row.family)) {
    out.say(`\n${family}`)
    out.table(head, members.map(describeRow))
  }
}

export function printSummary(out: Output, rows: readonly Row[]): void {
  const colors = colorsFor(process.stdout)
  const wrong = rows.filter(({ faults }) => faults.length > 0)
  const changed = rows.filter(({ change }) => change !== undefined)
  const seen = rows.flatMap(row => row.seen ?? [])
  const sums = seen.flatMap(({ same, other }) => [same, other])
  const failed = sums.reduce((sum, { failures }) => sum + failures.length, 0)
  const asked = sums.reduce((sum, { answered }) => sum + answered, failed)
  out.say(`\n${rows.length} cases, ${wrong.length} not as promised, ${changed.length} changed since they were saved.`)
  out.say(
    `Neighbours: ${asked.toLocaleString('en')} requests, ${failed} failed. Cells replaced: ${seen.reduce((sum, { cellsLost }) => sum + cellsLost, 0)}.`,
  )
  for (const { name, change } of changed) out.say(`  ${colors.yellow('changed')} ${name}: ${change}`)
  for (const { name, faults } of wrong) for (const fault of faults) out.say(`  ${colors.red('✖')} ${name}: ${fault}`)
}

export function printWorst(out: Output, { quiet, all, apart, cellsLost, callers, faults }: WorstReport): void {
  const row = (name: string, { requests, failures, p50Ms, p99Ms }: Spread) => [
    ...[name, requests.toLocaleString('en'), `${((1 - failures.length / requests) * 100).toFixed(3)} %`],
    ...[p50Ms, p99Ms].map(value => value.toFixed(1)),
  ]
  out.table(
    ['neighbour', 'requests', 'success', 'p50 ms', 'p99 ms'],
    [row('quiet', quiet), row('with the worst', all), row('of that, in cells that live on', apart)],
  )
  out.say(`\nCells replaced: ${cellsLost}. Callers saw:`)
  out.table(
    [],
    Object.entries(callers).map(([name, codes]) => [
      name,
      Object.entries(codes)
        .map(([code, count]) => `${code} ×${count}`)
        .join(', '),
    ]),
  )
  for (const fault of faults) out.say(`  ${colorsFor(process.stdout).red('✖')} ${fault}`)
}
