/** Sends floods: more requests than a base can take. Sending has to be cheap, because this process must not become the bottleneck. */
import { connect, type Socket } from 'node:net'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'

export interface Sample {
  /** The HTTP status, or 0 when the connection broke or was closed before the answer was whole. */
  readonly status: number
  /** Since the request was written. */
  readonly ms: number
  /** Since it should have been written: more than `ms` when the flood itself was late. */
  readonly dueMs: number
}

/** One keep-alive connection with at most one request under way. To be cheap, it implements only as much of HTTP as it needs. */
class Connection {
  readonly #socket: Socket
  readonly #done: (connection: Connection, sample: Sample) => void
  readonly #lost: (connection: Connection) => void
  #sentAt = 0
  #dueAt = 0
  #underWay = false
  #received = ''
  /** Whether the base has announced that it closes the connection, which it does from time to time to spread connections over cells. */
  closing = false

  /** @param lost is called when the other side closes the connection while no request is under way */
  constructor(port: number, done: (connection: Connection, sample: Sample) => void, lost: (connection: Connection) => void) {
    this.#done = done
    this.#lost = lost
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => this.#take(text))
    // The event `close` follows an error, and is handled.
    this.#socket.on('error', () => undefined)
    this.#socket.once('close', () => this.#closed())
  }

  send(request: string, dueAt: number): void {
    this.#sentAt = performance.now()
    this.#dueAt = dueAt
    this.#underWay = true
    this.#socket.write(request)
  }

  /** Closes the connection and gives up the request on it. */
  close(): void {
    this.#underWay = false
    this.#socket.destroy()
  }

  #closed(): void {
    this.closing = true
    if (this.#underWay) this.#finish(0)
    else this.#lost(this)
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
    this.#underWay = false
    const now = performance.now()
    this.#done(this, { status, ms: now - this.#sentAt, dueMs: now - this.#dueAt })
  }
}

export interface FloodRun {
  readonly seconds: number
  readonly sent: number
  /** How many requests were due but could not be sent, because no connection was free. */
  readonly held: number
  readonly samples: readonly Sample[]
  /** How many requests were sent but had no answer when the flood was over. */
  readonly unanswered: number
}

export type Pace = 'even' | 'by millisecond'

/** Sends requests of one kind to one scene, in a closed or an open loop. An object can be used for one flood only. */
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

  /** Closed loop: sends the next request as soon as one is answered, on `count` connections. */
  async closed(count: number, ms: number): Promise<FloodRun> {
    const send = () => void this.#send(count, performance.now())
    this.#onFree = send
    for (let i = 0; i < count; i++) send()
    await sleep(ms)
    this.#onFree = undefined
    return this.#end(ms, 0)
  }

  /**
   * Open loop: sends `perSecond` requests a second whether or not they are answered, on as many connections as that takes, up to a bound.
   * @param answerMsMax how long to wait for outstanding answers after the last request was sent
   * @param pace `even` sends each request when it is due, and needs a processor for that. By millisecond, those of each are due together at its end.
   */
  async open(perSecond: number, ms: number, connectionsMax: number, answerMsMax = 0, pace: Pace = 'by millisecond'): Promise<FloodRun> {
    const start = performance.now()
    const dueAt = (index: number) => {
      const ms = ((index + 1) / perSecond) * 1000
      return pace === 'even' ? ms : Math.ceil(ms)
    }
    let [sent, held] = [0, 0]
    for (let elapsed = 0; elapsed < ms; elapsed = performance.now() - start) {
      for (let dueMs = dueAt(sent); dueMs <= elapsed; dueMs = dueAt(++sent)) if (!this.#send(connectionsMax, start + dueMs)) held++
      await (pace === 'even' ? nextTurn() : sleep(1))
    }
    const sentMs = performance.now() - start
    const end = performance.now() + answerMsMax
    while (this.#unanswered > 0 && performance.now() < end) await sleep(10)
    return this.#end(sentMs, held)
  }

  get #unanswered(): number {
    return this.#sent - this.#samples.length
  }

  #send(most: number, dueAt: number): boolean {
    const connection = this.#free.pop() ?? this.#connect(most)
    if (connection === undefined) return false
    this.#sent++
    connection.send(this.#request, dueAt)
    return true
  }

  #connect(most: number): Connection | undefined {
    if (this.#all.size >= most) return undefined
    const connection = new Connection(
      this.#port,
      (done, sample) => this.#answered(done, sample),
      lost => this.#forget(lost),
    )
    this.#all.add(connection)
    return connection
  }

  #answered(connection: Connection, sample: Sample): void {
    this.#samples.push(sample)
    if (connection.closing) {
      connection.close()
      this.#forget(connection)
    } else this.#free.push(connection)
    this.#onFree?.()
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection)
    const free = this.#free.indexOf(connection)
    if (free >= 0) this.#free.splice(free, 1)
  }

  #end(ms: number, held: number): FloodRun {
    const run = { seconds: ms / 1000, sent: this.#sent, held, samples: [...this.#samples], unanswered: this.#unanswered }
    for (const connection of this.#all) connection.close()
    return run
  }
}
