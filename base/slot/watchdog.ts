/**
 * Watches the code of a slot and says when it has to be killed. Three things can go wrong. A request that is seen running uses too much CPU.
 * Code of which nobody knows the request, after an `await` or in a timer, keeps the isolate's thread: this is found by a probe, a call that the
 * isolate answers as soon as its thread is free. Or what answered requests have left behind, an interval for example, uses too much over time.
 */
import { limits } from '../kernel/limits.ts'
import { TokenBucket } from '../traffic/admission.ts'
import type { CpuClock } from './cpu-clock.ts'
import type { Pending, SlotCall } from './slot-call.ts'

/** What the watchdog reads of its slot. */
export interface WatchedSlot {
  /** The request whose code runs now, as far as that is known and it has no answer of the slot yet. */
  current(): Pending | undefined
  /** Which run of a request it is that runs now, or was the last; see `CURSOR.run`. */
  run(): number
  /** Whether the isolate has been called and has not come back. */
  isRunning(): boolean
  /** Requests that have been answered. */
  settled(): number
  /** Requests that have no answer yet. */
  pending(): number
  /** Requests that wait for something outside of the isolate. */
  waiting(): Iterable<Pending>
  /** Milliseconds for which timers ran that answered requests have left behind. */
  leftMs(): number
  /** Calls into the isolate, and resolves when it has answered. Rejects when the isolate ends first. */
  probe(): Promise<unknown>
}

/** A run of a request, and the CPU of the slot when it was seen first. */
interface Seen {
  readonly run: number
  readonly cpuMs: number
}

/** A probe without an answer. */
interface Probe {
  /** When the slot last gave a sign that it gets on, by `performance.now()`, and what it had settled and used by then. */
  readonly since: number
  readonly settled: number
  readonly cpuMs: number
  /** Milliseconds of CPU that the slot may use from then on without another sign. */
  readonly cpuMsMax: number
}

/** What a slot may use outside of requests. */
const outside = { perSecond: limits.slot.outsideCpuMsPerSecond, capacity: limits.slot.outsideCpuMsMax }
/** Looks after the last request for which the slot still counts as busy with it: what it used is read some milliseconds late. */
const LOOKS_AFTER_REQUEST = 2

export class Watchdog {
  readonly #slot: WatchedSlot
  readonly #cpu: Pick<CpuClock, 'readMs'>
  readonly #outside = new TokenBucket(outside.capacity, performance.now())
  /** What the slot had used, left behind and settled at the last look. */
  #usedMs: number
  #leftMs = 0
  #settled = 0
  #looksSinceRequest = 0
  #seen: Seen | undefined
  /** While there is one, the slot is unresponsive. */
  #probe: Probe | undefined

  constructor(slot: WatchedSlot, cpu: Pick<CpuClock, 'readMs'>) {
    this.#slot = slot
    this.#cpu = cpu
    this.#usedMs = cpu.readMs()
  }

