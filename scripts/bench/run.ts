/**
 * `npm run bench`: compares a base with one cell to its peers, all of which rank candidates from JSON bodies on keep-alive connections. The load comes
 * from a process of its own; what is measured and the load are pinned to a processor each, and not pinned. Rounds are interleaved, and medians count.
 */
import { writeFileSync } from 'node:fs'
import { renderColumns } from '../../base/kernel/columns.ts'
import { describeMachine, namesIn, readFlags } from './flags.ts'
import { defaultGenerator, generators } from './generator.ts'
import { type Comparison, medianOf, printComparison, Rig, showRatio, type Way } from './rig.ts'
import { bodyOf, Peers, type Scenario, type ScenarioName, scenarios } from './scenarios.ts'
import { judge, targets } from './targets.ts'

const flags = readFlags({
  /** Names of scenarios, with commas between them. */
  only: Object.keys(scenarios).join(),
  ways: 'pinned,free',
  seconds: 0,
  rounds: 0,
  /** Few short rounds, not pinned only where nothing can be pinned. */
  quick: false,
  /** Connections and candidates of a body, for scenarios of which these are not the point. */
  connections: 0,
  candidates: 0,
  generator: defaultGenerator(),
  /** Folders of other checkouts of this project, to compare with. */
  against: [],
  /** A file to write everything to that was measured. */
  json: '',
})

const [generator] = namesIn('generator', flags.generator, generators)
const rig = new Rig(generator ?? 'autocannon')
const names = namesIn('only', flags.only, Object.keys(scenarios) as ScenarioName[])
const ways = namesIn('ways', flags.quick && rig.pair ? 'pinned' : flags.ways, ['pinned', 'free'] as const)
const [seconds, rounds] = [flags.seconds || (flags.quick ? 1 : 3), flags.rounds || (flags.quick ? 3 : 5)]
const peers = new Peers(flags.against, ({ name, setUp }) => console.log(`${name}: ${setUp}`))
const comparisons: Comparison[] = []

function waysOf(scenario: Scenario): readonly Way[] {
  const possible: readonly Way[] = rig.pair === undefined ? ['free'] : scenario.ways
  const chosen = possible.filter(way => ways.includes(way))
  return chosen.length > 0 ? chosen : possible.slice(0, 1)
}

async function measure(name: ScenarioName, scenario: Scenario, way: Way): Promise<Comparison> {
  const connections = scenario.connections && (flags.connections || scenario.connections)
  const body = bodyOf(flags.candidates || scenario.candidates)
  const load = connections === undefined ? await halfOfFastify(way) : { connections }
  const shown = 'connections' in load ? `${load.connections} connections` : `${load.perSecond} requests a second`
  const title = `${scenario.title}, bodies of ${(body.length / 1000).toFixed(1)} KB, ${shown}`
  const plan = { scenario: name, title, way, rounds, seconds, subjects: await peers.subjectsOf(scenario) }
  return 'connections' in load ? rig.closed(plan, { body, ...load }) : rig.open(plan, { body, ...load })
}

/** Half of the rate that Fastify reaches in a closed loop, as measured before or, if it was not, now. */
async function halfOfFastify(way: Way): Promise<{ readonly perSecond: number }> {
  const name = 'connections-32'
  const before = comparisons.find(({ scenario, way: other }) => scenario === name && way === other)
  const comparison = before ?? (await measure(name, { ...scenarios[name], subjects: [['fastify']] }, way))
  const [fastify] = comparison.results
  return { perSecond: Math.round((fastify === undefined ? Number.NaN : medianOf(fastify, 'requestsPerSecond')) / 2) }
}

function printVerdicts(): void {
  const verdicts = targets.flatMap(target => judge(target, comparisons) ?? [])
  const rows = verdicts.map(({ target: { what, atLeast, atMost }, ratio, holds }) => [
    what,
    atLeast === undefined ? `at most ${atMost}x` : `at least ${atLeast}x`,
    showRatio(ratio),
    holds ? 'held' : 'NOT HELD',
  ])
  if (rows.length > 0) console.log(`\n${renderColumns(['must hold', 'target', 'measured', ''], rows)}`)
}

try {
  const machine = describeMachine()
  const where = rig.pair
    ? `measured on processor ${rig.pair.measured}, load from ${rig.pair.generator} when pinned`
    : 'nothing can be pinned here'
  console.log(`${machine}; load by ${rig.generator.name}; ${where}; ${rounds} rounds of ${seconds} s`)
  for (const name of names) {
    for (const way of waysOf(scenarios[name])) {
      const comparison = await measure(name, scenarios[name], way)
      comparisons.push(comparison)
      printComparison(comparison)
    }
  }
  printVerdicts()
  if (flags.json !== '') writeFileSync(flags.json, `${JSON.stringify({ machine, generator, seconds, comparisons }, undefined, 2)}\n`)
} finally {
  await Promise.all([peers.stop(), rig.stop()])
}
