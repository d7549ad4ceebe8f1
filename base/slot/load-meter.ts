/** How much CPU loads use. Several run at once, and none may be charged for what the others use. */
import type ivm from 'isolated-vm'
import { limits } from '../kernel/limits.ts'
import { CpuClock } from './cpu-clock.ts'

/** The loads that run in this process. */
const running = new Set<LoadMeter>()
let ticks: NodeJS.Timeout | undefined
let readUs = 0

/** Microseconds of CPU that all threads of this process have used. */
export function processCpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/**
 * Measures a load from its making until `stop`. While the code of an isolate runs, only the time that has passed can be read of it, which is more than
 * its CPU on a busy machine. So a load is charged that time, but at most an equal share of the CPU that the process has used meanwhile. A load that gets
 * less than its share is charged too little at first, and pays when the others have ended.
 */
export class LoadMeter {
  readonly #clock: CpuClock
  readonly #onUse: (usedMs: number) => void
  #readNs: bigint
  #usedMs = 0

  /** @param onUse is called every `limits.slot.watchdogTickMs` */
  constructor(isolate: ivm.Isolate, onUse: (usedMs: number) => void) {
    this.#clock = new CpuClock(isolate)
    this.#readNs = this.#clock.readNs()
    this.#onUse = onUse
    if (running.size === 0) {
      readUs = processCpuUs()
      ticks = setInterval(chargeAll, limits.slot.watchdogTickMs)
    }
    running.add(this)
  }

  /** Milliseconds of CPU. */
  get usedMs(): number {
    return this.#usedMs
  }

  /** Idempotent. */
  stop(): void {
    running.delete(this)
    if (running.size === 0) clearInterval(ticks)
  }

  charge(shareMs: number): void {
    const ns = this.#clock.readNs()
    this.#usedMs += Math.min(Number(ns - this.#readNs) / 1e6, shareMs)
    this.#readNs = ns
    this.#onUse(this.#usedMs)
  }
}

function chargeAll(): void {
  const us = processCpuUs()
  const shareMs = (us - readUs) / 1e3 / running.size
  readUs = us
  for (const meter of [...running]) meter.charge(shareMs)
}
