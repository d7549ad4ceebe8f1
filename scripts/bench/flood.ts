/** Floods: more requests than a base can take, from a process that must not be the one to give in first. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Sample {
  /** 0: its connection broke. */
  readonly status: number
  readonly ms: number
}

/** One keep-alive connection that has one request under way at most. Speaks just enough HTTP to be cheap. */
class Connection {
  readonly #socket: Socket
  readonly #done: (connection: Connection, sample: Sample) => void
  #sentAt = 0
  #received = ''
  /** The base ends a connection now and then, to spread them. */
  closing = false

  constructor(port: number, done: (connection: Connection, sample: Sample) => void) {
    this.#done = done
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => this.#take(text))
    this.#socket.on('error', () => this.#finish(0))
  }

  send(request: string): void {
    this.#sentAt = performance.now()
    this.#socket.write(request)
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(text: string): void {
    this.#received += text
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.#received.slice(0, end).toLowerCase()
    const length = Number(/content-length: (\d+)/.exec(head)?.[1])
    if (this.#received.length < end + 4 + length) return
    this.closing = head.includes('connection: close')
    this.#finish(Number(head.slice(9, 12)))
  }

  #finish(status: number): void {
    this.#received = ''
    if (status === 0) this.closing = true
    this.#done(this, { status, ms: performance.now() - this.#sentAt })
  }
}

export interface FloodRun {
  readonly seconds: number
  readonly sent: number
  /** Requests that were due and had no connection to leave on. */
  readonly held: number
  readonly samples: readonly Sample[]
}

/** Requests of one kind to one scene, as fast as they are answered or whether or not they are. One object is one flood. */
export class Flood {
  readonly #port: number
  readonly #request: string
  readonly #samples: Sample[] = []
  readonly #all = new Set<Connection>()
  readonly #free: Connection[] = []
  #sent = 0
  #onFree: (() => void) | undefined

  constructor(url: string, scene: string, body: string) {
    this.#port = Number(new URL(url).port)
    this.#request = `POST /scenes/${scene} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  }

  /** Sends the next request as soon as one is answered, on so many connections. */
  async closed(count: number, ms: number): Promise<FloodRun> {
    this.#onFree = () => this.#send(count)
    for (let i = 0; i < count; i++) this.#send(count)
    await sleep(ms)
    this.#onFree = undefined
    return this.#end(ms, 0)
  }

  /** Sends so many a second, on as many connections as that takes, up to a bound. */
  async open(perSecond: number, ms: number, connectionsMax: number): Promise<FloodRun> {
    const start = performance.now()
    let [due, held] = [0, 0]
    while (performance.now() - start < ms) {
      const now = Math.floor(((performance.now() - start) / 1000) * perSecond)
      for (; due < now; due++) if (!this.#send(connectionsMax)) held++
      await sleep(1)
    }
    return this.#end(performance.now() - start, held)
  }

  #send(most: number): boolean {
    const connection = this.#free.pop() ?? this.#connect(most)
    if (connection === undefined) return false
    this.#sent++
    connection.send(this.#request)
    return true
  }

  #connect(most: number): Connection | undefined {
    if (this.#all.size >= most) return undefined
    const connection = new Connection(this.#port, (done, sample) => this.#answered(done, sample))
    this.#all.add(connection)
    return connection
  }

  #answered(connection: Connection, sample: Sample): void {
    this.#samples.push(sample)
    if (connection.closing) {
      connection.close()
      this.#all.delete(connection)
    } else this.#free.push(connection)
    this.#onFree?.()
  }

  async #end(ms: number, held: number): Promise<FloodRun> {
    const run = { seconds: ms / 1000, sent: this.#sent, held, samples: [...this.#samples] }
    for (const connection of this.#all) connection.close()
    return run
  }
}
