/**
 * `npm run test:validation`: counts in seeded trials how often validation finds what it has to, and how often it raises an alarm over nothing. Modules and
 * their noise are simulated; passes, comparison and judgement are those of a base.
 */
import type { Fault, Report } from '../../base/capsule/report.ts'
import { validate } from '../../base/keeper/driver/validation.ts'
import { renderColumns } from '../../base/kernel/columns.ts'
import { type Validation, validationDefaults } from '../../base/traffic/schema.ts'
import { readFlags } from '../bench/flags.ts'
import { between, seeded } from '../soak/schedule.ts'
import { faulty, type Refactor, refactors, wrongs } from './candidates.ts'
import { SimulatedAnswering } from './simulated.ts'

const strict: Validation = { ...validationDefaults, mode: 'strict' }
const scene = 'simulated'
const CAPSULES = 450

const contender = (version: string) => ({
  plan: { key: version, scene, version, memoryMB: 128, lock: [] },
  ...{ sceneParams: {}, versionParams: {}, cpuMs: 250 },
})

/** One validation of a change, by capsules that the seed chooses. */
export function tryChange({ before, after }: Refactor, seed: number): Promise<Report> {
  const random = seeded(seed, 'capsules')
  const capsules = Array.from({ length: CAPSULES }, () => ({ id: String(between(random, 0, 1_000_000)), inexact: [] }))
  const parts = { capsules: { newest: () => capsules }, answering: new SimulatedAnswering({ v1: before, v2: after }, seed) }
  const trial = { scene, what: 'version', baseline: contender('v1'), candidate: contender('v2'), capsulesOf: ['v1'] } as const
  return validate(trial, strict, parts)
}

/** How many of the trials have ended as they should. */
export interface Tally {
  readonly name: string
  readonly good: number
  readonly of: number
  /** What the others said. */
  readonly bad: readonly string[]
}

/** The seeds of some trials, one after the other. */
interface Seeds {
  readonly from: number
  readonly trials: number
}

async function tally(name: string, change: Refactor, { from, trials }: Seeds, isGood: (report: Report) => boolean): Promise<Tally> {
  const bad: string[] = []
  for (let seed = from; seed < from + trials; seed++) {
    const report = await tryChange(change, seed)
    if (!isGood(report)) bad.push(`seed ${seed}: ${report.verdict} ${report.reasons.map(({ message }) => message).join('; ')}`)
  }
  return { name, good: trials - bad.length, of: trials, bad }
}

const firstFault = ({ reasons: [first] }: Report): Fault | undefined => first?.fault

export interface Tallies {
  readonly harmless: readonly Tally[]
  readonly wrong: readonly Tally[]
  readonly faulty: readonly Tally[]
}

/** Tries every change with all of the seeds. */
export async function tryAll(seeds: Seeds): Promise<Tallies> {
  const tallies = { harmless: [] as Tally[], wrong: [] as Tally[], faulty: [] as Tally[] }
  for (const [name, change] of Object.entries(refactors)) {
    tallies.harmless.push(await tally(name, change, seeds, ({ verdict }) => verdict === 'passed'))
  }
  for (const [name, change] of Object.entries(wrongs)) {
    tallies.wrong.push(await tally(name, change, seeds, report => firstFault(report) === 'differences'))
  }
  for (const [name, change] of Object.entries(faulty)) {
    tallies.faulty.push(await tally(name, change, seeds, report => firstFault(report) === change.fault))
  }
  return tallies
}

async function main(): Promise<void> {
  const seeds = readFlags({
    trials: { value: 100, about: 'trials of each change, each with a seed of its own' },
    from: { value: 1, about: 'the first seed' },
  })
  const tallies = await tryAll(seeds)
  const titles = { harmless: 'no alarm', wrong: 'found', faulty: 'refused for the right reason' } as const
  for (const group of ['harmless', 'wrong', 'faulty'] as const) {
    const rows = tallies[group].map(({ name, good, of, bad }) => [name, `${good} of ${of}`, bad[0] ?? ''])
    process.stdout.write(`${renderColumns([group, titles[group], 'first of the others'], rows)}\n\n`)
  }
  const isMet =
    tallies.harmless.every(({ good, of }) => good === of) &&
    tallies.wrong.every(({ good, of }) => good >= 0.95 * of) &&
    tallies.faulty.every(({ good, of }) => good === of)
  process.exitCode = isMet ? 0 : 1
}

if (import.meta.main) await main()
