/** Steady load on a scene that counts every answer and every broken connection. Nothing is tried again. */
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

export interface Outcome {
  answered: number
  /** Answers with another status than 200. */
  refused: string[]
  /** Requests that broke: resets, refused connections. */
  broken: string[]
}

/** Between two requests of a client: flat out they would leave no processor for the processes whose coming and going is tested. */
const PAUSE_MS = 3
/** Broken requests after which load gives up. */
const BROKEN_MAX = 1000

export interface Load {
  readonly outcome: Outcome
  /** Lets what is under way finish. */
  stop(): Promise<Outcome>
}

/**
 * @param url of the scene
 * @param keepAlive one connection per client kept for its requests, else a connection each
 * @param check of a 200's body, for what it should be
 */
export function startLoad(url: string, clients: number, keepAlive: boolean, check: (body: string) => boolean = () => true): Load {
  const agent = new Agent({ keepAlive, maxSockets: clients })
  const outcome: Outcome = { answered: 0, refused: [], broken: [] }
  let running = true
  const client = async () => {
    // Against a base that is gone requests break at once, as fast as this process can send them.
    while (running && outcome.broken.length < BROKEN_MAX) {
      await send(url, agent, outcome, check)
      await delay(PAUSE_MS)
    }
  }
  const all = Promise.all(Array.from({ length: clients }, client))
  return {
    outcome,
    stop: async () => {
      running = false
      await all
      agent.destroy()
      return outcome
    },
  }
}

function send(url: string, agent: Agent, outcome: Outcome, check: (body: string) => boolean): Promise<void> {
  return new Promise(resolve => {
    const sent = request(url, { method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': 7 } }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => {
        if (response.statusCode === 200 && check(body)) outcome.answered++
        else outcome.refused.push(`${response.statusCode} ${body}`)
        resolve()
      })
      response.on('error', error => broke(error))
    })
    const broke = (error: Error) => {
      outcome.broken.push(error.message)
      resolve()
    }
    sent.on('error', broke)
    sent.end('{"a":1}')
  })
}
