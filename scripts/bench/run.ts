/**
 * `npm run bench`: compares a base with one cell to its peers. All rank 50 candidates from bodies of about 3 KB on keep-alive connections. Their runs
 * are interleaved, and medians are printed at the end. The load comes from this process.
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { closedLoop, type OpenRun, openLoop, type Run } from './load.ts'
import { median } from './median.ts'
import { type Peer, startBerth, startFastify, startPiscina, startPiscinaObjects, startWorkerd } from './peers.ts'
import { sampleInput } from './rank50/index.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
  },
})
const [seconds, rounds, connections] = [Number(values.seconds), Number(values.rounds), Number(values.connections)]
const body = JSON.stringify(sampleInput())

const plain = { style: { head: [], border: [] } }
const columns = ['requestsPerSecond', 'p50Ms', 'p99Ms', 'cpuPerRequestUs'] as const
type Figures = Pick<Run, (typeof columns)[number]>
const shown = (run: Figures) => columns.map(column => run[column].toFixed(column === 'requestsPerSecond' ? 0 : 1))

/** Runs every peer in each round. Another peer goes first in each round, so that a drift of the machine's speed favours none. */
async function interleave<T>(peers: readonly Peer[], work: (peer: Peer) => Promise<T>): Promise<Map<Peer, T[]>> {
  const results = new Map<Peer, T[]>(peers.map(peer => [peer, []]))
  for (let round = 0; round < rounds; round++) {
    const first = round % peers.length
    for (const peer of [...peers.slice(first), ...peers.slice(0, first)]) results.get(peer)?.push(await work(peer))
  }
  return results
}

function medians(runs: readonly Run[]): Figures {
  return Object.fromEntries(columns.map(column => [column, median(runs.map(run => run[column]))])) as Figures
}

async function throughput(peers: readonly Peer[]): Promise<ReadonlyMap<Peer, Figures>> {
  const results = await interleave(peers, peer => closedLoop(peer, body, connections, seconds))
  const table = new Table({ ...plain, head: ['peer', 'round', 'req/s', 'p50 ms', 'p99 ms', 'CPU µs/req', 'failed'] })
  for (const [{ name }, runs] of results) for (const [i, run] of runs.entries()) table.push([name, i + 1, ...shown(run), run.failed])
  const figures = new Map([...results].map(([peer, runs]) => [peer, medians(runs)]))
  for (const [{ name }, figure] of figures) table.push([name, 'median', ...shown(figure), ''])
  console.log(`\nClosed loop, ${connections} connections, ${rounds} rounds of ${seconds} s`)
  console.log(table.toString())
  return figures
}

async function latency(peers: readonly Peer[], perSecond: number): Promise<ReadonlyMap<Peer, number>> {
  const results = await interleave(peers, peer => openLoop(peer, body, perSecond, seconds))
  const table = new Table({ ...plain, head: ['peer', 'round', 'p50 µs', 'p99 µs', 'failed'] })
  const row = ({ p50Us, p99Us, failed }: OpenRun) => [p50Us, p99Us, failed]
  for (const [{ name }, runs] of results) for (const [i, run] of runs.entries()) table.push([name, i + 1, ...row(run)])
  const p99s = new Map([...results].map(([peer, runs]) => [peer, median(runs.map(run => run.p99Us))]))
  for (const [{ name }, p99] of p99s) table.push([name, 'median', '', p99, ''])
  console.log(`\nOpen loop, ${perSecond} req/s (half of what bare Fastify reaches), ${rounds} rounds of ${seconds} s`)
  console.log(table.toString())
  return p99s
}

const [berth, withService] = (await startBerth()) as [Peer, Peer]
const peers = {
  fastify: await startFastify(),
  berth,
  withService,
  objects: await startPiscinaObjects(),
  piscina: await startPiscina(),
  workerd: await startWorkerd(),
}
try {
  console.log(`body ${Buffer.byteLength(body)} bytes, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`)
  for (const { name, setUp } of Object.values(peers)) console.log(`${name}: ${setUp}`)
  for (const peer of Object.values(peers)) await closedLoop(peer, body, connections, Math.min(2, seconds))
  const figures = await throughput(Object.values(peers))
  const of = (peer: Peer) => figures.get(peer) as Figures
  const half = Math.round(of(peers.fastify).requestsPerSecond / 2)
  const p99s = await latency([peers.fastify, peers.berth], half)
  const times = (peer: Peer) => (of(berth).requestsPerSecond / of(peer).requestsPerSecond).toFixed(2)
  console.log(`\nBerth / bare Fastify: throughput ${times(peers.fastify)}`)
  console.log(`Berth / bare Fastify: CPU per request ${(of(berth).cpuPerRequestUs / of(peers.fastify).cpuPerRequestUs).toFixed(2)}`)
  console.log(
    `Berth / bare Fastify: p99 at half its rate ${((p99s.get(berth) ?? Number.NaN) / (p99s.get(peers.fastify) ?? Number.NaN)).toFixed(2)}`,
  )
  console.log(`Berth / worker thread: throughput ${times(peers.objects)}`)
  console.log(`Berth / worker thread, tuned: throughput ${times(peers.piscina)}`)
  console.log(`Berth / workerd: throughput ${times(peers.workerd)}`)
  console.log(`with one service call / without: throughput ${(of(withService).requestsPerSecond / of(berth).requestsPerSecond).toFixed(2)}`)
} finally {
  await Promise.all(Object.values(peers).map(peer => peer.stop()))
}
