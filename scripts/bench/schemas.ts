/**
 * `npm run bench:schemas`: measures what the schemas of a scene cost a request. One base with one cell has two scenes that rank 50 candidates, one of which
 * says what its requests and answers look like. The runs of both are interleaved; medians are printed at the end.
 */
import { Compile } from 'typebox/schema'
import { launchBase } from '../../test/support/base.ts'
import { checkSeconds, describeMachine, readFlags } from './flags.ts'
import { defaultGenerator } from './generator.ts'
import { median } from './median.ts'
import { compareScenes, makeRanking, publishModule } from './peers.ts'
import { sampleInput } from './rank50/index.ts'

const { seconds, rounds, connections } = readFlags({
  seconds: { value: 4, about: 'seconds of each run' },
  rounds: { value: 5, about: 'rounds, in each of which each scene is measured once' },
  connections: { value: 32, about: 'connections of the load' },
})
checkSeconds(defaultGenerator(), seconds)

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

const base = await launchBase({ cells: 1 })
try {
  const { client } = base
  await publishModule(client, 'rank50')
  await makeRanking(client, { id: 'bare' })
  await makeRanking(client, { id: 'checked', schemas: { request, answer } })
  console.log(describeMachine())
  await compareScenes(base, { title: 'With schemas', scenes: ['bare', 'checked'], rounds, seconds }, { body, connections })
  const check = Compile(request)
  const parsed = JSON.parse(body) as unknown
  const [parseUs, checkUs] = [microsOf(() => JSON.parse(body)), microsOf(() => check.Check(parsed))]
  console.log(`In the thread of the cell: parsing the body again ${parseUs.toFixed(1)} µs, checking it ${checkUs.toFixed(1)} µs`)
} finally {
  await base.kill()
}
