/**
 * `npm run bench:capture`: measures what it costs that requests are captured. One base with one cell has three scenes that rank 50 candidates. Of the first nothing
 * is captured; of the second one request in a hundred, within the default bound on how many a second; of the third one in a hundred without that bound. Their runs
 * are interleaved. Then requests go to the third scene one after the other on several connections, and those that were captured are compared with the others.
 */
import { Agent, request } from 'node:http'
import { callScene, launchBase, type RunningBase } from '../../test/support/base.ts'
import { checkSeconds, describeMachine, readFlags } from './flags.ts'
import { defaultGenerator } from './generator.ts'
import { median, quantile } from './median.ts'
import { compareScenes, makeRanking, publishModule } from './peers.ts'
import { sampleInput } from './rank50/index.ts'

const { seconds, rounds, connections, callers } = readFlags({
  seconds: { value: 4, about: 'seconds of each run' },
  rounds: { value: 7, about: 'rounds, in each of which each scene is measured once' },
  connections: { value: 32, about: 'connections of the load' },
  callers: { value: 4, about: 'connections while captured requests are compared with others' },
})
checkSeconds(defaultGenerator(), seconds)

const body = JSON.stringify(sampleInput())

/** Milliseconds that each request took, of those that were captured and of the others. */
interface Latencies {
  readonly captured: number[]
  readonly others: number[]
}

/** Sends requests one after the other on each of the connections, for so many seconds. */
async function send(base: RunningBase): Promise<Latencies> {
  const latencies: Latencies = { captured: [], others: [] }
  const agent = new Agent({ keepAlive: true, maxSockets: callers })
  const until = performance.now() + seconds * 1000
  const call = async () => {
    while (performance.now() < until) {
      const sentAt = performance.now()
      const isCaptured = await ask(base, agent)
      latencies[isCaptured ? 'captured' : 'others'].push(performance.now() - sentAt)
    }
  }
  await Promise.all(Array.from({ length: callers }, call))
  agent.destroy()
  return latencies
}

/** @returns whether the request was captured */
function ask(base: RunningBase, agent: Agent): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-unit-id': 'u42' }
    const sent = request(`${base.url}/scenes/captured`, { method: 'POST', agent, headers }, answer => {
      if (answer.statusCode !== 200) reject(new Error(`Answered ${answer.statusCode}`))
      answer.resume().on('end', () => resolve(answer.headers['x-scene-capsule'] !== undefined))
    })
    sent.on('error', reject).end(body)
  })
}

const ms = (values: readonly number[], q: number): number =>
  quantile(
    values.toSorted((a, b) => a - b),
    q,
  )

async function compareLatencies(base: RunningBase): Promise<void> {
  const found: Latencies[] = []
  await send(base)
  for (let round = 0; round < rounds; round++) found.push(await send(base))
  const count = found.reduce((sum, { captured }) => sum + captured.length, 0)
  console.log(`\nCaptured requests and others, ${callers} connections, medians of ${rounds} rounds of ${seconds} s, ${count} captured`)
  for (const q of [0.5, 0.99]) {
    const [captured, others] = [median(found.map(one => ms(one.captured, q))), median(found.map(one => ms(one.others, q)))]
    console.log(`  p${q * 100}: ${captured.toFixed(2)} ms, others ${others.toFixed(2)} ms: ${(captured / others).toFixed(2)}x`)
  }
}

async function printCounts({ controlUrl, token }: RunningBase): Promise<void> {
  const metrics = await (await fetch(`${controlUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text()
  console.log(metrics.match(/^berth_capsules_(captured|skipped)_total.*$/gm)?.join('\n') ?? 'Nothing was captured')
}

const base = await launchBase({ cells: 1, env: { ...process.env, BERTH_CAPSULES: 'sampled' } })
try {
  const { client } = base
  await publishModule(client, 'rank50')
  await makeRanking(client, { id: 'plain', capsules: { off: true } })
  await makeRanking(client, { id: 'default', capsules: {} })
  await makeRanking(client, { id: 'captured', capsules: { rate: 0.01, perSecond: 1000 } })
  console.log(describeMachine())
  for (const scene of ['plain', 'default', 'captured']) await (await callScene(base, scene, body)).text()
  await compareScenes(base, { title: 'Captured at 1 %', scenes: ['plain', 'default', 'captured'], rounds, seconds }, { body, connections })
  await compareLatencies(base)
  await printCounts(base)
} finally {
  await base.kill()
}
