/**
 * Log lines on their way from a cell to the keeper. They must never hold up a request or grow without bound: the lines of each version have a
 * rate, and all lines together a queue. What does not fit is counted, and a line of its own says how much was dropped. A line leaves the queue
 * when the keeper says that it has kept it. So lines that a keeper had when it was killed go to the next one, and may then be there twice.
 */
import { limits } from '../kernel/limits.ts'
import type { LogRecord } from '../wire/messages.ts'
import type { KeeperLink } from './keeper-link.ts'

type Level = LogRecord['level']

/** How many lines a version has written in the present second, and how many of them were dropped. Errors have a budget of their own, so that many other lines do not hide them. */
interface Budget {
  readonly scene: string
  readonly version: string
  readonly level: Level
  second: number
  count: number
  dropped: number
}

/** Records that were sent together, the oldest first. */
interface Batch {
  readonly id: number
  readonly records: readonly LogRecord[]
  readonly chars: number
}

/** About how many characters a record has beside its texts. */
const RECORD_CHARS = 300

export class LogFeed {
  readonly #link: () => KeeperLink | undefined
  readonly #budgets = new Map<string, Budget>()
  #queue: LogRecord[] = []
  /** Batches that the keeper was sent and has not said to have kept. */
  #sent: Batch[] = []
  #batches = 0
  /** Characters of the records in the queue and in the sent batches. */
  #queuedChars = 0
  #timer: NodeJS.Timeout | undefined
  #onEmpty: () => void = () => undefined

  /** @param link gives the link to the keeper, once there is one */
  constructor(link: () => KeeperLink | undefined) {
    this.#link = link
  }

  /** Whether the version may write one more line in this second. A line that may not be written is counted as dropped: do not push it. */
  admits(scene: string, version: string, level: Level): boolean {
    const budget = this.#budget(scene, version, level)
    const second = Math.floor(performance.now() / 1000)
    if (budget.second !== second) Object.assign(budget, { second, count: 0 })
    const most = level === 'error' ? limits.log.errorsPerSecondMax : limits.log.linesPerSecondMax
    if (++budget.count <= most && this.#queuedChars < limits.log.queueBytesMax) return true
    budget.dropped++
    this.#wake()
    return false
  }

  /** Takes a line that was admitted. */
  push(record: LogRecord): void {
    this.#queue.push(record)
    this.#queuedChars += charsOf(record)
    this.#wake()
  }

  /** Sends a batch of the lines that wait, if the keeper keeps up. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const link = this.#link()
    if (link?.keepsUp) {
      this.#sayDropped()
      if (this.#queue.length > 0) this.#sendBatch(link)
    }
    this.#forgetQuiet()
    if (this.#queue.length > 0 || this.#budgets.size > 0) this.#wake()
  }

  /** Forgets this batch and all before it: the keeper has kept them. */
  kept(batch: number): void {
    while (this.#sent[0] !== undefined && this.#sent[0].id <= batch) this.#queuedChars -= this.#sent.shift()?.chars ?? 0
    if (this.#queuedChars === 0) this.#onEmpty()
  }

  /** Puts what the last keeper did not say to have kept back into the queue, for the next one. */
  sendAgain(): void {
    this.#queue = [...this.unkept]
    this.#sent = []
    if (this.#queue.length > 0) this.#wake()
  }

  /** The lines that no keeper has said to have kept, the oldest first. */
  get unkept(): readonly LogRecord[] {
    return [...this.#sent.flatMap(({ records }) => records), ...this.#queue]
  }

  /** Resolves once the keeper has kept everything. */
  async close(): Promise<void> {
    if (this.#queuedChars === 0) return
    const empty = new Promise<void>(resolve => {
      this.#onEmpty = resolve
    })
    this.flush()
    await empty
  }

  #budget(scene: string, version: string, level: Level): Budget {
    const key = `${scene} ${version} ${level === 'error' ? 'errors' : 'lines'}`
    const known = this.#budgets.get(key)
    if (known !== undefined) return known
    const budget: Budget = { scene, version, level: level === 'error' ? 'error' : 'warn', second: 0, count: 0, dropped: 0 }
    this.#budgets.set(key, budget)
    return budget
  }

  #wake(): void {
    this.#timer ??= setTimeout(() => this.flush(), limits.log.batchMs).unref()
  }

  /** Says how many lines were dropped, once their second is over: so a flood makes one line a second. */
  #sayDropped(): void {
    const second = Math.floor(performance.now() / 1000)
    for (const budget of this.#budgets.values()) {
      if (budget.dropped === 0 || budget.second === second) continue
      const { scene, version, level, dropped } = budget
      const message = `${dropped} ${level === 'error' ? 'errors' : 'lines'} of this version were dropped: it wrote more than is kept`
      budget.dropped = 0
      this.push({ at: new Date().toISOString(), level, scene, version, message, dropped })
    }
  }

  #forgetQuiet(): void {
    const second = Math.floor(performance.now() / 1000)
    for (const [key, budget] of this.#budgets) if (budget.dropped === 0 && budget.second !== second) this.#budgets.delete(key)
  }

  #sendBatch(link: KeeperLink): void {
    let chars = 0
    let end = 0
    for (; end < this.#queue.length && chars < limits.log.batchBytesMax; end++) chars += charsOf(this.#queue[end])
    const batch = { id: ++this.#batches, records: this.#queue.splice(0, end), chars }
    this.#sent.push(batch)
    link.send({ type: 'logs', batch: batch.id, records: batch.records })
  }
}

function charsOf(record: LogRecord | undefined): number {
  if (record === undefined) return 0
  return RECORD_CHARS + record.message.length + (record.fields?.length ?? 0) + (record.stack?.length ?? 0) + (record.frame?.length ?? 0)
}
