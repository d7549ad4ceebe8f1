/**
 * `npm run bench:overload`: measures what a base of one cell still answers when it gets five times the load that it can take, and how fast it refuses
 * the rest.
 *
 * First it finds the peak, in a closed loop on as many connections as keep the cell busy. Then it sends a multiple of that in an open loop: each
 * request is sent when it is due, whether or not earlier ones were answered, on a free or a new connection. Latencies are measured from the moment
 * when a request is written. The load comes from a process of its own; the base and that are pinned to a processor each where that is possible.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { launchBase, makeScene, type RunningBase } from '../../test/support/base.ts'
import { describeMachine, readFlags } from './flags.ts'
import { defaultGenerator, type FloodLoad, type FloodResult } from './generator.ts'
import { median } from './median.ts'
import { pidsOf } from './peers.ts'
import { Rig } from './rig.ts'

const flags = readFlags({
  seconds: { value: 5, about: 'seconds at the peak, and at overload, in each round' },
  rounds: { value: 3, about: 'rounds, of which medians count' },
  factor: { value: 5, about: 'how many times the peak is sent at overload' },
  work: { value: 500_000, about: "iterations of the handler's loop; 250,000 take about a millisecond" },
  deadline: { value: 1000, about: 'milliseconds, the deadline of the scene' },
  connections: { value: 32, about: 'connections at the peak' },
  'connections-max': { value: 2000, about: 'the most connections at overload' },
})
const { seconds, rounds, factor, work, deadline, connections } = flags

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

const goodput = ({ answered, seconds }: FloodResult) => answered.count / seconds

/** @returns the requests answered at overload as a part of those at the peak, and how fast refusals were */
async function round(base: RunningBase, load: Omit<FloodLoad, 'connections'>): Promise<{ ratio: number; refusedP99: number }> {
  // All requests that a flood has left in the cell have ended after their deadline.
  await sleep(deadline)
  const peak = await rig.generator.flood({ ...load, connections })
  const peakRate = goodput(peak)
  console.log(`peak: ${peakRate.toFixed(0)} req/s on ${connections} connections, p99 ${peak.answered.p99Ms.toFixed(1)} ms`)
  let running = true
  const probing = probe(base.url, () => running)
  const over = await rig.generator.flood({ ...load, perSecond: peakRate * factor, connections: flags['connections-max'] })
  running = false
  const { sent, held, answered, refused, others } = over
  const [sentRate, ratio] = [sent / over.seconds, goodput(over) / peakRate]
  console.log(
    `sent: ${sentRate.toFixed(0)} req/s, ${(sentRate / peakRate).toFixed(1)} times the peak; ${held} held back by the load itself
goodput: ${goodput(over).toFixed(0)} req/s, ${ratio.toFixed(2)} of the peak, p99 ${answered.p99Ms.toFixed(1)} ms
refused: ${refused.count}, p50 ${refused.p50Ms.toFixed(1)} ms, p99 ${refused.p99Ms.toFixed(1)} ms, max ${refused.mostMs.toFixed(1)} ms
other answers: ${others.count}; slowest health probe: ${(await probing).toFixed(1)} ms`,
  )
  return { ratio, refusedP99: refused.p99Ms }
}

const base = await launchBase({ cells: 1, args: ['--log-level', 'info'] })
const rig = new Rig(defaultGenerator())
try {
  const body = JSON.stringify({ items: Array.from({ length: 50 }, (_, i) => ({ id: `item-${i}`, score: i / 50 })) })
  const handler = `x => { let sum = 0; for (let i = 0; i < ${work}; i++) sum += Math.sqrt(i); return { sum, items: x.items.length } }`
  const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: deadline, spec: { memoryMB: 256 } }
  await makeScene(base.client, 'work', { rank: handler }, { traffic })
  rig.assign(rig.bestWay, await pidsOf(base))
  console.log(
    `${describeMachine()}; ${rounds} rounds of ${seconds} s each at the peak and at ${factor} times that; one cell, a loop of ${work} steps per request, body ${body.length} bytes, deadline ${deadline} ms, ${rig.bestWay === 'pinned' ? 'pinned' : 'not pinned'}`,
  )
  const load = { base: base.url, scene: 'work', body, seconds }
  // The code that refuses requests has to be warmed up too.
  const warm = await rig.generator.flood({ ...load, seconds: 1, connections })
  await rig.generator.flood({ ...load, seconds: 1, perSecond: goodput(warm) * factor, connections: flags['connections-max'] })
  const results: { ratio: number; refusedP99: number }[] = []
  for (let i = 0; i < rounds; i++) results.push(await round(base, load))
  console.log(
    `Overloaded ${factor} times: goodput ${median(results.map(({ ratio }) => ratio)).toFixed(2)} of the peak, refusals in ${median(results.map(({ refusedP99 }) => refusedP99)).toFixed(1)} ms at p99`,
  )
} finally {
  await Promise.all([base.kill(), rig.stop()])
}
