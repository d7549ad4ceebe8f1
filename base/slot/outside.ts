/** What the code of a slot has under way outside of its isolate: calls of scenes and services, fetches, timers. */
import { CALL_STRIDE, SETTLED_STRIDE, type ServiceNames } from '../inside/protocol.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { FEATURES } from '../kernel/options.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { Entrance } from './entrance.ts'
import { type FetchCaller, type Incoming, isSafe, type Outgoing } from './fetcher.ts'
import type { Pending, SlotCall } from './slot-call.ts'

/** What calls and fetches are passed on to. */
export interface OutsideHost {
  /** The services that a version may use, as its isolate was given them. */
  servicesOf(plan: SlotPlan): ServiceNames
  /** Serves a `ctx.call`: the answer as JSON. */
  callScene(scene: string, input: string, caller: SlotCall): Promise<string>
  /** Asks a base service: `args` is a JSON array, the answer is JSON. Rejects with a BerthError only. */
  callService(service: string, method: string, args: string, caller: SlotCall): Promise<string>
  /** Sends a request to another host. Rejects with a BerthError only. `signal` aborts it when nobody waits for it any more. */
  fetch(plan: SlotPlan, request: Outgoing, caller: FetchCaller, signal: AbortSignal): Promise<Incoming>
}

/** The slot that asks, and that the answers go back into. */
interface AskingSlot {
  readonly plan: SlotPlan
  /** The request of this number, if it was sent into the isolate and has not been answered. */
  find(no: number): Pending | undefined
  /** All requests that were sent into the isolate and have not been answered. */
  begun(): readonly Pending[]
  /** Runs code inside the isolate that no turn belongs to. Does nothing when the isolate has ended. */
  enter(run: (entrance: Entrance) => Promise<unknown>): void
}

const RERUN = 'the request has been answered before, and runs again for its capsule only'
/** The failure of a fetch whose request has been answered before the fetch got here. */
const REQUEST_GONE = { code: 'FETCH_FAILED', message: 'Cannot fetch: the request has been answered already' }
/**
 * The failure of a fetch that is one too many. Answered requests may have left fetches behind, and the fetches of one version must leave
 * room for other versions.
 */
const FETCHES_FULL = {
  code: 'FETCH_OVERLOADED',
  message: `Cannot fetch: ${limits.fetch.perSlotMax} fetches are under way in the slot already`,
}

export class Outside {
  readonly #slot: AskingSlot
  #host: OutsideHost
  #services: ServiceNames | undefined
  #settlements: (string | number)[] = []
  /** Timers that have not fired. The code inside bounds how many there are. */
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Fetches under way, by call. */
  readonly #fetches = new Map<number, AbortController>()

  constructor(slot: AskingSlot, host: OutsideHost) {
    this.#slot = slot
    this.#host = host
  }

  /** From now on, calls and fetches are passed on to this host. */
  passTo(host: OutsideHost): void {
    this.#host = host
  }

