/** One request of the load, and what became of it. */
import { type Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'

/** How a request can fail. `reset` says nothing about whether it was executed. */
export const failures = [
  'refused',
  'reset before it was sent',
  'reset after it was sent',
  'cut off',
  'timeout',
  'overloaded',
  'error status',
  'wrong answer',
] as const
export type Failure = (typeof failures)[number]

export interface Outcome {
  /** Undefined when the answer was right. */
  readonly failure: Failure | undefined
  /** Of a failure: the message, or the status and the body. */
  readonly detail: string
  /** The release that answered; empty when it does not say. */
  readonly release: string
  /** Whether a kept connection was closed under the request, which was sent again on a new one. */
  readonly isSentAgain: boolean
}

export interface Ask {
  /** Of the scene, which answers with the body. */
  readonly url: string
  readonly body: string
  /** Keeps connections. Without one each request has a connection of its own. */
  readonly agent: Agent | undefined
  readonly timeoutMs: number
}

/** The header in which a release that was made for this says who it is. */
export const RELEASE_HEADER = 'x-release'

/**
 * Sends a request. On a kept connection it is sent once more when the connection ends without a byte of an answer: a server may close a connection that
 * it holds for idle at the moment when the client sends, so HTTP clients do this where to do it twice does no harm (RFC 9112, 9.3.1), as here.
 */
export async function exchange(ask: Ask): Promise<Outcome> {
  const first = await send(ask)
  if (!first.isClosedUnder) return first
  const second = await send({ ...ask, agent: undefined })
  return { ...second, isSentAgain: true }
}

interface Attempt extends Outcome {
  /** Whether a kept connection ended before the first byte of an answer. */
  readonly isClosedUnder: boolean
}

function send({ url, body, agent, timeoutMs }: Ask): Promise<Attempt> {
  const { promise, resolve } = Promise.withResolvers<Attempt>()
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const sent = request(url, { method: 'POST', headers, ...(agent === undefined ? { agent: false } : { agent }) })
  const finish = (failure: Failure | undefined, detail = '', release = '', isClosedUnder = false) => {
    clearTimeout(timer)
    resolve({ failure, detail, release, isSentAgain: false, isClosedUnder })
  }
  const timer = setTimeout(() => {
    finish('timeout', `no answer in ${timeoutMs} ms`)
    sent.destroy()
  }, timeoutMs)
  sent.on('error', (error: NodeJS.ErrnoException) => {
    const failure = failureOf(sent, error)
    finish(failure, error.message, '', sent.reusedSocket && failure.startsWith('reset'))
  })
  sent.on('response', response => take(response, body, finish))
  sent.end(body)
  return promise
}

function failureOf(sent: ClientRequest, { code }: NodeJS.ErrnoException): Failure {
  if (code === 'ECONNREFUSED') return 'refused'
  // A socket that is still connecting has sent nothing.
  return sent.socket === null || sent.socket.connecting ? 'reset before it was sent' : 'reset after it was sent'
}

function take(response: IncomingMessage, expected: string, finish: (failure?: Failure, detail?: string, release?: string) => void): void {
  const release = String(response.headers[RELEASE_HEADER] ?? '')
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    text += chunk
  })
  response.on('error', error => finish('cut off', error.message, release))
  response.on('end', () => {
    // A load that was late sends much at once, and a base may refuse that at any other time too.
    if (text.includes('"SCENE_OVERLOADED"')) finish('overloaded', text.slice(0, 300), release)
    else if (response.statusCode !== 200) finish('error status', `${response.statusCode} ${text.slice(0, 300)}`, release)
    else if (text !== expected) finish('wrong answer', `${text.slice(0, 150)} instead of ${expected.slice(0, 150)}`, release)
    else finish(undefined, '', release)
  })
}
