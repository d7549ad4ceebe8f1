/** Puts load on a peer and measures what it costs. */
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createHistogram } from 'node:perf_hooks'
import autocannon from 'autocannon'
import type { Peer } from './peers.ts'

export interface Run {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Microseconds of CPU of all processes of the peer, for each request that they answered. */
  readonly cpuPerRequestUs: number
  readonly failed: number
}

const headersFor = (unit: string) => ({ 'content-type': 'application/json', 'x-unit-id': unit })
const headers = headersFor('u42')

/** Seconds of CPU that a process has used so far in user and system mode. Linux counts them in ticks of 10 ms. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/**
 * Sends as many requests as the peer answers: on each connection, the next one when the one before is answered.
 * @param units unit ids that the requests have in turn
 */
export async function closedLoop(
  peer: Pick<Peer, 'url' | 'pids'>,
  body: string,
  connections: number,
  duration: number,
  units: readonly string[] = ['u42'],
): Promise<Run> {
  const pids = await peer.pids()
  const cpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const before = cpu()
  const requests = units.map(unit => ({ headers: headersFor(unit) }))
  // It ends only when it takes a sample, which it does once a second unless it is told.
  const sampleInt = Math.min(1000, duration * 1000)
  const result = await autocannon({ url: peer.url, method: 'POST', body, connections, duration, requests, sampleInt })
  const total = result.requests.total
  return {
    requestsPerSecond: total / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    cpuPerRequestUs: ((cpu() - before) / total) * 1e6,
    failed: result.non2xx + result.errors,
  }
}

export interface OpenRun {
  readonly sent: number
  readonly p50Us: number
  readonly p99Us: number
  readonly failed: number
}

/**
 * Sends requests at a fixed rate, whether or not they are answered, on as many kept connections as that takes. Latency is measured in microseconds
 * from the millisecond in which a request was due, so that a stall counts for every request that had to wait for it.
 */
export async function openLoop(peer: Peer, body: string, perSecond: number, seconds: number): Promise<OpenRun> {
  const agent = new Agent({ keepAlive: true, maxSockets: 512 })
  const latencies = createHistogram()
  const total = Math.floor(perSecond * seconds)
  let [sent, settled, failed] = [0, 0, 0]
  const finished = Promise.withResolvers<void>()
  const settle = (dueAt: number, ok: boolean) => {
    if (ok) latencies.record(Math.max(1, Math.round((performance.now() - dueAt) * 1e3)))
    else failed++
    if (++settled === total) finished.resolve()
  }
  const length = Buffer.byteLength(body)
  const send = (dueAt: number) => {
    const call = request(peer.url, { method: 'POST', agent, headers: { ...headers, 'content-length': length } }, response => {
      response.resume()
      response.on('end', () => settle(dueAt, response.statusCode === 200))
    })
    call.on('error', () => settle(dueAt, false))
    call.end(body)
  }
  const startedAt = performance.now()
  // Requests are sent in bursts once a millisecond. A loop that reads the clock without a pause would take a processor from the peer.
  const tick = () => {
    const elapsedMs = Math.floor(performance.now() - startedAt)
    const due = Math.min(total, Math.floor((elapsedMs / 1000) * perSecond))
    while (sent < due) send(startedAt + Math.ceil((++sent / perSecond) * 1000))
    if (sent < total) setTimeout(tick, 1)
  }
  tick()
  await finished.promise
  agent.destroy()
  return { sent: total, p50Us: latencies.percentile(50), p99Us: latencies.percentile(99), failed }
}
