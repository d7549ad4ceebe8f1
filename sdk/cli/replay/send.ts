/** Sends requests to the scene port, at a rate or as fast as they are answered, and measures. Nothing is tried again. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { text } from 'node:stream/consumers'
import { messageOf } from '../../../base/kernel/errors.ts'
import { limits } from '../../../base/kernel/limits.ts'
import type { Entry } from './log.ts'

export interface Target {
  /** URL of the scene port. */
  readonly url: URL
  /** Headers of every request. They go before those of the log. */
  readonly headers: Readonly<Record<string, string>>
}

export interface Plan {
  readonly entries: readonly Entry[]
  /** How often all of them are sent. */
  readonly passes: number
  /** Start of the request ids; the same seed and entries give the same ids. */
  readonly seed: string
  /**
   * Requests per second of the open loop, in which requests leave when they are due, whatever became of those before. Undefined for the
   * closed loop.
   */
  readonly perSecond: number | undefined
  /**
   * In the closed loop, each connection sends its next request when the one before is answered. In the open loop, there are at most so
   * many.
   */
  readonly connections: number
}

export interface Failures {
  count: number
  /** The message of the first of them. */
  readonly message: string
}

export interface Measured {
  /** `gone` when nothing takes connections any more. */
  readonly ended: 'done' | 'stopped' | 'gone'
  readonly sent: number
  readonly answered: number
  /** Failures by the code of the base, that of the connection (`ECONNRESET`), or `HTTP_502` of something in between. */
  readonly failures: ReadonlyMap<string, Failures>
  /** Answers by the version that gave them. */
  readonly versions: ReadonlyMap<string, number>
  /** Seconds from the first request to the last answer. */
  readonly seconds: number
  /**
   * Microseconds of the answers with status 200, at three digits: in the closed loop from sending, in the open loop from the millisecond in
   * which the request was due, so that a stall is charged to every request that had to wait for it.
   */
  readonly latencyUs: RecordableHistogram
}

export interface Run {
  readonly settled: () => number
  readonly finished: Promise<Measured>
  /** Drops what is under way and finishes with what was measured so far. */
  stop(): void
}

/** A base answers within its longest deadline; what takes longer was lost. */
const TIMEOUT_MS = limits.request.deadlineMsMax + 5000
/** Connections refused one after the other that say that the base is gone. */
const REFUSED_MAX = 100
const NO_CONNECTION = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'ETIMEDOUT'])

/** @param onAnswer is given the body of each 200 to an entry that has `shown`; the index is that of the entry */
export function startReplay(target: Target, plan: Plan, onAnswer: (index: number, body: string) => void): Run {
  const { entries, perSecond, connections } = plan
  const total = entries.length * plan.passes
  const connection = connect(target, connections)
  const failures = new Map<string, Failures>()
  const versions = new Map<string, number>()
  const latencyUs = createHistogram()
  const finished = Promise.withResolvers<Measured>()
  const startedAt = performance.now()
  let [sent, settled, answered, refused] = [0, 0, 0, 0]
  let ended: Measured['ended'] | undefined
  let timer: NodeJS.Timeout | undefined

  const end = (how: Measured['ended']): void => {
    if (ended !== undefined) return
    ended = how
    clearTimeout(timer)
    const seconds = (performance.now() - startedAt) / 1000
    connection.close()
    finished.resolve({ ended, sent, answered, failures, versions, seconds, latencyUs })
  }
  const succeed = ({ version }: Reply, dueAt: number): void => {
    refused = 0
    answered++
    latencyUs.record(Math.max(1, Math.round((performance.now() - dueAt) * 1000)))
    if (version !== undefined) versions.set(version, (versions.get(version) ?? 0) + 1)
  }
  const fail = ({ code, message }: Fault): void => {
    const known = failures.get(code)
    if (known === undefined) failures.set(code, { count: 1, message })
    else known.count++
    refused = NO_CONNECTION.has(code) ? refused + 1 : 0
  }
  const send = (dueAt: number): void => {
    const number = sent++
    const index = number % entries.length
    const entry = entryAt(entries, index)
    connection.post(entry, `${plan.seed}-${number.toString(36)}`, result => {
      // A request that was under way when the sending ended is counted neither as answered nor as failed.
      if (ended !== undefined) return
      settled++
      if ('code' in result) fail(result)
      else {
        if (entry.shown !== undefined) onAnswer(index, result.body)
        succeed(result, dueAt)
      }
      if (refused >= REFUSED_MAX) end('gone')
      else if (settled === total) end('done')
      else if (perSecond === undefined && sent < total) send(performance.now())
    })
  }
  // Requests leave in bursts of a millisecond. A loop that looked at the clock without pause would take a processor from the base, if that
  // is on this machine.
  const tick = (rate: number): void => {
    const elapsedMs = Math.floor(performance.now() - startedAt)
    const due = Math.min(total, Math.floor((elapsedMs / 1000) * rate))
    while (sent < due) send(startedAt + Math.ceil(((sent + 1) / rate) * 1000))
    if (sent < total) timer = setTimeout(tick, 1, rate)
  }
  if (perSecond !== undefined) tick(perSecond)
  else for (let first = Math.min(connections, total); first > 0; first--) send(performance.now())

  return { settled: () => settled, finished: finished.promise, stop: () => end('stopped') }
}

function entryAt(entries: readonly Entry[], index: number): Entry {
  const entry = entries[index]
  if (entry === undefined) throw new RangeError(`There is no request ${index} to send`)
  return entry
}

// HTTP

interface Reply {
  readonly body: string
  readonly version: string | undefined
}

interface Fault {
  readonly code: string
  readonly message: string
}

interface Connection {
  /** `done` is called once, never before this returns. */
  post(entry: Entry, requestId: string, done: (result: Reply | Fault) => void): void
  close(): void
}

/** Makes at most so many connections, which are kept alive. */
function connect({ url, headers }: Target, connections: number): Connection {
  const secure = url.protocol === 'https:'
  const agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: connections })
  const open = secure ? httpsRequest : httpRequest
  return {
    close: () => agent.destroy(),
    post: (entry, requestId, done) => {
      const fixed = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(entry.body), 'x-request-id': requestId }
      const options = { method: 'POST', agent, headers: { ...entry.headers, ...fixed, ...headers }, timeout: TIMEOUT_MS }
      const reply = Promise.withResolvers<Reply | Fault>()
      const sent = open(new URL(`/scenes/${encodeURIComponent(entry.scene)}`, url), options, response => {
        readReply(response).then(reply.resolve, reply.reject)
      })
      sent.on('timeout', () => sent.destroy(Object.assign(new Error(`no answer within ${TIMEOUT_MS} ms`), { code: 'TIMEOUT' })))
      sent.on('error', reply.reject)
      sent.end(entry.body)
      reply.promise.catch((error: unknown) => ({ code: codeOf(error), message: messageOf(error) })).then(done)
    },
  }
}

async function readReply(response: IncomingMessage): Promise<Reply | Fault> {
  const body = await text(response)
  if (response.statusCode !== 200) return faultOf(body, response.statusCode)
  return { body, version: response.headers['x-scene-version']?.toString() }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'CONNECTION_FAILED'
}

function faultOf(body: string, status: number | undefined): Fault {
  try {
    const { code, detail } = JSON.parse(body) as { readonly code?: unknown; readonly detail?: unknown }
    if (typeof code === 'string') return { code, message: String(detail) }
  } catch {
    // An answer without a problem document, such as that of a proxy, is counted by its status.
  }
  return { code: `HTTP_${status}`, message: body.slice(0, 200) }
}
