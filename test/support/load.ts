/** Puts steady load on a scene, and counts every answer and every broken connection. Nothing is tried again. */
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

export interface Outcome {
  answered: number
  /** Answers with another status than 200. */
  refused: string[]
  /** Messages of requests whose connection was reset or refused. */
  broken: string[]
}

/** Milliseconds between two requests of a client. With a shorter pause, the load would take the processor from the processes under test. */
const PAUSE_MS = 10
/** The load gives up after so many broken requests. */
const BROKEN_MAX = 1000

export interface Load {
  readonly outcome: Outcome
  /** Ends the load after the requests under way have finished. */
  stop(): Promise<Outcome>
}

/**
 * @param url URL of the scene
 * @param keepAlive true: each client keeps one connection; false: each request has its own
 * @param check whether the body of an answer with status 200 is right
 */
export function startLoad(url: string, clients: number, keepAlive: boolean, check: (body: string) => boolean = () => true): Load {
  const agent = new Agent({ keepAlive, maxSockets: clients })
  const outcome: Outcome = { answered: 0, refused: [], broken: [] }
  let running = true
  const client = async () => {
    // Without this bound, requests to a base that has ended would break as fast as this process can send them.
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
