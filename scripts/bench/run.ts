/**
 * `npm run bench`: the base with one cell against bare Fastify with the same handler, raw runs interleaved, medians at the end.
 * Both answer 50-candidate rankings from bodies of about 3 KB over keep-alive connections; the load comes from this process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import autocannon from 'autocannon'
import Table from 'cli-table3'
import { bundleModule } from '../../sdk/bundle.ts'
import { publishBundle, uploadBundle } from '../../sdk/publish.ts'
import { launchBase, nodeFlags, root } from '../../test/support/base.ts'
import { median } from './median.ts'
import { sampleInput } from './rank50/index.ts'

interface Peer {
  readonly name: string
  readonly setUp: string
  readonly url: string
  /** Processes whose CPU serves the requests. */
  pids(): Promise<readonly number[]>
  stop(): Promise<unknown>
}

interface Run {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** CPU seconds of all processes of the peer over the requests they answered, in microseconds. */
  readonly cpuPerRequestUs: number
  readonly failed: number
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
  },
})
const [seconds, rounds, connections] = [Number(values.seconds), Number(values.rounds), Number(values.connections)]
const body = JSON.stringify(sampleInput())

async function startFastify(): Promise<Peer> {
  const child: ChildProcess = spawn(process.execPath, [...nodeFlags, join(root, 'scripts/bench/fastify-server.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  })
  if (child.stdout === null) throw new Error('Fastify has no standard output')
  const [port] = await once(createInterface({ input: child.stdout }), 'line')
  return {
    name: 'bare Fastify',
    setUp: 'Fastify 5, one process, the handler called in it, schema-less JSON',
    url: `http://127.0.0.1:${port}/scenes/rank50`,
    pids: async () => [child.pid ?? 0],
    stop: async () => {
      child.kill()
      await once(child, 'exit')
    },
  }
}

async function startBerth(): Promise<Peer> {
  const base = await launchBase({ cells: 1, args: ['--log-level', 'info'] })
  const { client } = base
  const bundle = await bundleModule(join(root, 'scripts/bench/rank50'))
  await uploadBundle(client, bundle)
  await publishBundle(client, bundle)
  await client.putScene(
    {
      id: 'rank50',
      group: [{ stage: 'rank', modules: ['rank50@^1'] }],
      traffic: { unit: { header: 'x-unit-id' }, deadlineMs: 5000, spec: { memoryMB: 256 } },
      params: {},
      access: 'public',
    },
    undefined,
  )
  await client.createVersion('rank50', { as: 'baseline' })
  return {
    name: 'Berth, one cell',
    setUp: 'supervisor, keeper and one cell, the handler in an isolate of 256 MB; CPU is that of all three',
    url: `${base.url}/scenes/rank50`,
    pids: async () => {
      const { cells, keeper } = await client.status()
      return [base.process.pid ?? 0, keeper.pid, ...cells.map(cell => cell.pid)]
    },
    stop: base.kill,
  }
}

/** CPU seconds a process has used so far, user and system. Linux counts them in ticks of 10 ms. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function run(peer: Peer, duration: number): Promise<Run> {
  const pids = await peer.pids()
  const cpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const before = cpu()
  const result = await autocannon({
    url: peer.url,
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-unit-id': 'u42' },
    body,
    connections,
    duration,
  })
  const total = result.requests.total
  return {
    requestsPerSecond: total / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    cpuPerRequestUs: ((cpu() - before) / total) * 1e6,
    failed: result.non2xx + result.errors,
  }
}

const columns = ['requestsPerSecond', 'p50Ms', 'p99Ms', 'cpuPerRequestUs'] as const
const shown = (run: Pick<Run, (typeof columns)[number]>) =>
  columns.map(column => run[column].toFixed(column === 'requestsPerSecond' ? 0 : 1))

const peers = [await startFastify(), await startBerth()]
try {
  console.log(
    `${rounds} rounds of ${seconds} s, ${connections} connections, body ${Buffer.byteLength(body)} bytes, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`,
  )
  for (const { name, setUp } of peers) console.log(`${name}: ${setUp}`)
  for (const peer of peers) await run(peer, Math.min(2, seconds))
  const runs = new Map<Peer, Run[]>(peers.map(peer => [peer, []]))
  const table = new Table({ style: { head: [], border: [] }, head: ['round', 'peer', 'req/s', 'p50 ms', 'p99 ms', 'CPU µs/req', 'failed'] })
  for (let round = 1; round <= rounds; round++) {
    // Who goes first alternates, so that a drift of the machine's speed does not favour one.
    for (const peer of round % 2 === 1 ? peers : peers.toReversed()) {
      const result = await run(peer, seconds)
      runs.get(peer)?.push(result)
      table.push([round, peer.name, ...shown(result), result.failed])
    }
  }
  const medians = peers.map(peer => {
    const all = runs.get(peer) ?? []
    return Object.fromEntries(columns.map(column => [column, median(all.map(one => one[column]))])) as Pick<Run, (typeof columns)[number]>
  })
  for (const [i, peer] of peers.entries()) table.push(['median', peer.name, ...shown(medians[i] as Run), ''])
  console.log(table.toString())
  const [fastify, berth] = medians as [Run, Run]
  const ratio = (column: (typeof columns)[number]) => (berth[column] / fastify[column]).toFixed(2)
  console.log(
    `Berth / bare Fastify: throughput ${ratio('requestsPerSecond')}, p99 ${ratio('p99Ms')}, CPU per request ${ratio('cpuPerRequestUs')}`,
  )
} finally {
  await Promise.all(peers.map(peer => peer.stop()))
}
