/**
 * `npm run bench`: compares a base with one cell to its peers, all of which rank candidates from JSON bodies on keep-alive connections. The load comes
 * from a process of its own; what is measured and the load are pinned to a processor each, and not pinned. Rounds are interleaved, and medians count.
 * There are 5 rounds of 3 seconds, with `--quick` 3 of a second, pinned only.
 */
import { writeFileSync } from 'node:fs'
import { renderColumns } from '../../base/kernel/columns.ts'
import { messageOf } from '../../base/kernel/errors.ts'
import { type Comparison, medianOf, printComparison, printThreads, type Report, type Way } from './comparison.ts'
import { checkSeconds, cloneIn, describeMachine, endOnSignals, endWith, namesIn, readFlags } from './flags.ts'
import { defaultGenerator, generators, isInstalled } from './generator.ts'
import { Rig } from './rig.ts'
import { RunningPeers } from './running-peers.ts'
import { bodyOf, CANDIDATES, type PeerName, peerNames, type Scenario, type ScenarioName, scenarios } from './scenarios.ts'
import { boundOf, showMeasured, unjudged, verdictsOn } from './targets.ts'

const flags = readFlags({
  only: { value: Object.keys(scenarios).join(), about: 'scenarios, with commas between them' },
  peers: { value: peerNames.join(), about: 'peers, with commas between them' },
  ways: { value: '', about: 'pinned, free, or both with a comma between them (both, with --quick pinned)' },
  seconds: { value: 0, about: 'seconds of each run (3, with --quick 1)' },
  rounds: { value: 0, about: 'rounds, in each of which every subject is measured once (5, with --quick 3)' },
  quick: { value: false, about: 'few short rounds, not pinned only where nothing can be pinned' },
  connections: { value: 0, about: 'connections of every scenario, in the place of its own: then its targets are not judged' },
  candidates: { value: 0, about: 'candidates of a body in every scenario, in the place of its own: then its targets are not judged' },
  scenes: { value: 50, about: 'scenes that are not loaded, of which each is asked once' },
  generator: { value: defaultGenerator(), about: `what sends the load of closed loops: ${generators.join(' or ')}` },
  threads: { value: false, about: 'print what each thread costs a request' },
  against: { value: [], about: 'the folder of another checkout of this project, to compare with; may be given several times' },
  'fastify-flags': {
    value: '',
    about: 'flags of Node.js, with spaces between them, of another Fastify to compare with: --fastify-flags=--FLAG',
  },
  json: { value: '', about: 'a file to write everything to that was measured, for "npm run bench:picture"' },
})

const bothWays = ['pinned', 'free'] as const
const [generator = 'autocannon'] = namesIn('generator', flags.generator, generators)
if (!isInstalled(generator)) endWith(`--generator: ${generator} is not installed here`)
const chosenPeers = namesIn('peers', flags.peers, peerNames)
const names = namesIn('only', flags.only, Object.keys(scenarios) as ScenarioName[])
const measurable = names.filter(name => scenarios[name].subjects.some(([peer]) => chosenPeers.includes(peer)))
if (measurable.length === 0) endWith(`There is nothing to measure: ${names.join(', ')} has no ${chosenPeers.join(', ')}`)
const usualWays = flags.quick ? (['pinned'] as const) : bothWays
const chosenWays = flags.ways === '' ? usualWays : namesIn('ways', flags.ways, bothWays)
const [seconds, rounds] = [flags.seconds || (flags.quick ? 1 : 3), flags.rounds || (flags.quick ? 3 : 5)]
checkSeconds(generator, seconds)
const against = flags.against.map(folder => cloneIn('against', folder))
const fastifyFlags = flags['fastify-flags'].split(' ').filter(flag => flag !== '')
endOnSignals()
const rig = new Rig(generator)
const peers = new RunningPeers({ against, fastifyFlags, rareScenes: flags.scenes }, ({ name, setUp }) => console.log(`${name}: ${setUp}`))
const comparisons: Comparison[] = []

