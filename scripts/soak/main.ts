/**
 * `npm run soak`: runs a base under steady traffic while processes die, hang and are replaced, and while versions are published, flipped and rolled
 * back. Everything that it answers is checked against what it promises. schedule.ts describes what a seed determines.
 */
import { randomInt } from 'node:crypto'
import { Command, InvalidArgumentError } from 'commander'
import { createOutput } from '../../sdk/cli/terminal/output.ts'
import { print, progressReporter } from './print.ts'
import { run } from './run.ts'

interface Flags {
  readonly minutes: number
  readonly seed?: number
  readonly cells: number
  readonly rate: number
  readonly every: number
  readonly json?: boolean
}

const program = new Command('soak')
  .description('Runs a base under traffic, faults and operations, and checks that it keeps its promises. Linux only.')
  .option('--minutes <number>', 'how long; at least until everything has happened once', numberFrom(0), 30)
  .option('--seed <number>', 'of the sequences of faults and operations (default: a random one, which is printed)', integerFrom(0))
  .option('--cells <number>', 'serving processes; two or more, or a killed one leaves nobody to answer', integerFrom(2), 2)
  .option('--rate <number>', 'requests a second', numberFrom(1), 150)
  .option('--every <seconds>', 'quiet between two faults, and between two operations, on average', numberFrom(0), 3)
  .option('--json', 'print one JSON document on standard output, and nothing else')
  .addHelpText(
    'after',
    `
Examples:
  npm run soak                                 half an hour, with a seed of its own
  npm run soak -- --minutes 0.2 --every 0.5    everything once, as the tests do
  npm run soak -- --seed 7 --minutes 480       a night; the n-th operation, and the n-th fault of each half, are as in any run with seed 7
  npm run -s soak -- --json | jq .violations

Exit codes: 0 every promise was kept · 1 one was not · 2 wrong usage`,
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(soak)

await program.parseAsync()

function numberFrom(least: number, what = 'a number', isValid: (value: number) => boolean = Number.isFinite): (text: string) => number {
  return text => {
    const value = Number(text)
    if (text.trim() !== '' && isValid(value) && value >= least) return value
    throw new InvalidArgumentError(`It has to be ${what} from ${least} on.`)
  }
}

function integerFrom(least: number): (text: string) => number {
  return numberFrom(least, 'an integer', Number.isSafeInteger)
}

async function soak({ minutes, seed = randomInt(2 ** 31), cells, rate, every, json = false }: Flags): Promise<void> {
  const out = createOutput(json)
  out.say(`seed ${seed}: ${minutes} minutes, ${cells} cells, ${rate} requests a second; Node ${process.version}`)
  const interruption = new AbortController()
  // A second signal ends this process at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort())
  const report = await run({
    ...{ minutes, seed, cells, rate },
    everyMs: every * 1000,
    interrupted: interruption.signal,
    onProgress: progressReporter(out),
    note: line => out.say(`  ${line}`),
  })
  if (interruption.signal.aborted) out.say('interrupted: this is what there was so far')
  print(out, report)
  const failed = report.verdict.violations.length > 0
  out.result({ seed, minutes, cells, rate, interrupted: interruption.signal.aborted, ...report, ...report.verdict, verdict: undefined })
  if (failed) process.exitCode = 1
}