  /**
   * Looks at the slot once. To be called every `limits.slot.watchdogTickMs`.
   * @param now by `performance.now()`
   * @returns why the slot has to be killed, if it has to
   */
  look(now: number): string | undefined {
    const overrun = this.#lookAtRequest(now) ?? this.#lookOutsideRequests(now)
    if (overrun !== undefined) return overrun
    // A timer, or what an answered request left behind, may loop, even in front of turns that were sent.
    if (this.#slot.isRunning() && this.#slot.current() === undefined) this.expectSign(this.#cpuMsOfWaiting())
    return this.#probe && this.#lookAtProbe(this.#probe, now)
  }

  /** Whether nothing is left to look at when the slot has nothing to do: no probe is open, and what requests used is on their account. */
  get isAtRest(): boolean {
    return this.#probe === undefined && this.#looksSinceRequest >= LOOKS_AFTER_REQUEST
  }

  /** Probes the slot, which may use so many milliseconds of CPU before it gives a sign. */
  expectSign(cpuMsMax: number): void {
    if (this.#probe !== undefined) {
      if (cpuMsMax < this.#probe.cpuMsMax) this.#probe = { ...this.#probe, cpuMsMax }
      return
    }
    this.#probe = { since: performance.now(), settled: this.#slot.settled(), cpuMs: this.#cpu.readMs(), cpuMsMax }
    this.#slot.probe().then(
      () => {
        this.#probe = undefined
      },
      () => undefined, // The isolate has been disposed of. Whoever did that has answered the requests.
    )
  }

  /** Forgets what was used so far: it was used by something that is on no request's account. */
  startAfresh(): void {
    this.#seen = undefined
    this.#usedMs = this.#cpu.readMs()
    if (this.#probe !== undefined) this.#probe = { ...this.#probe, since: performance.now(), cpuMs: this.#cpu.readMs() }
  }

  #lookAtRequest(now: number): string | undefined {
    const current = this.#slot.current()
    const run = this.#slot.run()
    if (current === undefined || this.#seen?.run !== run) {
      this.#seen = current && { run, cpuMs: this.#cpu.readMs() }
      return undefined
    }
    const { cpuMs, deadlineAt } = current.call
    const { unresponsiveMsMax } = limits.slot
    const usedMs = this.#cpu.readMs() - this.#seen.cpuMs
    if (usedMs > cpuMs) return overCpu(current.call)
    const isStuck = current.done && now > deadlineAt + unresponsiveMsMax && usedMs > unresponsiveMsMax / 2
    return isStuck ? 'stuck past the deadline of a request' : undefined
  }

  /**
   * Charges what ran while no request was in the slot, and timers that answered requests have left behind. What goes on after an `await` while
   * a request waits counts as the work of that request.
   */
  #lookOutsideRequests(now: number): string | undefined {
    const [ranMs, leftMs] = this.#sinceLastLook()
    const settled = this.#slot.settled()
    const hadRequest = this.#slot.pending() > 0 || settled !== this.#settled
    this.#settled = settled
    this.#looksSinceRequest = hadRequest ? 0 : this.#looksSinceRequest + 1
    if (ranMs === 0) return undefined
    this.#outside.spend(this.#looksSinceRequest < LOOKS_AFTER_REQUEST ? Math.min(ranMs, leftMs) : ranMs)
    if (this.#outside.fill(outside, now) >= 0) return undefined
    return `its timers and promises used over ${outside.perSecond} ms of CPU a second outside of requests, after ${outside.capacity} ms at once`
  }

  /** Milliseconds of CPU that the slot has used since the last look, and for which what was left behind has run. */
  #sinceLastLook(): [ranMs: number, leftMs: number] {
    const [usedMs, leftMs] = [this.#cpu.readMs(), this.#slot.leftMs()]
    const since: [number, number] = [usedMs - this.#usedMs, leftMs - this.#leftMs]
    this.#usedMs = usedMs
    this.#leftMs = leftMs
    return since
  }

  /** A slot that waits for its turn on a busy machine uses no CPU: only one that uses CPU and settles nothing is stuck. */
  #lookAtProbe(probe: Probe, now: number): string | undefined {
    // A request that is seen running has bounds of its own.
    if (probe.settled !== this.#slot.settled() || this.#slot.current() !== undefined) {
      this.#probe = { ...probe, since: now, settled: this.#slot.settled(), cpuMs: this.#cpu.readMs() }
      return undefined
    }
    const isStuck = now - probe.since >= limits.slot.unresponsiveMsMax && this.#cpu.readMs() - probe.cpuMs >= probe.cpuMsMax
    if (!isStuck) return undefined
    const usedMs = Math.round(this.#cpu.readMs() - probe.cpuMs)
    return `code after an "await", in a promise reaction or in a timer used ${usedMs} ms of CPU without coming to an end`
  }

  /** Milliseconds of CPU that a waiting request may use when it goes on. */
  #cpuMsOfWaiting(): number {
    let most: number = limits.slot.idleCpuMsMax
    for (const { call } of this.#slot.waiting()) most = Math.max(most, call.cpuMs)
    return most
  }
}

/** Names the limit, so that whoever reads it knows what to change. */
function overCpu({ cpuMs, deadlineMs, chain }: SlotCall): string {
  const part = deadlineMs !== undefined && cpuMs === deadlineMs / 4 ? `, a quarter of its deadline of ${deadlineMs} ms` : ''
  return `over the limit traffic.cpuMs of scene "${chain.at(-1)}"${part}: a request used more than ${cpuMs} ms of CPU`
}
