/**
 * `npm run bench:schemas`: measures what the schemas of a scene cost a request. One base with one cell has two scenes that rank 50 candidates, one of which
 * says what its requests and answers look like. The runs of both are interleaved; medians are printed at the end.
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { Compile } from 'typebox/schema'
import { launchBase } from '../../test/support/base.ts'
import { closedLoop, type Run } from './load.ts'
import { median } from './median.ts'
import { makeRanking, pidsOf, publishModule } from './peers.ts'
import { sampleInput } from './rank50/index.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
  },
})
const [seconds, rounds, connections] = [values.seconds, values.rounds, values.connections].map(Number) as [number, number, number]

const vector = { type: 'array', minItems: 4, maxItems: 4, items: { type: 'number' } }
const candidate = {
  type: 'object',
  required: ['id', 'price', 'ageDays', 'embedding'],
  properties: {
    id: { type: 'string', minLength: 1, maxLength: 64 },
    price: { type: 'number', minimum: 0 },
    ageDays: { type: 'integer', minimum: 0 },
    embedding: { $ref: '#/$defs/vector' },
  },
}
const request = {
  type: 'object',
  required: ['user', 'candidates'],
  properties: {
    user: {
      type: 'object',
      required: ['embedding', 'budget'],
      properties: { embedding: { $ref: '#/$defs/vector' }, budget: { type: 'number' } },
    },
    candidates: { type: 'array', minItems: 1, maxItems: 200, items: { $ref: '#/$defs/candidate' } },
  },
  $defs: { vector, candidate },
}
const answer = {
  type: 'array',
  items: { type: 'object', required: ['id', 'score'], properties: { id: { type: 'string' }, score: { type: 'number' } } },
}

const body = JSON.stringify(sampleInput())

/** Microseconds that a call takes, at the median of many. */
function microsOf(run: () => unknown): number {
  const times: number[] = []
  for (let i = 0; i < 20_000; i++) {
    const beganAt = performance.now()
    run()
    times.push((performance.now() - beganAt) * 1000)
  }
  return median(times)
}

const columns = ['requestsPerSecond', 'p50Ms', 'p99Ms', 'cpuPerRequestUs'] as const
const base = await launchBase({ cells: 1 })
try {
  const { client } = base
  await publishModule(client, 'rank50')
  await makeRanking(client, { id: 'bare' })
  await makeRanking(client, { id: 'checked', schemas: { request, answer } })
  const scenes = ['bare', 'checked'].map(name => ({ name, url: `${base.url}/scenes/${name}`, pids: () => pidsOf(base) }))
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}; one cell, ${connections} connections`)
  const runs = new Map<string, Run[]>(scenes.map(({ name }) => [name, []]))
  for (const scene of scenes) await closedLoop(scene, body, connections, Math.min(2, seconds))
  for (let round = 0; round < rounds; round++) {
    for (const scene of round % 2 === 0 ? scenes : scenes.toReversed()) {
      runs.get(scene.name)?.push(await closedLoop(scene, body, connections, seconds))
    }
  }
  const table = new Table({
    style: { head: [], border: [] },
    head: ['scene', 'round', 'req/s', 'p50 ms', 'p99 ms', 'CPU µs/req', 'failed'],
  })
  const medianOf = (name: string, column: (typeof columns)[number]) => median((runs.get(name) ?? []).map(run => run[column]))
  for (const [name, all] of runs) {
    for (const [i, run] of all.entries()) table.push([name, i + 1, ...columns.map(column => run[column].toFixed(1)), run.failed])
    table.push([name, 'median', ...columns.map(column => medianOf(name, column).toFixed(1)), ''])
  }
  console.log(table.toString())
  const ratio = (column: (typeof columns)[number]) => (medianOf('checked', column) / medianOf('bare', column)).toFixed(2)
  console.log(`With schemas / bare: throughput ${ratio('requestsPerSecond')}, CPU per request ${ratio('cpuPerRequestUs')}`)
  const check = Compile(request)
  const parsed = JSON.parse(body) as unknown
  const [parseUs, checkUs] = [microsOf(() => JSON.parse(body)), microsOf(() => check.Check(parsed))]
  console.log(`In the thread of the cell: parsing the body again ${parseUs.toFixed(1)} µs, checking it ${checkUs.toFixed(1)} µs`)
} finally {
  await base.kill()
}
