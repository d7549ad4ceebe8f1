/**
 * `npm run bench:rules`: measures what rules cost a request. One base with one cell has two scenes that rank 50 candidates: one with only a baseline,
 * and one with a whitelist, code experiments, a cutover and layers of parameters. The runs of both are interleaved; medians are printed at the end.
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import type { Client } from '../../sdk/api/client.ts'
import { launchBase } from '../../test/support/base.ts'
import { closedLoop, type Run } from './load.ts'
import { median } from './median.ts'
import { makeRanking, pidsOf, publishModule } from './peers.ts'
import { sampleInput } from './rank50/index.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
    whitelist: { type: 'string', default: '100000' },
  },
})
const [seconds, rounds, connections, listed] = [values.seconds, values.rounds, values.connections, values.whitelist].map(Number) as [
  number,
  number,
  number,
  number,
]
const EXPERIMENTS = 20
const LAYERS = 5
const CUTOVER = 1000
/** Unit ids, one in a hundred of them on the whitelist. */
const units = Array.from({ length: 1000 }, (_, i) => (i % 100 === 0 ? `listed-${i}` : `user-${i * 7919}`))

const halves = (arms: readonly [object, object]) => arms.map((arm, i) => ({ name: i === 0 ? 'control' : 'treatment', share: 5000, ...arm }))

/** Adds all kinds of rules: a unit meets the whitelist, a code experiment with two arms, the cutover if no arm takes it, and every layer. */
async function addRules(client: Client, scene: string): Promise<void> {
  await client.createVersion(scene, { as: 'cutover', share: CUTOVER })
  await client.setWhitelist(scene, Array.from({ length: listed }, (_, i) => `listed-${i},v2`).join('\n'), {})
  for (let i = 0; i < EXPERIMENTS; i++) {
    const arms = halves([{ version: 'v1' }, { version: 'v2' }])
    const where = [{ attribute: 'app', op: 'gte', value: '8.2.0' } as const]
    // Half of the units are in the segments of an experiment. Whether they fulfil its condition depends on what the caller sends.
    await client.createExperiment(scene, { id: `exp-${i}`, segments: 5000 / EXPERIMENTS, arms, ...(i % 2 === 0 ? {} : { where }) })
    await client.startExperiment(scene, `exp-${i}`, {})
  }
  for (let i = 0; i < LAYERS; i++) {
    const layer = `layer-${i}`
    await client.createLayer(scene, { id: layer, keys: [`key${i}`] })
    const arms = halves([{ values: { [`key${i}`]: 0 } }, { values: { [`key${i}`]: 1 } }])
    await client.createExperiment(scene, { id: `param-${i}`, layer, arms })
    await client.startExperiment(scene, `param-${i}`, {})
  }
}

const columns = ['requestsPerSecond', 'p50Ms', 'p99Ms', 'cpuPerRequestUs'] as const
const base = await launchBase({ cells: 1 })
try {
  const { client } = base
  await publishModule(client, 'rank50')
  await makeRanking(client, { id: 'bare' })
  await makeRanking(client, { id: 'ruled', attributes: { app: { header: 'x-app', type: 'semver' } } })
  await addRules(client, 'ruled')
  const scenes = ['bare', 'ruled'].map(name => ({ name, url: `${base.url}/scenes/${name}`, pids: () => pidsOf(base) }))
  console.log(
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}; one cell, ${connections} connections, 1,000 unit ids in turn`,
  )
  console.log('bare: one version, the baseline, for everyone')
  console.log(
    `ruled: two versions of the same code; a whitelist of ${listed} unit ids; ${EXPERIMENTS} code experiments of two arms on half of the units, every other one targeted; a cutover of ${CUTOVER / 100}%; ${LAYERS} layers with an experiment of two arms each`,
  )
  const body = JSON.stringify(sampleInput())
  const runs = new Map<string, Run[]>(scenes.map(({ name }) => [name, []]))
  for (const scene of scenes) await closedLoop(scene, body, connections, Math.min(2, seconds), units)
  for (let round = 0; round < rounds; round++) {
    for (const scene of round % 2 === 0 ? scenes : scenes.toReversed()) {
      runs.get(scene.name)?.push(await closedLoop(scene, body, connections, seconds, units))
    }
  }
  const table = new Table({
    style: { head: [], border: [] },
    head: ['scene', 'round', 'req/s', 'p50 ms', 'p99 ms', 'CPU µs/req', 'failed'],
  })
  const shown = (figures: Pick<Run, (typeof columns)[number]>) => columns.map(column => figures[column].toFixed(1))
  const medianOf = (name: string, column: (typeof columns)[number]) => median((runs.get(name) ?? []).map(run => run[column]))
  for (const [name, all] of runs) for (const [i, run] of all.entries()) table.push([name, i + 1, ...shown(run), run.failed])
  for (const { name } of scenes) table.push([name, 'median', ...columns.map(column => medianOf(name, column).toFixed(1)), ''])
  console.log(table.toString())
  const ratio = (column: (typeof columns)[number]) => (medianOf('ruled', column) / medianOf('bare', column)).toFixed(2)
  console.log(`With all rules in use / bare: throughput ${ratio('requestsPerSecond')}, CPU per request ${ratio('cpuPerRequestUs')}`)
} finally {
  await base.kill()
}
