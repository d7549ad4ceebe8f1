/** Sends a steady mix of requests, on kept and on short connections, and reports each with its outcome. Nothing is tried again. */
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answer, Ask, Exchange } from './record.ts'
import { type Draft, newRequestId, nextHostile, nextRequest } from './scenes.ts'
import { type Random, seeded } from './schedule.ts'

export interface TrafficSettings {
  readonly url: string
  readonly token: string
  readonly seed: number
  /** Requests a second of all clients together, without the one that calls broken modules. */
  readonly perSecond: number
  /** The time in milliseconds since the run began. */
  readonly now: () => number
  readonly onExchange: (exchange: Exchange) => void
}

const KEPT_CLIENTS = 8
const SHORT_CLIENTS = 4
const HOSTILE_PER_SECOND = 0.5
/** Longer than any deadline, pause and restart: a request that takes longer hangs. */
const ANSWER_MS_MAX = 30_000

/** Starts the clients. `stop` lets the requests under way finish. */
export function startTraffic(settings: TrafficSettings): { stop(): Promise<void> } {
  let running = true
  const client = async (name: string, perSecond: number, agent: Agent, next: (random: Random) => Draft) => {
    const random = seeded(settings.seed, name)
    while (running) {
      await delay((random() * 2000) / perSecond)
      settings.onExchange(await send(settings, agent, next(random)))
    }
    agent.destroy()
  }
  const each = settings.perSecond / (KEPT_CLIENTS + SHORT_CLIENTS)
  const next = (random: Random) => nextRequest(random, settings.token)
  const clients = [
    ...Array.from({ length: KEPT_CLIENTS }, (_, no) => client(`kept ${no}`, each, new Agent({ keepAlive: true, maxSockets: 1 }), next)),
    ...Array.from({ length: SHORT_CLIENTS }, (_, no) => client(`short ${no}`, each, new Agent({ keepAlive: false }), next)),
    // This client uses short connections, because it pauses for longer than a retiring cell keeps an idle connection.
    client('hostile', HOSTILE_PER_SECOND, new Agent({ keepAlive: false }), nextHostile),
  ]
  return {
    stop: async () => {
      running = false
      await Promise.all(clients)
    },
  }
}

function send({ url, now }: TrafficSettings, agent: Agent, draft: Draft): Promise<Exchange> {
  const { path, method = 'POST', headers = {}, body, ...rest } = draft
  const ask: Ask = { ...rest, requestId: newRequestId() }
  const text = body ?? JSON.stringify({ nonce: ask.requestId })
  const sent = request(`${url}${path}`, {
    method,
    agent,
    headers: {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      'x-request-id': ask.requestId,
      ...(ask.unit === undefined ? {} : { 'x-unit-id': ask.unit }),
      ...headers,
    },
  })
  const from = now()
  let port: number | undefined
  const outcome = new Promise<Exchange['got']>(resolve => {
    sent.on('socket', socket => {
      port = socket.localPort
      if (socket.connecting) {
        socket.once('connect', () => {
          port = socket.localPort
        })
      }
    })
    sent.setTimeout(ANSWER_MS_MAX, () => sent.destroy(new Error(`no answer in ${ANSWER_MS_MAX} ms`)))
    sent.on('error', (error: NodeJS.ErrnoException) => resolve({ broken: error.code ?? error.message }))
    sent.on('response', response => read(response).then(resolve))
  })
  sent.end(text)
  return outcome.then(got => ({ is: 'exchange', from, at: now(), port, ask, got }))
}

async function read(response: IncomingMessage): Promise<Exchange['got']> {
  try {
    const text = (await response.setEncoding('utf8').toArray()).join('')
    return answerOf(response, text)
  } catch (error) {
    return { broken: `its answer was cut off: ${error instanceof Error ? error.message : error}` }
  }
}

function answerOf({ statusCode = 0, headers }: IncomingMessage, text: string): Answer {
  const header = (name: string) => headers[name]?.toString()
  const bucket = header('x-scene-bucket')
  const body = parsed(text)
  const code = typeof body === 'object' && body !== null && 'code' in body ? String(body.code) : `status ${statusCode}`
  return {
    code: statusCode === 200 ? 'OK' : code,
    status: statusCode,
    requestId: header('x-request-id'),
    version: header('x-scene-version'),
    because: header('x-scene-because'),
    bucket: bucket === undefined ? undefined : Number(bucket),
    body,
  }
}

/** Parses JSON. A text that is not JSON is returned as it is; no check expects a text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
