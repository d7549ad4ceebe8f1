/**
 * Watches the code of a slot and says when it has to be killed. Two things can go wrong. A request that is seen running uses too much CPU;
 * or code that no request is seen to run, after an `await` or in a timer, keeps the isolate's thread. The second is found by a probe: a
 * call that the isolate answers as soon as its thread is free.
 */
import { limits } from '../kernel/limits.ts'
import type { CpuClock, CpuMark } from './cpu-clock.ts'
import type { Pending } from './slot-call.ts'

/** What the watchdog reads of its slot. */
export interface WatchedSlot {
  /** The request whose synchronous code runs now. */
  current(): Pending | undefined
  /** Whether the isolate has been called and has not come back. */
  isRunning(): boolean
  /** Requests that have been answered. */
  settled(): number
  /** Requests that wait for something outside of the isolate. */
  waiting(): Iterable<Pending>
  /** Calls into the isolate, and resolves when it has answered. Rejects when the isolate ends first. */
  probe(): Promise<unknown>
}

/** A request that was seen running, and the CPU times when it was seen first. */
interface Seen {
  readonly no: number
  readonly cpu: CpuMark
}

/** A probe without an answer. */
interface Probe {
  /** When the slot last gave a sign that it gets on, by `performance.now()`, and what it had settled and used by then. */
  readonly since: number
  readonly settled: number
  readonly cpu: CpuMark
  /** Milliseconds of CPU that the slot may use from then on without another sign. */
  readonly cpuMsMax: number
}

export class Watchdog {
  readonly #slot: WatchedSlot
  readonly #cpu: Pick<CpuClock, 'mark' | 'usedMs'>
  #seen: Seen | undefined
  /** While there is one, the slot is unresponsive. */
  #probe: Probe | undefined

  constructor(slot: WatchedSlot, cpu: Pick<CpuClock, 'mark' | 'usedMs'>) {
    this.#slot = slot
    this.#cpu = cpu
  }

  /**
   * Looks at the slot once. To be called every `limits.slot.watchdogTickMs`.
   * @param now by `performance.now()`
   * @returns why the slot has to be killed, if it has to
   */
  look(now: number): string | undefined {
    const overrun = this.#lookAtRequest(now)
    if (overrun !== undefined) return overrun
    // A timer, or what an answered request left behind, may loop, even in front of turns that were sent.
    if (this.#slot.isRunning() && this.#slot.current() === undefined) this.expectSign(this.#cpuMsOfWaiting())
    return this.#probe && this.#lookAtProbe(this.#probe, now)
  }

  /** Probes the slot, which may use so many milliseconds of CPU before it gives a sign. */
  expectSign(cpuMsMax: number): void {
    if (this.#probe !== undefined) {
      if (cpuMsMax < this.#probe.cpuMsMax) this.#probe = { ...this.#probe, cpuMsMax }
      return
    }
    this.#probe = { since: performance.now(), settled: this.#slot.settled(), cpu: this.#cpu.mark(), cpuMsMax }
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
    if (this.#probe !== undefined) this.#probe = { ...this.#probe, since: performance.now(), cpu: this.#cpu.mark() }
  }

  #lookAtRequest(now: number): string | undefined {
    const current = this.#slot.current()
    if (current === undefined || this.#seen?.no !== current.no) {
      this.#seen = current && { no: current.no, cpu: this.#cpu.mark() }
      return undefined
    }
    const { cpuMs, deadlineAt } = current.call
    const { unresponsiveMsMax } = limits.slot
    const usedMs = this.#cpu.usedMs(this.#seen.cpu)
    if (usedMs > cpuMs) return `a request used more than ${cpuMs} ms of CPU`
    const isStuck = current.done && now > deadlineAt + unresponsiveMsMax && usedMs > unresponsiveMsMax / 2
    return isStuck ? 'stuck past the deadline of a request' : undefined
  }

  /** A slot that waits for its turn on a busy machine uses no CPU: only one that uses CPU and settles nothing is stuck. */
  #lookAtProbe(probe: Probe, now: number): string | undefined {
    // A request that is seen running has bounds of its own.
    if (probe.settled !== this.#slot.settled() || this.#slot.current() !== undefined) {
      this.#probe = { ...probe, since: now, settled: this.#slot.settled(), cpu: this.#cpu.mark() }
      return undefined
    }
    const isStuck = now - probe.since >= limits.slot.unresponsiveMsMax && this.#cpu.usedMs(probe.cpu) >= probe.cpuMsMax
    return isStuck ? 'stuck in code that no request is seen to run' : undefined
  }

  /** Milliseconds of CPU that a waiting request may use when it goes on. */
  #cpuMsOfWaiting(): number {
    let most: number = limits.slot.idleCpuMsMax
    for (const { call } of this.#slot.waiting()) most = Math.max(most, call.cpuMs)
    return most
  }
}