/** The ways that were asked for, or else one that is possible, and says so. */
function waysOf(name: ScenarioName): readonly Way[] {
  const possible: readonly Way[] = rig.pair === undefined ? ['free'] : scenarios[name].ways
  const chosen = possible.filter(way => chosenWays.some(other => other === way))
  if (chosen.length > 0) return chosen
  const [way] = possible
  console.log(`\n${name} can be measured ${way === 'pinned' ? 'pinned' : 'not pinned'} only`)
  return possible.slice(0, 1)
}

async function measure(name: ScenarioName, scenario: Scenario, way: Way, chosen: readonly PeerName[]): Promise<Comparison> {
  const body = bodyOf(flags.candidates || (scenario.candidates ?? CANDIDATES))
  const subjects = await peers.subjectsOf(scenario, chosen)
  const of = (requests: string) => {
    const load = `${requests}, bodies of ${(body.length / 1000).toFixed(1)} KB`
    return { scenario: name, title: scenario.title, load, hasOwnLoad: hasOwnLoad(scenario), way, rounds, seconds, subjects }
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

const fullLoad = 'connections-32'

/** Whether the command leaves the load of a scenario as it is. That of an open loop depends on the closed one that says how much Fastify answers. */
function hasOwnLoad({ load, candidates = CANDIDATES }: Scenario): boolean {
  const closed = load === 'half of the most' ? scenarios[fullLoad].load : load
  const isLeft = (given: number, own: number) => given === 0 || given === own
  return isLeft(flags.candidates, candidates) && (closed === 'one by one' || isLeft(flags.connections, closed.connections))
}

/** Half of the rate that Fastify reaches in a closed loop, as measured before or, if it was not, now. */
async function halfOfFastify(way: Way): Promise<number> {
  const isIt = ({ scenario, way: other, results }: Comparison) =>
    scenario === fullLoad && way === other && results[0]?.subject === 'Fastify'
  const measureNow = () => measure(fullLoad, { ...scenarios[fullLoad], subjects: [['fastify']] }, way, ['fastify'])
  const { results } = comparisons.find(isIt) ?? (await measureNow())
  const [fastify] = results
  if (fastify === undefined) throw new Error('Fastify was not measured')
  return Math.round(medianOf(fastify, 'requestsPerSecond') / 2)
}

function printVerdicts(): void {
  const judged = verdictsOn(comparisons).map(verdict => {
    const { target, holds, isDoubtful } = verdict
    const outcome = `${holds ? 'held' : 'NOT HELD'}${isDoubtful ? ', if the warning above is nothing' : ''}`
    return [target.what, boundOf(target), showMeasured(verdict), outcome]
  })
  const others = unjudged(comparisons).map(target => [target.what, boundOf(target), '', 'not judged: the load is not that of the target'])
  const rows = [...judged, ...others]
  if (rows.length > 0) console.log(`\n${renderColumns(['must hold', 'target', 'measured', ''], rows)}`)
}

try {
  const machine = describeMachine()
  const where = rig.pair
    ? `measured on processor ${rig.pair.measured}, load from ${rig.pair.generator} when pinned`
    : 'nothing can be pinned here'
  console.log(`${machine}; load by ${rig.generator.name}; ${where}; ${rounds} rounds of ${seconds} s`)
  for (const name of measurable) {
    for (const way of waysOf(name)) {
      const comparison = await measure(name, scenarios[name], way, chosenPeers)
      comparisons.push(comparison)
      printComparison(comparison)
      if (flags.threads) printThreads(comparison)
    }
  }
  printVerdicts()
  const report: Report = { machine, generator: rig.generator.name, seconds, rounds, comparisons }
  if (flags.json !== '') writeFileSync(flags.json, `${JSON.stringify(report, undefined, 2)}\n`)
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
} finally {
  await Promise.all([peers.stop(), rig.stop()])
}