  startTimer(no: number, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#slot.enter(entrance => entrance.fireTimer(no))
    }, delayMs)
    this.#timers.add(timer)
  }

  /** Makes calls of scenes and services: `CALL_STRIDE` values each, as the isolate posts them. */
  call(values: readonly (string | number)[]): void {
    for (let i = 0; i < values.length; i += CALL_STRIDE) {
      const caller = this.#slot.find(values[i + 1] as number)
      // Inside, a request is forgotten once it is answered, so nothing waits for this call any more.
      if (caller !== undefined && !caller.done)
        this.#callOne(caller, values[i] as number, ...(values.slice(i + 2, i + 5) as [string, string, string]))
    }
  }

  #callOne(caller: Pending, callNo: number, service: string, method: string, input: string): void {
    const asked = service === '' ? this.#callScene(caller, method, input) : this.#callService(caller, service, method, input)
    asked.then(
      answer => this.#settleCall(callNo, 1, answer),
      (error: BerthError) => this.#settleCall(callNo, 0, refusalOf(error)),
    )
  }

  /** The isolate was given no other services, but what it asks for may come from a module that has broken the code around it. */
  #callService(caller: Pending, service: string, method: string, input: string): Promise<string> {
    if (service !== FEATURES) {
      caller.calledService = true
      if (caller.call.isRerun) {
        caller.calledOut = true
        return Promise.reject(new BerthError('FORBIDDEN', `Cannot call service "${service.slice(0, 128)}": ${RERUN}`))
      }
    }
    this.#services ??= this.#host.servicesOf(this.#slot.plan)
    if (Object.hasOwn(this.#services, service)) return this.#host.callService(service, method, input, caller.call)
    return Promise.reject(
      new BerthError('SERVICE_NOT_FOUND', `Cannot call service "${service.slice(0, 128)}": no module of this group declares it`),
    )
  }

  #callScene(caller: Pending, scene: string, input: string): Promise<string> {
    caller.calledOut = true
    if (caller.call.isRerun) return Promise.reject(new BerthError('FORBIDDEN', `Cannot call scene "${scene}": ${RERUN}`))
    return this.#host.callScene(scene, input, caller.call)
  }

  /** @param sure is 1 when the request is known to be the one that asks, not only one of those under way */
  fetch(callNo: number, requestNo: number, sure: number, method: string, head: string, body?: string | ArrayBuffer): void {
    const found = this.#slot.find(requestNo)
    if (found === undefined) {
      this.#settleCall(callNo, 0, JSON.stringify(REQUEST_GONE))
      return
    }
    if (this.#fetches.size >= limits.fetch.perSlotMax) {
      this.#settleCall(callNo, 0, JSON.stringify(FETCHES_FULL))
      return
    }
    // When it is not known which request asks, any of them may be the one, so none of them may run again.
    if (!isSafe(method)) {
      const askers = sure === 1 ? [found] : this.#slot.begun()
      for (const pending of askers) pending.calledOut = true
      if (askers.some(({ call }) => call.isRerun)) {
        this.#settleCall(callNo, 0, JSON.stringify({ code: 'FETCH_FORBIDDEN', message: `Cannot fetch: ${RERUN}` }))
        return
      }
    }
    const { deadlineAt, trace } = found.call
    const aborter = new AbortController()
    this.#fetches.set(callNo, aborter)
    const caller = { deadlineAt, trace: sure === 1 ? trace : undefined }
    this.#host.fetch(this.#slot.plan, { method, head, body }, caller, aborter.signal).then(
      answer => this.#settleFetch(callNo, answer),
      (error: BerthError) => {
        this.#fetches.delete(callNo)
        this.#settleCall(callNo, 0, JSON.stringify({ code: error.code, message: error.message }))
      },
    )
  }

  abortFetch(callNo: number): void {
    this.#fetches.get(callNo)?.abort()
  }

  /** Gives up everything that is under way. */
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    for (const aborter of this.#fetches.values()) aborter.abort()
    this.#fetches.clear()
  }

  #settleFetch(callNo: number, { head, body }: Incoming): void {
    this.#fetches.delete(callNo)
    this.#slot.enter(entrance => entrance.settleFetch(callNo, head, body))
  }

  /** Settlements of one turn of our event loop go in together. */
  #settleCall(callNo: number, answered: 0 | 1, text: string): void {
    this.#settlements.push(callNo, answered, text)
    if (this.#settlements.length === SETTLED_STRIDE) setImmediate(() => this.#sendSettlements())
  }

  #sendSettlements(): void {
    const values = this.#settlements
    this.#settlements = []
    this.#slot.enter(entrance => entrance.settleCalls(values))
  }
}

/** JSON of what a module gets to know of a call that failed. */
function refusalOf({ code, message, extra }: BerthError): string {
  const { reason, details, faults } = extra ?? {}
  return JSON.stringify({ code, message, reason, details, faults })
}
