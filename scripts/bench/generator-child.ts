/** The process that sends the load for a bench, unless wrk does. It is sent one job after the other. */
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { Flood, type Sample } from './flood.ts'
import type { ClosedLoad, FloodLoad, FloodResult, Job, Latencies, LoadResult, OpenLoad, SparseLoad } from './generator.ts'
import { quantile } from './median.ts'

type Measured = Omit<LoadResult, 'cpu'>

const ANSWER_MS_MAX = 2000

process.on('message', (job: Job) => {
  run(job).then(
    result => process.send?.(result),
    (error: unknown) => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())

function run(job: Job): Promise<Measured | FloodResult> {
  switch (job.kind) {
    case 'closed':
      return closed(job.load)
    case 'open':
      return open(job.load)
    case 'one by one':
      return oneByOne(job.load)
    case 'flood':
      return flood(job.load)
  }
}

async function closed({ url, body, connections, seconds, units }: ClosedLoad): Promise<Measured> {
  const requests = units.map(unit => ({ headers: { 'content-type': 'application/json', 'x-unit-id': unit } }))
  // It ends only when it takes a sample, which it does once a second by default.
  const sampleInt = Math.min(1000, seconds * 1000)
  const options = { url, method: 'POST' as const, body, connections, duration: seconds, requests, sampleInt }
  const times: number[] = []
  const {
    requests: sent,
    duration,
    non2xx,
    errors,
  } = await new Promise<autocannon.Result>((done, fail) => {
    const sending = autocannon(options, (error, result) => (error ? fail(error) : done(result)))
    // The latencies of its result are whole milliseconds.
    sending.on('response', (_client, _status, _bytes, ms) => times.push(ms))
  })
  times.sort((a, b) => a - b)
  return { answered: sent.total, seconds: duration, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), failed: non2xx + errors }
}

async function open({ url, body, perSecond, seconds, connectionsMax, pace }: OpenLoad): Promise<Measured> {
  const { origin, pathname } = new URL(url)
  const flood = new Flood(origin, pathname.replace('/scenes/', ''), body)
  const { samples, held, unanswered } = await flood.open(perSecond, seconds * 1000, connectionsMax, ANSWER_MS_MAX, pace)
  // Connections that are being closed do not disturb the next job.
  await sleep(10)
  const answered = samples.filter(({ status }) => status === 200)
  const times = answered.map(({ dueMs }) => dueMs).sort((a, b) => a - b)
  const failed = samples.length - answered.length + held + unanswered
  return { answered: answered.length, seconds, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), failed }
}

async function oneByOne({ url, body, count, pauseMs, headers }: SparseLoad): Promise<Measured> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    await sleep(pauseMs)
    const startedAt = performance.now()
    const sent = request(`${url}-${i}`, { method: 'POST', agent, headers: { 'content-type': 'application/json', ...headers } }).end(body)
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    await once(answer.resume(), 'end')
    if (answer.statusCode === 200) times.push(performance.now() - startedAt)
  }
  agent.destroy()
  const seconds = times.reduce((sum, ms) => sum + ms, 0) / 1000
  times.sort((a, b) => a - b)
  return { answered: times.length, seconds, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), failed: count - times.length }
}

async function flood({ base, scene, body, seconds, connections, perSecond }: FloodLoad): Promise<FloodResult> {
  const flood = new Flood(base, scene, body)
  const ms = seconds * 1000
  const { samples, ...counts } = await (perSecond === undefined ? flood.closed(connections, ms) : flood.open(perSecond, ms, connections))
  const isRefusal = ({ status }: Sample) => status === 429 || status === 503
  const isSuccess = ({ status }: Sample) => status === 200
  return {
    ...counts,
    answered: latenciesOf(samples.filter(isSuccess)),
    refused: latenciesOf(samples.filter(isRefusal)),
    others: latenciesOf(samples.filter(sample => !isSuccess(sample) && !isRefusal(sample))),
  }
}

function latenciesOf(samples: readonly Sample[]): Latencies {
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b)
  return { count: sorted.length, p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99), mostMs: quantile(sorted, 1) }
}
