/**
 * `npm run test:hostile`: runs every hostile module on a real base, each with one fault, and prints what its caller saw, what its neighbours saw and
 * what became of its cell. A row that is not as promised fails the run; one that is not as it was saved is printed.
 */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { createOutput } from '../../sdk/cli/terminal/output.ts'
import type { NamedCase } from './case.ts'
import { cases, families } from './cases.ts'
import type { Saved } from './judge.ts'
import { printSummary, printTable, printWorst } from './print.ts'
import { makeTable } from './table.ts'
import { runWorst, worst } from './worst.ts'

interface Flags {
  readonly only: readonly string[]
  readonly family: readonly string[]
  readonly json?: boolean
  readonly save?: boolean
  readonly worst?: number
}

const collect = (value: string, all: readonly string[]): string[] => [...all, value]

const program = new Command('test:hostile')
  .description('Runs hostile modules on a real base, and checks what they cost whom. Linux only.')
  .option('--only <text>', 'cases whose name holds this text; may be repeated', collect, [])
  .option('--family <name>', `one of ${families.map(({ name }) => name).join(', ')}; may be repeated`, collect, [])
  .option('--worst <seconds>', 'instead: keep five of the worst running for so long, and measure a neighbour', secondsFrom)
  .option('--save', 'keep what was seen as what is expected of the next run')
  .option('--json', 'print one JSON document on standard output, and nothing else')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(run)

await program.parseAsync()

function secondsFrom(text: string): number {
  const seconds = Number(text)
  if (seconds >= 1) return seconds
  throw new InvalidArgumentError('It has to be a number from 1 on.')
}

async function run({ only, family, json = false, save = false, worst: seconds }: Flags): Promise<void> {
  const out = createOutput(json)
  const chosen = seconds === undefined ? chosenOf(only, family) : cases.filter(({ name }) => worst.includes(name))
  const { version } = createRequire(import.meta.url)('isolated-vm/package.json') as { readonly version: string }
  const versions = { node: process.version, v8: process.versions.v8, isolatedVm: version }
  out.say(`${chosen.length} cases; Node ${versions.node}, V8 ${versions.v8}, isolated-vm ${version}`)
  if (seconds !== undefined) {
    const report = await runWorst(chosen, seconds)
    printWorst(out, report)
    out.result({ versions, ...report })
    if (report.faults.length > 0) process.exitCode = 1
    return
  }
  const path = join(import.meta.dirname, 'results.json')
  const saved = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Saved>
  const rows = await makeTable(Map.groupBy(chosen, each => each.family).values(), {
    isTimed: true,
    saved,
    onRow: ({ name, faults }) => out.next(`${faults.length === 0 ? '✔' : '✖'} ${name}${faults.map(fault => `\n    ${fault}`).join('')}`),
  })
  printTable(out, rows)
  printSummary(out, rows)
  out.result({ versions, rows })
  if (save) await writeFile(path, resultsOf({ ...saved, ...Object.fromEntries(rows.map(row => [row.name, row.saved])) }))
  if (rows.some(({ faults }) => faults.length > 0)) process.exitCode = 1
}

function chosenOf(only: readonly string[], family: readonly string[]): readonly NamedCase[] {
  const isChosen = (each: NamedCase) =>
    (only.length === 0 || only.some(text => each.name.includes(text))) && (family.length === 0 || family.includes(each.family))
  const chosen = cases.filter(isChosen)
  if (chosen.length > 0) return chosen
  process.stderr.write(`No case is meant by that. The families are ${families.map(({ name }) => name).join(', ')}\n`)
  process.exit(2)
}

/** The outcomes of the cases there are, one a line, in their order. */
function resultsOf(saved: Readonly<Record<string, Saved | undefined>>): string {
  const lines = cases.flatMap(({ name }) =>
    saved[name] === undefined ? [] : [`  ${JSON.stringify(name)}: ${JSON.stringify(saved[name])}`],
  )
  return `{\n${lines.join(',\n')}\n}\n`
}
