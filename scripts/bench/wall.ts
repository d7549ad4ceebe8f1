/**
 * `npm run bench:wall`: measures what the second wall costs. Two bases with one cell each, one with the wall and one without, rank 50 candidates, and
 * each of their cells is replaced many times. Both are measured in turn; medians are printed at the end, and the ratio of each pair of runs.
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { launchBase, type RunningBase } from '../../test/support/base.ts'
import { closedLoop, type Run } from './load.ts'
import { median } from './median.ts'
import { makeRanking, pidsOf, publishModule } from './peers.ts'
import { sampleInput } from './rank50/index.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '20' },
    connections: { type: 'string', default: '32' },
    starts: { type: 'string', default: '20' },
  },
})
const [seconds, rounds, connections, starts] = [values.seconds, values.rounds, values.connections, values.starts].map(Number) as [
  number,
  number,
  number,
  number,
]

interface Side {
  readonly name: 'on' | 'off'
  readonly base: RunningBase
  readonly runs: Run[]
  readonly startsMs: number[]
}

async function start(name: Side['name'], mode: string): Promise<Side> {
  const base = await launchBase({ cells: 1, args: ['--wall', mode] })
  await publishModule(base.client, 'rank50')
  await makeRanking(base.client, { id: 'rank50' })
  return { name, base, runs: [], startsMs: [] }
}

const load = ({ base }: Side, duration: number) =>
  closedLoop({ url: `${base.url}/scenes/rank50`, pids: () => pidsOf(base) }, JSON.stringify(sampleInput()), connections, duration)

/** @returns milliseconds from the start of a new process until it serves, as the supervisor logs them */
async function startCell({ base }: Side): Promise<number> {
  const from = base.log.length
  await base.client.retireCell(1)
  const { ms } = await base.logged(({ msg }) => msg === 'cell ready', from)
  await base.logged(({ msg }) => msg === 'cell ended', from)
  return Number(ms)
}

/** Another side goes first each time, so that a drift of the machine's speed favours none. */
async function inTurn(times: number, work: (side: Side) => Promise<void>): Promise<void> {
  for (let round = 0; round < times; round++) for (const side of round % 2 === 0 ? sides : sides.toReversed()) await work(side)
}

const sides = [await start('on', 'require'), await start('off', 'off')] as const
const [on, off] = sides
try {
  const { wall } = await on.base.client.status()
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}; one cell each, ${connections} connections`)
  console.log(`the wall: ${wall.map(({ layer, detail }) => `${layer} ${detail}`).join('; ')}`)
  await inTurn(1, async side => void (await load(side, Math.min(2, seconds))))
  await inTurn(rounds, async side => void side.runs.push(await load(side, seconds)))
  await inTurn(starts, async side => void side.startsMs.push(await startCell(side)))
  const medianOf = ({ runs }: Side, column: 'requestsPerSecond' | 'p99Ms' | 'cpuPerRequestUs') => median(runs.map(run => run[column]))
  const table = new Table({ style: { head: [], border: [] }, head: ['wall', 'req/s', 'p99 ms', 'CPU µs/req', 'failed', 'start ms'] })
  for (const side of sides) {
    const failed = side.runs.reduce((sum, run) => sum + run.failed, 0)
    const [rate, p99, cpu] = (['requestsPerSecond', 'p99Ms', 'cpuPerRequestUs'] as const).map(column => medianOf(side, column).toFixed(1))
    table.push([side.name, rate, p99, cpu, failed, median(side.startsMs).toFixed(0)])
  }
  console.log(table.toString())
  const paired = (column: 'requestsPerSecond' | 'cpuPerRequestUs') =>
    median(on.runs.map((run, i) => run[column] / (off.runs[i]?.[column] ?? Number.NaN))).toFixed(3)
  const slower = median(on.startsMs.map((ms, i) => ms - (off.startsMs[i] ?? Number.NaN)))
  console.log(`With the wall / without: throughput ${paired('requestsPerSecond')}, CPU per request ${paired('cpuPerRequestUs')}`)
  console.log(`A cell starts ${slower.toFixed(0)} ms later with the wall`)
} finally {
  await Promise.all(sides.map(({ base }) => base.kill()))
}
