/** Runs a bounded number of jobs at once, in an order in which nobody waits long for the jobs of somebody else. */

export interface QueueRules {
  /** Jobs that run at once. */
  readonly lanes: number
  /** Jobs of one owner that run at once. */
  readonly lanesPerOwner: number
  /** Lanes that are kept for urgent jobs. @default 0 */
  readonly lanesForUrgent?: number
  /**
   * A job that runs for longer than `msMax` milliseconds gives up its lane and runs on beside the lanes. At most `jobsMax` jobs do so; any more
   * keep their lanes. @default every job keeps its lane until it ends
   */
  readonly overtime?: { readonly msMax: number; readonly jobsMax: number }
}

export interface Job<T> {
  /** How the work ended. */
  readonly done: Promise<T>
  /** Resolves when the work has ended, or has run into overtime. */
  readonly awaited: Promise<unknown>
  /** Makes the job urgent. */
  hurry(): void
}

interface Entry {
  readonly owner: string
  isUrgent: boolean
  isOvertime: boolean
  run(): void
}

/** Urgent jobs go first. Among equals the turn is that of the owner who has waited longest since a job of his was started. */
export class FairQueue {
  readonly #rules: QueueRules
  /** In the order they came. */
  readonly #waiting = new Set<Entry>()
  readonly #running = new Set<Entry>()
  /** When a job of an owner was last started, as a count of starts; of owners who have jobs here. */
  readonly #lastStarts = new Map<string, number>()
  #starts = 0

  constructor(rules: QueueRules) {
    this.#rules = rules
  }

  /** Jobs that run now. */
  get running(): number {
    return this.#running.size
  }

  /**
   * @param work is called once it is its turn
   * @param after the job takes no turn before this has resolved, and holds up nobody meanwhile
   */
  add<T>(owner: string, isUrgent: boolean, work: () => Promise<T>, after?: Promise<void>): Job<T> {
    const done = Promise.withResolvers<T>()
    const awaited = Promise.withResolvers<void>()
    const entry: Entry = {
      owner,
      isUrgent,
      isOvertime: false,
      run: () => {
        const timer = this.#startOvertime(entry, awaited.resolve)
        work()
          .finally(() => {
            clearTimeout(timer)
            this.#end(entry)
          })
          .then(done.resolve, done.reject)
      },
    }
    const hurry = () => {
      entry.isUrgent = true
      this.#startJobs()
    }
    // Whoever does not wait for the end of a job need not handle its failure.
    done.promise.then(() => awaited.resolve(), awaited.resolve)
    const wait = () => {
      this.#waiting.add(entry)
      this.#startJobs()
    }
    if (after === undefined) wait()
    else after.then(wait)
    return { done: done.promise, awaited: awaited.promise, hurry }
  }

  #startOvertime(entry: Entry, onOvertime: () => void): NodeJS.Timeout | undefined {
    const { overtime } = this.#rules
    if (overtime === undefined) return undefined
    const begin = () => {
      entry.isOvertime = true
      onOvertime()
      this.#startJobs()
    }
    return setTimeout(begin, overtime.msMax)
  }

  #end(entry: Entry): void {
    this.#running.delete(entry)
    const { owner } = entry
    if (![...this.#running, ...this.#waiting].some(other => other.owner === owner)) this.#lastStarts.delete(owner)
    this.#startJobs()
  }

  #startJobs(): void {
    for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
      this.#waiting.delete(entry)
      this.#running.add(entry)
      this.#lastStarts.set(entry.owner, ++this.#starts)
      entry.run()
    }
  }

  #next(): Entry | undefined {
    const { lanes, lanesPerOwner, lanesForUrgent = 0 } = this.#rules
    const free = lanes - this.#lanesInUse
    if (free <= 0 || this.#waiting.size === 0) return undefined
    const running = Map.groupBy(this.#running, ({ owner }) => owner)
    let best: Entry | undefined
    for (const entry of this.#waiting) {
      const mayStart = (entry.isUrgent || free > lanesForUrgent) && (running.get(entry.owner)?.length ?? 0) < lanesPerOwner
      if (mayStart && (best === undefined || this.#goesBefore(entry, best))) best = entry
    }
    return best
  }

  get #lanesInUse(): number {
    let overtime = 0
    for (const { isOvertime } of this.#running) if (isOvertime) overtime++
    return this.#running.size - Math.min(overtime, this.#rules.overtime?.jobsMax ?? 0)
  }

  /** @param other came earlier */
  #goesBefore(entry: Entry, other: Entry): boolean {
    if (entry.isUrgent !== other.isUrgent) return entry.isUrgent
    return (this.#lastStarts.get(entry.owner) ?? 0) < (this.#lastStarts.get(other.owner) ?? 0)
  }
}
