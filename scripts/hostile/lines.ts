/** Connections that are known to lead to one cell, and probes on them that measure what a neighbour sees. */
import { Agent, type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { peersOf } from '../soak/processes.ts'
import type { Code } from './case.ts'

export interface Answer {
  readonly code: Code
  /** The body of the answer, parsed; undefined when there is none. */
  readonly body: unknown
  /** What a failed request says. */
  readonly detail: string
  readonly ms: number
}

/** Longer than any deadline: a request without an answer for so long hangs. */
const ANSWER_MS_MAX = 20_000

/** POSTs JSON to a scene, once. A connection that breaks is an answer too. */
export function post(url: string, scene: string, body: string, agent?: Agent): Promise<Answer> {
  const from = performance.now()
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: agent ? 'keep-alive' : 'close',
  }
  const { promise, resolve } = Promise.withResolvers<Omit<Answer, 'ms'>>()
  const broke = (error: NodeJS.ErrnoException) => resolve({ code: 'BROKEN', body: undefined, detail: error.code ?? error.message })
  const sent = request(`${url}/scenes/${scene}`, { method: 'POST', agent: agent ?? false, headers })
  sent.setTimeout(ANSWER_MS_MAX, () => sent.destroy(new Error(`no answer in ${ANSWER_MS_MAX} ms`)))
  sent.on('error', broke)
  sent.on('response', response => read(response).then(resolve, broke))
  sent.end(body)
  return promise.then(answer => ({ ...answer, ms: performance.now() - from }))
}

async function read(response: IncomingMessage): Promise<Omit<Answer, 'ms'>> {
  const text = (await response.setEncoding('utf8').toArray()).join('')
  const body = parsed(text)
  if (response.statusCode === 200) return { code: 'OK', body, detail: '' }
  const { code, detail } = body as { readonly code?: Code; readonly detail?: string }
  return { code: code ?? 'BROKEN', body: undefined, detail: detail ?? `status ${response.statusCode}: ${text.slice(0, 200)}` }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** One connection, made anew when the base closes it. */
export class Line {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #url: string
  #localPort: number | undefined

  constructor(url: string) {
    this.#url = url
    this.#agent.on('free', (socket: Socket) => {
      this.#localPort = socket.localPort
    })
  }

  post(scene: string, body: string): Promise<Answer> {
    return post(this.#url, scene, body, this.#agent)
  }

  /** Which of the processes holds the other end; undefined when none does. */
  ownerAmong(pids: readonly number[]): number | undefined {
    const port = Number(new URL(this.#url).port)
    return this.#localPort === undefined ? undefined : pids.find(pid => peersOf(pid, port).includes(this.#localPort as number))
  }

  close(): void {
    this.#agent.destroy()
  }
}

const OPENED_AT_ONCE = 8
const ROUNDS_MAX = 40

/**
 * So many lines to each of the cells. Which cell gets a connection is up to the kernel, so connections are opened until each cell has enough.
 * @throws Error when a cell does not get them
 */
export async function linesTo(url: string, pids: readonly number[], each: number): Promise<Map<number, readonly Line[]>> {
  const found = new Map<number, Line[]>(pids.map(pid => [pid, []]))
  const isDone = () => [...found.values()].every(lines => lines.length === each)
  for (let round = 0; round < ROUNDS_MAX && !isDone(); round++) {
    const opened = Array.from({ length: OPENED_AT_ONCE }, () => new Line(url))
    await Promise.all(opened.map(line => line.post(NEIGHBOUR, '{}')))
    // An agent learns of a free socket only after the answer has been read.
    await delay(5)
    for (const line of opened) {
      const lines = found.get(line.ownerAmong(pids) ?? 0)
      if (lines === undefined || lines.length === each) line.close()
      else lines.push(line)
    }
  }
  if (!isDone()) throw new Error(`No connection came to some of the cells ${pids.join(', ')}`)
  return found
}

/** The scene of a good module, which lives with the bad ones. */
export const NEIGHBOUR = 'neighbour'
const PROBE_EVERY_MS = 20

export interface Sample {
  /** When the answer came, by `performance.now()`. */
  readonly at: number
  readonly ms: number
  /** What was wrong with it; undefined when nothing was. */
  readonly failure: string | undefined
}

/** Sends a scene what it answers unchanged, every 20 ms, or later when an answer takes longer. */
export class Probe {
  readonly samples: Sample[] = []
  readonly #line: Line
  readonly #scene: string
  readonly #body: (n: number) => string
  readonly #over: Promise<void>
  #running = true

  constructor(line: Line, scene = NEIGHBOUR, body = (n: number) => `{"n":${n}}`) {
    this.#line = line
    this.#scene = scene
    this.#body = body
    this.#over = this.#run()
  }

  async #run(): Promise<void> {
    for (let n = 0; this.#running; n++) {
      const sent = this.#body(n)
      const { code, body, detail, ms } = await this.#line.post(this.#scene, sent)
      const isRight = code === 'OK' && JSON.stringify(body) === sent
      const failure = isRight ? undefined : code === 'OK' ? `wrong answer ${JSON.stringify(body)}` : `${code} ${detail}`
      this.samples.push({ at: performance.now(), ms, failure })
      await delay(Math.max(1, PROBE_EVERY_MS - ms))
    }
  }

  /** Ends the probe once its last answer has come. */
  async stop(): Promise<readonly Sample[]> {
    this.#running = false
    await this.#over
    return this.samples
  }
}
