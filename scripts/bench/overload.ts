/**
 * `npm run bench:overload`: measures what a base of one cell still answers when it gets five times the load that it can take, and how fast it refuses
 * the rest.
 *
 * First it finds the peak, in a closed loop on as many connections as keep the cell busy. Then it sends a multiple of that in an open loop: each
 * request is sent when it is due, whether or not earlier ones were answered, on a free or a new connection. Latencies are measured from the moment
 * when a request is written. The load comes from this process, which shares the cores with the base.
 */
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { launchBase, makeScene, type RunningBase } from '../../test/support/base.ts'
import { Flood, type FloodRun, type Sample } from './flood.ts'
import { median } from './median.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    factor: { type: 'string', default: '5' },
    /** Iterations of the handler's loop; 250,000 take about a millisecond. */
    work: { type: 'string', default: '500000' },
    deadline: { type: 'string', default: '1000' },
    /** Connections at the peak, and the most connections at overload. */
    connections: { type: 'string', default: '32' },
    'connections-max': { type: 'string', default: '2000' },
  },
})
const [seconds, rounds, factor] = [Number(values.seconds), Number(values.rounds), Number(values.factor)]
const [connections, connectionsMax] = [Number(values.connections), Number(values['connections-max'])]

/** Sends probes while the cell is overloaded. @returns the slowest of their latencies */
async function probe(url: string, running: () => boolean): Promise<number> {
  let slowest = 0
  while (running()) {
    const start = performance.now()
    const { ok } = await fetch(`${url}/healthz`)
    if (!ok) throw new Error('The health probe was refused')
    await sleep(100)
    slowest = Math.max(slowest, performance.now() - start - 100)
  }
  return slowest
}

function quantile(samples: readonly Sample[], q: number): number {
  const sorted = samples.map(sample => sample.ms).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

const isRefusal = ({ status }: Sample) => status === 429 || status === 503
const goodput = (run: FloodRun) => run.samples.filter(sample => sample.status === 200).length / run.seconds

async function round(base: RunningBase, body: string): Promise<{ ratio: number; refusedP99: number }> {
  // All requests that a flood has left in the cell have ended after their deadline.
  await sleep(Number(values.deadline))
  const peak = await new Flood(base.url, 'work', body).closed(connections, seconds * 1000)
  const peakRate = goodput(peak)
  console.log(`peak: ${peakRate.toFixed(0)} req/s on ${connections} connections, p99 ${quantile(peak.samples, 0.99).toFixed(1)} ms`)
  let running = true
  const probing = probe(base.url, () => running)
  const over = await new Flood(base.url, 'work', body).open(peakRate * factor, seconds * 1000, connectionsMax)
  running = false
  const [answered, refused] = [over.samples.filter(sample => sample.status === 200), over.samples.filter(isRefusal)]
  const others = over.samples.length - answered.length - refused.length
  const ratio = goodput(over) / peakRate
  console.log(
    `sent: ${(over.sent / over.seconds).toFixed(0)} req/s, ${(over.sent / over.seconds / peakRate).toFixed(1)} times the peak; ${over.held} held back by the load itself`,
  )
  console.log(`goodput: ${goodput(over).toFixed(0)} req/s, ${ratio.toFixed(2)} of the peak, p99 ${quantile(answered, 0.99).toFixed(1)} ms`)
  console.log(
    `refused: ${refused.length}, p50 ${quantile(refused, 0.5).toFixed(1)} ms, p99 ${quantile(refused, 0.99).toFixed(1)} ms, max ${quantile(refused, 1).toFixed(1)} ms`,
  )
  console.log(`other answers: ${others}; slowest health probe: ${(await probing).toFixed(1)} ms`)
  return { ratio, refusedP99: quantile(refused, 0.99) }
}

const base = await launchBase({ cells: 1, args: ['--log-level', 'info'] })
try {
  const body = JSON.stringify({ items: Array.from({ length: 50 }, (_, i) => ({ id: `item-${i}`, score: i / 50 })) })
  const work = `x => { let sum = 0; for (let i = 0; i < ${Number(values.work)}; i++) sum += Math.sqrt(i); return { sum, items: x.items.length } }`
  const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: Number(values.deadline), spec: { memoryMB: 256 } }
  await makeScene(base.client, 'work', { rank: work }, { traffic })
  console.log(
    `${rounds} rounds of ${seconds} s each at the peak and at ${factor} times that; one cell, a loop of ${values.work} steps per request, body ${body.length} bytes, deadline ${values.deadline} ms, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`,
  )
  // The code that refuses requests has to be warmed up too.
  const warm = await new Flood(base.url, 'work', body).closed(connections, 1000)
  await new Flood(base.url, 'work', body).open(goodput(warm) * factor, 1000, connectionsMax)
  const results: { ratio: number; refusedP99: number }[] = []
  for (let i = 0; i < rounds; i++) results.push(await round(base, body))
  console.log(
    `Overloaded ${factor} times: goodput ${median(results.map(({ ratio }) => ratio)).toFixed(2)} of the peak, refusals in ${median(results.map(({ refusedP99 }) => refusedP99)).toFixed(1)} ms at p99`,
  )
} finally {
  await base.kill()
}
