/**
 * `npm run bench`: compares a base with one cell to its peers, all of which rank candidates from JSON bodies on keep-alive connections. The load comes
 * from a process of its own; what is measured and the load are pinned to a processor each, and not pinned. Rounds are interleaved, and medians count.
 * There are 5 rounds of 3 seconds, with `--quick` 3 of a second, pinned only.
 */
import { writeFileSync } from 'node:fs'
import { renderColumns } from '../../base/kernel/columns.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { cloneIn, describeMachine, endOnSignals, endWith, namesIn, readFlags } from './flags.ts'
import { defaultGenerator, generators, isInstalled } from './generator.ts'
import { type Comparison, medianOf, printComparison, printThreads, type Report, Rig, showRatio, type Way } from './rig.ts'
import { bodyOf, Peers, peerNames, type Scenario, type ScenarioName, scenarios } from './scenarios.ts'
import { boundOf, verdictsOn } from './targets.ts'

const flags = readFlags({
  only: { value: Object.keys(scenarios).join(), about: 'scenarios, with commas between them' },
  peers: { value: peerNames.join(), about: 'peers, with commas between them' },
  ways: { value: 'pinned,free', about: 'pinned, free, or both' },
  seconds: { value: 0, about: 'seconds of each run (3, with --quick 1)' },
  rounds: { value: 0, about: 'rounds, in each of which every subject is measured once (5, with --quick 3)' },
  quick: { value: false, about: 'few short rounds, not pinned only where nothing can be pinned' },
  connections: { value: 0, about: 'connections, for scenarios of which these are not the point' },
  candidates: { value: 0, about: 'candidates of a body, for scenarios of which these are not the point' },
  scenes: { value: 50, about: 'scenes that are not loaded, of which each is asked once' },
  generator: { value: defaultGenerator(), about: `what sends the load of closed loops: ${generators.join(' or ')}` },
  threads: { value: false, about: 'print what each thread costs a request' },
  against: { value: [], about: 'the folder of another checkout of this project, to compare with; may be given several times' },
  json: { value: '', about: 'a file to write everything to that was measured, for "npm run bench:picture"' },
})

const [generator = 'autocannon'] = namesIn('generator', flags.generator, generators)
if (!isInstalled(generator)) endWith(`--generator: ${generator} is not installed here`)
const chosenPeers = namesIn('peers', flags.peers, peerNames)
const names = namesIn('only', flags.only, Object.keys(scenarios) as ScenarioName[])
const measurable = names.filter(name => scenarios[name].subjects.some(([peer]) => chosenPeers.includes(peer)))
if (measurable.length === 0) endWith(`There is nothing to measure: ${names.join(', ')} has no ${chosenPeers.join(', ')}`)
const chosenWays = namesIn('ways', flags.ways, ['pinned', 'free'] as const)
const against = flags.against.map(folder => cloneIn('against', folder))
endOnSignals()
const rig = new Rig(generator)
const ways = flags.quick && rig.pair ? (['pinned'] as const) : chosenWays
const [seconds, rounds] = [flags.seconds || (flags.quick ? 1 : 3), flags.rounds || (flags.quick ? 3 : 5)]
const peers = new Peers(against, { rareScenes: flags.scenes }, ({ name, setUp }) => console.log(`${name}: ${setUp}`))
const comparisons: Comparison[] = []

function waysOf(scenario: Scenario): readonly Way[] {
  const possible: readonly Way[] = rig.pair === undefined ? ['free'] : scenario.ways
  const chosen = possible.filter(way => (ways as readonly Way[]).includes(way))
  return chosen.length > 0 ? chosen : possible.slice(0, 1)
}

async function measure(name: ScenarioName, scenario: Scenario, way: Way): Promise<Comparison> {
  const body = bodyOf(flags.candidates || scenario.candidates)
  const subjects = await peers.subjectsOf(scenario, chosenPeers)
  const of = (load: string) => {
    const bodies = `bodies of ${(body.length / 1000).toFixed(1)} KB`
    const { title } = scenario
    return { scenario: name, title, load: title === load ? bodies : `${load}, ${bodies}`, way, rounds, seconds, subjects }
  }
  if (scenario.load === 'one by one') {
    const count = flags.scenes
    return rig.oneByOne(of(`${count} scenes`), { body, count, pauseMs: 30 })
  }
  if (scenario.load === 'half of the most') {
    const perSecond = await halfOfFastify(way)
    return rig.open(of(`${perSecond} requests a second`), { body, perSecond })
  }
  const connections = flags.connections || scenario.load.connections
  return rig.closed(of(`${connections} connections`), { body, connections })
}

/** Half of the rate that Fastify reaches in a closed loop, as measured before or, if it was not, now. */
async function halfOfFastify(way: Way): Promise<number> {
  const name = 'connections-32'
  const before = comparisons.find(
    ({ scenario, way: other, results }) => scenario === name && way === other && results[0]?.subject === 'Fastify',
  )
  const comparison = before ?? (await measure(name, { ...scenarios[name], subjects: [['fastify']] }, way))
  const [fastify] = comparison.results
  return Math.round((fastify === undefined ? Number.NaN : medianOf(fastify, 'requestsPerSecond')) / 2)
}

function printVerdicts(): void {
  const rows = verdictsOn(comparisons).map(({ target, ratio, holds, isDoubtful }) => [
    target.what,
    boundOf(target),
    showRatio(ratio),
    `${holds ? 'held' : 'NOT HELD'}${isDoubtful ? ', if the warning above is nothing' : ''}`,
  ])
  if (rows.length > 0) console.log(`\n${renderColumns(['must hold', 'target', 'measured', ''], rows)}`)
}

try {
  const machine = describeMachine()
  const where = rig.pair
    ? `measured on processor ${rig.pair.measured}, load from ${rig.pair.generator} when pinned`
    : 'nothing can be pinned here'
  console.log(`${machine}; load by ${rig.generator.name}; ${where}; ${rounds} rounds of ${seconds} s`)
  for (const name of measurable) {
    for (const way of waysOf(scenarios[name])) {
      const comparison = await measure(name, scenarios[name], way)
      comparisons.push(comparison)
      printComparison(comparison)
      if (flags.threads) printThreads(comparison)
    }
  }
  printVerdicts()
  const report: Report = { machine, generator: rig.generator.name, seconds, comparisons }
  if (flags.json !== '') writeFileSync(flags.json, `${JSON.stringify(report, undefined, 2)}\n`)
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
} finally {
  await Promise.all([peers.stop(), rig.stop()])
}
