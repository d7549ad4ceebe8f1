/**
 * The process that puts load on a scene. It is an open loop: each request is sent when it is due, whether or not others were answered, and its latency
 * counts from that moment, so that a stall counts for every request that had to wait for it. It ends when it is told to, or when its parent ends.
 */
import { Agent } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { seeded } from '../soak/schedule.ts'
import { type Ask, exchange } from './exchange.ts'
import { type FromLoad, type LoadSettings, type Sample, UNDER_WAY_MAX } from './load.ts'

/** Milliseconds between two reports. */
const REPORT_MS = 200
/** A load that was late sends so many times its rate until it is on time again, rather than all at once: that would be a load of another kind. */
const CATCH_UP = 3
/** Milliseconds between two bursts that count for the size of the next one at most: the system may not let this process run for a while. */
const PAUSE_MS_MAX = 20
/** Characters of a body, beside its id. */
const CHARS_MAX = 1000

/** Milliseconds since 1970, which all processes share, and which no change of the clock moves. */
const now = (): number => performance.timeOrigin + performance.now()

class Load {
  readonly #settings: LoadSettings
  readonly #random: () => number
  // Connections are used in turn, so that each of them meets every moment of an upgrade.
  readonly #agent = new Agent({ keepAlive: true, scheduling: 'fifo', maxFreeSockets: 1024 })
  #samples: Sample[] = []
  /** When the requests under way were due, in that order. */
  readonly #underWay = new Set<number>()
  #isStopping = false

  constructor(settings: LoadSettings) {
    this.#settings = settings
    this.#random = seeded(settings.seed, 'load')
  }

  async run(): Promise<void> {
    // Opens the kept connections: so many requests at once need one each.
    await Promise.all(Array.from({ length: this.#settings.connections }, (_, i) => exchange(this.#ask(`open ${i}`, true))))
    const reports = setInterval(() => this.#report(), REPORT_MS)
    const { rate } = this.#settings
    const startedAt = now()
    let burstAt = startedAt
    for (let sent = 0; !this.#isStopping; await delay(1)) {
      const pauseMs = Math.min(now() - burstAt, PAUSE_MS_MAX)
      burstAt = now()
      const atOnceMax = Math.ceil((rate / 1000) * pauseMs * CATCH_UP)
      // Requests are sent in bursts once a millisecond. A loop that reads the clock without a pause would take a processor from the base.
      const due = Math.min(Math.floor(((now() - startedAt) / 1000) * rate), sent + atOnceMax)
      // A load that is late says so. Without the bound it would take ever more of the machine, and never catch up.
      for (; sent < due && this.#underWay.size < UNDER_WAY_MAX; sent++) void this.#send(sent, startedAt + ((sent + 1) / rate) * 1000)
    }
    while (this.#underWay.size > 0) await delay(5)
    clearInterval(reports)
    this.#report()
    this.#agent.destroy()
  }

  stop(): void {
    this.#isStopping = true
  }

  async #send(no: number, dueAt: number): Promise<void> {
    // One of the two follows the other, so that they are as many in every moment.
    const isKept = no % 2 === 0
    const sentAt = now()
    this.#underWay.add(dueAt)
    const { failure, detail, release, isSentAgain } = await exchange(this.#ask(no, isKept))
    this.#underWay.delete(dueAt)
    this.#samples.push({ dueAt, lagMs: sentAt - dueAt, ms: now() - dueAt, isKept, failure, detail, release, isSentAgain })
  }

  #ask(id: number | string, isKept: boolean): Ask {
    const { url, timeoutMs } = this.#settings
    const body = JSON.stringify({ id, text: 'x'.repeat(Math.floor(this.#random() * CHARS_MAX)) })
    return { url, body, agent: isKept ? this.#agent : undefined, timeoutMs }
  }

  #report(): void {
    const [oldest = now()] = this.#underWay
    const message: FromLoad = { samples: this.#samples, settledTo: oldest }
    this.#samples = []
    process.send?.(message)
  }
}

process.on('disconnect', () => process.exit())
process.once('message', (settings: LoadSettings) => {
  const load = new Load(settings)
  process.once('message', () => load.stop())
  void load.run().then(() => process.exit())
})
