/** The process that sends the load for a bench, unless wrk does. It is sent one job after the other. */
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { Flood } from './flood.ts'
import type { ClosedLoad, Job, LoadResult, OpenLoad } from './generator.ts'
import { quantile } from './median.ts'

type Measured = Omit<LoadResult, 'cpu'>

const ANSWER_MS_MAX = 2000

process.on('message', (job: Job) => {
  const done = job.kind === 'closed' ? closed(job.load) : open(job.load)
  done.then(
    result => process.send?.(result),
    (error: unknown) => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())

async function closed({ url, body, connections, seconds, units }: ClosedLoad): Promise<Measured> {
  const requests = units.map(unit => ({ headers: { 'content-type': 'application/json', 'x-unit-id': unit } }))
  // It ends only when it takes a sample, which it does once a second by default.
  const sampleInt = Math.min(1000, seconds * 1000)
  const {
    requests: sent,
    duration,
    latency,
    non2xx,
    errors,
  } = await autocannon({
    ...{ url, method: 'POST', body, connections, duration: seconds, requests, sampleInt },
  })
  return { answered: sent.total, seconds: duration, p50Ms: latency.p50, p99Ms: latency.p99, failed: non2xx + errors }
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
