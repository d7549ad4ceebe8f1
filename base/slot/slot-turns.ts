/**
 * The requests of a slot and the order in which they go through its isolate. A request waits in the queue for a turn; its turn is sent into the isolate; then it is
 * answered, or waits there for something outside of the isolate.
 */
import { ByNumber } from '../inside/by-number.ts'
import { TURNS_IN_FLIGHT } from '../inside/protocol.ts'
import type { Pending } from './slot-call.ts'

/** Requests that are sent into the isolate at once. */
export interface Turn {
  /** The number of the first request. Those after it are numbered without a gap. */
  readonly firstNo: number
  /** Those that are answered, or known to wait, are taken out. */
  readonly requests: (Pending | undefined)[]
  /** How many requests it was sent with, and how many of them are not taken out. */
  readonly size: number
  left: number
}

/** Requests in one turn. This bounds how many answers come out at once. */
const TURN_REQUESTS_MAX = 64

export class Turns {
  readonly #bodyCharsMax: number
  #queue: Pending[] = []
  /** Turns whose report has not come, the oldest first. */
  readonly #sent: Turn[] = []
  /** Requests that wait for something outside of the isolate, by their number. */
  readonly #waiting = new ByNumber<Pending>()
  /** The request that has the slot to itself. */
  #alone: Pending | undefined
  #lastNo = 0

  /** @param bodyCharsMax characters that the bodies of a turn may have together, unless it is a single body */
  constructor(bodyCharsMax: number) {
    this.#bodyCharsMax = bodyCharsMax
  }

  /** Requests that have no answer yet. */
  get pending(): number {
    return this.waitingForThread + this.#waiting.size
  }

  /** Requests that are in the queue or in turns. */
  get waitingForThread(): number {
    let requests = this.#queue.length
    for (const turn of this.#sent) requests += turn.left
    return requests
  }

  /** Whether no turn is in the isolate. */
  get noneSent(): boolean {
    return this.#sent.length === 0
  }

  /** Requests in the queue. */
  get queued(): number {
    return this.#queue.length
  }

  /** Requests that wait for something outside of the isolate. */
  get waiting(): Iterable<Pending> {
    return this.#waiting.values()
  }

  /** Requests that have been sent into the isolate. */
  get begun(): Pending[] {
    return [...this.#waiting.values(), ...this.#sent.flatMap(({ requests }) => requests.filter(request => request !== undefined))]
  }

  push(pending: Pending): void {
    this.#queue.push(pending)
  }

  /**
   * Takes the requests out of the queue that are to go in next, and numbers them.
   * @param most how many of them may go in at once
   * @returns undefined when none may go in at present
   */
  next(most: number, now: number): Turn | undefined {
    if (this.#queue.length === 0 || this.#sent.length >= TURNS_IN_FLIGHT) return undefined
    const requests = this.#take(most)
    if (requests.length === 0) return undefined
    const turn = { firstNo: this.#lastNo + 1, requests, size: requests.length, left: requests.length }
    for (const pending of requests) {
      pending.no = ++this.#lastNo
      pending.sentAt = now
    }
    this.#sent.push(turn)
    return turn
  }

  #take(most: number): Pending[] {
    if (this.#alone !== undefined && !this.#alone.done) return []
    this.#alone = undefined
    if (this.#queue[0]?.alone) {
      if (this.#sent.length + this.#waiting.size > 0) return []
      this.#alone = this.#queue[0]
      return this.#queue.splice(0, 1)
    }
    return this.#queue.splice(0, this.#turnSize(Math.min(TURN_REQUESTS_MAX, most)))
  }

  /** How many requests of the queue go in together: not more than `most`, but one at least; none that runs alone; and no more of their bodies than fit. */
  #turnSize(most: number): number {
    let chars = this.#queue[0]?.call.body.length ?? 0
    for (let size = 1; size < most; size++) {
      const next = this.#queue[size]
      if (next === undefined || next.alone) return size
      chars += next.call.body.length
      if (chars > this.#bodyCharsMax) return size
    }
    return Math.max(1, most)
  }

  /** Takes out a request that the isolate has answered. Returns undefined when there is none of that number. */
  answer(no: number): Pending | undefined {
    const waiting = this.#waiting.get(no)
    if (waiting === undefined) return this.#leaveTurn(no)
    this.#waiting.delete(no)
    return waiting
  }

  /** Notes that a request of a turn waits for something outside of the isolate. Returns it if its caller has been answered meanwhile: then nobody waits for it. */
  wait(no: number): Pending | undefined {
    const pending = this.#leaveTurn(no)
    if (pending === undefined || pending.done) return pending
    this.#waiting.add(no, pending)
    return undefined
  }

  #leaveTurn(no: number): Pending | undefined {
    for (const turn of this.#sent) {
      const at = no - turn.firstNo
      const pending = turn.requests[at]
      if (pending === undefined) continue
      turn.requests[at] = undefined
      turn.left--
      return pending
    }
    return undefined
  }

  /** Takes out a turn that is over. @returns false, and leaves it in, when some of its requests are neither answered nor known to wait */
  end(turn: Turn): boolean {
    if (turn.left > 0) return false
    this.#sent.splice(this.#sent.indexOf(turn), 1)
    return true
  }

  /** The request of that number, if it was sent into the isolate and has not been answered there. */
  find(no: number): Pending | undefined {
    const waiting = this.#waiting.get(no)
    if (waiting !== undefined) return waiting
    for (const { firstNo, requests } of this.#sent) {
      const found = requests[no - firstNo]
      if (found !== undefined) return found
    }
    return undefined
  }

  /**
   * Drops the requests that are over, but those in turns: what becomes of these, the isolate says.
   * @param isOver answers a request that is past its deadline, and says whether it has been answered
   * @param onDropped is called for each that waited for something outside of the isolate
   */
  expire(isOver: (pending: Pending) => boolean, onDropped: (no: number) => void): void {
    if (this.#queue.length > 0) this.#queue = this.#queue.filter(pending => !isOver(pending))
    for (const { requests } of this.#sent) for (const pending of requests) if (pending !== undefined) isOver(pending)
    for (const pending of this.#waiting.values()) {
      if (!isOver(pending)) continue
      this.#waiting.delete(pending.no)
      onDropped(pending.no)
    }
  }

  /** Takes out all requests, those that were sent into the isolate first. */
  takeAll(): Pending[] {
    const all = [...this.begun, ...this.#queue]
    this.#queue = []
    this.#sent.length = 0
    this.#waiting.clear()
    return all
  }
}
