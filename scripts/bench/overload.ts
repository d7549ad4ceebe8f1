/**
 * `npm run bench:overload`: what a base of one cell still answers when it is sent five times what it can, and how fast it refuses the rest.
 *
 * First the peak, closed loop: as many connections as keep the cell busy. Then open loop at a multiple of that: requests leave at their
 * time whether or not earlier ones were answered, each on a connection that is free, or a new one. Latencies run from the moment a request is
 * written. The load comes from this process and shares the cores with the base.
 */
import { connect, type Socket } from 'node:net'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { launchBase, makeScene, type RunningBase } from '../../test/support/base.ts'
import { median } from './median.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    factor: { type: 'string', default: '5' },
    /** Iterations of the handler's loop; 250,000 are about a millisecond. */
    work: { type: 'string', default: '500000' },
    deadline: { type: 'string', default: '1000' },
    /** Connections at the peak, and the most at overload. */
    connections: { type: 'string', default: '32' },
    'connections-max': { type: 'string', default: '2000' },
  },
})
const [seconds, rounds, factor] = [Number(values.seconds), Number(values.rounds), Number(values.factor)]
const [connections, connectionsMax] = [Number(values.connections), Number(values['connections-max'])]

interface Sample {
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

interface Run {
  readonly seconds: number
  readonly sent: number
  /** Requests that were due and had no connection to leave on. */
  readonly held: number
  readonly samples: readonly Sample[]
}

class Load {
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
  async closed(count: number, ms: number): Promise<Run> {
    this.#onFree = () => this.#send(count)
    for (let i = 0; i < count; i++) this.#send(count)
    await sleep(ms)
    this.#onFree = undefined
    return this.#end(ms, 0)
  }

  /** Sends so many a second. */
  async open(perSecond: number, ms: number): Promise<Run> {
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

  async #end(ms: number, held: number): Promise<Run> {
    const run = { seconds: ms / 1000, sent: this.#sent, held, samples: [...this.#samples] }
    for (const connection of this.#all) connection.close()
    return run
  }
}

/** Latencies of a probe that goes on while the cell is overloaded. */
async function probe(url: string, running: () => boolean): Promise<number> {
  let slowest = 0
  while (running()) {
    const start = performance.now()
    const { ok } = await fetch(`${url}/healthz`)
    if (!ok) throw new Error('The health probe was refused')
    await sleep(100)
    slowest = Math.max(slowest, performance.now() - start - 100)
  }
  return slowest
}

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

function quantile(samples: readonly Sample[], q: number): number {
  const sorted = samples.map(sample => sample.ms).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

const isRefusal = ({ status }: Sample) => status === 429 || status === 503
const goodput = (run: Run) => run.samples.filter(sample => sample.status === 200).length / run.seconds

async function round(base: RunningBase, body: string): Promise<{ ratio: number; refusedP99: number }> {
  const peak = await new Load(base.url, 'work', body).closed(connections, seconds * 1000)
  const peakRate = goodput(peak)
  console.log(`peak: ${peakRate.toFixed(0)} req/s on ${connections} connections, p99 ${quantile(peak.samples, 0.99).toFixed(1)} ms`)
  let running = true
  const probing = probe(base.url, () => running)
  const over = await new Load(base.url, 'work', body).open(peakRate * factor, seconds * 1000)
  running = false
  const [answered, refused] = [over.samples.filter(sample => sample.status === 200), over.samples.filter(isRefusal)]
  const others = over.samples.length - answered.length - refused.length
  const ratio = goodput(over) / peakRate
  console.log(
    `sent: ${(over.sent / over.seconds).toFixed(0)} req/s, ${(over.sent / over.seconds / peakRate).toFixed(1)} times the peak; ${over.held} held back by the load itself`,
  )
  console.log(`goodput: ${goodput(over).toFixed(0)} req/s, ${ratio.toFixed(2)} of the peak, p99 ${quantile(answered, 0.99).toFixed(1)} ms`)
  console.log(
    `refused: ${refused.length}, p50 ${quantile(refused, 0.5).toFixed(1)} ms, p99 ${quantile(refused, 0.99).toFixed(1)} ms, max ${quantile(refused, 1).toFixed(1)} ms`,
  )
  console.log(`other answers: ${others}; slowest health probe: ${(await probing).toFixed(1)} ms`)
  return { ratio, refusedP99: quantile(refused, 0.99) }
}

const base = await launchBase({ cells: 1, args: ['--log-level', 'info'] })
try {
  const body = JSON.stringify({ items: Array.from({ length: 50 }, (_, i) => ({ id: `item-${i}`, score: i / 50 })) })
  const work = `x => { let sum = 0; for (let i = 0; i < ${Number(values.work)}; i++) sum += Math.sqrt(i); return { sum, items: x.items.length } }`
  const traffic = { unit: { header: 'x-unit-id' }, deadlineMs: Number(values.deadline), spec: { memoryMB: 256 } }
  await makeScene(base.client, 'work', { rank: work }, { traffic })
  console.log(
    `${rounds} rounds of ${seconds} s each at the peak and at ${factor} times that; one cell, a loop of ${values.work} steps per request, body ${body.length} bytes, deadline ${values.deadline} ms, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}`,
  )
  // Refusing has to warm up too.
  const warm = await new Load(base.url, 'work', body).closed(connections, 1000)
  await new Load(base.url, 'work', body).open(goodput(warm) * factor, 1000)
  const results: { ratio: number; refusedP99: number }[] = []
  for (let i = 0; i < rounds; i++) results.push(await round(base, body))
  console.log(
    `Overloaded ${factor} times: goodput ${median(results.map(({ ratio }) => ratio)).toFixed(2)} of the peak, refusals in ${median(results.map(({ refusedP99 }) => refusedP99)).toFixed(1)} ms at p99`,
  )
} finally {
  await base.kill()
}
