/** Prints what upgrades were like, for people. */
import { renderColumns } from '../../base/kernel/columns.ts'
import type { EdgeResult } from './edges.ts'
import type { Summary } from './load.ts'
import type { Round } from './rounds.ts'
import type { Command } from './running.ts'

/** A load that is so much later than its schedule does not say what the base does. */
const LAG_MS_MAX = 50

export function printRound(no: number, { from, to, command, steps, before, during, examples }: Round): void {
  const verdict = command.code === 0 ? `${Math.round(command.ms)} ms` : `FAILED with ${command.code}`
  console.log(`\nupgrade ${no}, ${from} → ${to}: ${verdict}`)
  if (steps.length > 0) console.log(`  ${steps.map(({ name, ms }) => `${name} ${ms} ms`).join(' · ')}`)
  if (command.code !== 0) console.log(command.output.replaceAll(/^/gm, '  '))
  console.log(renderColumns(columns, [row('before', before), row('during', during)]).replaceAll(/^/gm, '  '))
  for (const example of examples) console.log(`  ${example}`)
}

const columns = ['', 'requests', 'answered by', 'failed', 'sent again', 'p50 ms', 'p99 ms', 'max ms', 'load late p99', 'max']

function row(name: string, summary: Summary): string[] {
  const { requests, failures, by, sentAgain } = summary
  const kinds = Object.entries(failures).map(([kind, count]) => `${count} ${kind}`)
  const answered = Object.entries(by).map(([release, count]) => `${release} ${count}`)
  const times = [summary.p50Ms, summary.p99Ms, summary.maxMs, summary.lagP99Ms, summary.lagMaxMs].map(ms => ms.toFixed(1))
  return [name, String(requests), answered.join(', '), kinds.join(', ') || '0', String(sentAgain), ...times]
}

/** @returns whether every upgrade was made, and no request failed */
export function printTotal(rounds: readonly Round[], rate: number): boolean {
  const summaries = rounds.flatMap(({ before, during }) => [before, during])
  const sum = (of: (summary: Summary) => number) => summaries.reduce((total, summary) => total + of(summary), 0)
  const vain = rounds.filter(({ command }) => command.code !== 0).length
  const failed = sum(summary => summary.failed)
  console.log(`\n${rounds.length} upgrades, ${vain} failed; ${sum(({ requests }) => requests)} requests, ${failed} failed.`)
  console.log(
    `${sum(({ sentAgain }) => sentAgain)} were sent again, because the base closed a kept connection at that moment: a client that may not send twice would have failed.`,
  )
  const late = Math.max(...summaries.map(({ lagP99Ms }) => lagP99Ms))
  if (late > LAG_MS_MAX)
    console.log(
      `The load was up to ${late.toFixed(0)} ms late at p99: this machine cannot send ${rate} requests a second beside the base. Try a lower --rate.`,
    )
  return vain === 0 && failed === 0
}

/** @returns whether the upgrade was made, and every promise was kept */
export function printEdges(command: Command, results: readonly EdgeResult[]): boolean {
  if (command.code !== 0) console.log(`  ✖ the upgrade ended with ${command.code}:\n${command.output.replaceAll(/^/gm, '      ')}`)
  for (const { name, seen, failure } of results) printResult(name, seen, failure)
  return command.code === 0 && results.every(({ failure }) => failure === undefined)
}

export function printResult(name: string, seen: string | undefined, failure: string | undefined): void {
  console.log(failure === undefined ? `  ✔ ${name}: ${seen}` : `  ✖ ${name}\n${failure.replaceAll(/^/gm, '      ')}`)
}
