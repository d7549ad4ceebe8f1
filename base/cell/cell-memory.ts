/**
 * How much memory a cell uses of what it may, and which of its slots is to go before the supervisor ends the whole cell.
 *
 * The heap limit of an isolate bounds what it keeps. It does not bound what it takes for a moment: V8 lets a heap that is full grow by up to a
 * gigabyte before it gives up, and one long string or array is half of that. Nobody can look into a heap while code runs in it, so what is
 * looked at is the resident memory of the process: by how much it grows while a slot runs is what that slot may have taken.
 */
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'

const { memoryShortShare, memoryKillShare, slotGrowthShare, besideGrowthShare, killedMemoryMs, evictedMemoryMs, grownMs } = limits.cell
const MB = 2 ** 20

/** What the memory watch needs of a slot. */
export interface GrowingSlot {
  readonly plan: Pick<SlotPlan, 'key' | 'memoryMB'>
  killForMemory(reason: string): void
}

interface RunningSlot {
  readonly slot: GrowingSlot
  /** Bytes by which the process has grown on its account since it began. */
  bytes: number
}

export interface MemorySource {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /** Bytes of resident memory. */
  rss(): number
}

const ofProcess: MemorySource = { now: () => performance.now(), rss: () => process.memoryUsage.rss() }

export class CellMemory {
  readonly #bytesMax: number
  readonly #source: MemorySource
  /** Resident memory when it was read last; and at the last look, if slots ran then. */
  #rssBytes = 0
  #lookedBytes: number | undefined
  /** The slots that run code. A list, since V8 keeps old tables of a map that entries come to and go from, with what was in them. */
  readonly #running: RunningSlot[] = []
  /** Versions that have grown beyond their limit, by the key of their plan: when they did last, and by how many bytes then. */
  readonly #grown = new Map<string, { readonly at: number; readonly bytes: number }>()
  #killedAt = -Infinity
  #evictedAt = -Infinity

  constructor(megabytesMax: number, source = ofProcess) {
    this.#bytesMax = megabytesMax * MB
    this.#source = source
  }

  /** Whether idle slots should be let go: memory is short, and not only because what was let go last has not given its memory back yet. */
  get isShort(): boolean {
    const rss = this.#readRss()
    const isFreeing = this.#source.now() - this.#evictedAt < evictedMemoryMs
    return rss > this.#bytesMax * (isFreeing ? memoryKillShare : memoryShortShare)
  }

  /** To be called when slots were let go because memory was short. */
  onEvicted(): void {
    this.#evictedAt = this.#source.now()
  }

  /** Bytes that the cell may use beside what it uses now. Negative when it uses more than it may. */
  get bytesLeft(): number {
    return this.#bytesMax - this.#readRss()
  }

  /** To be called when code of a slot begins to run, and when nothing of it runs any more. */
  onRunning(slot: GrowingSlot, running: boolean): void {
    const index = this.#running.findIndex(known => known.slot === slot)
    if (!running && index >= 0) this.#running.splice(index, 1)
    if (running && index < 0) this.#running.push({ slot, bytes: 0 })
  }

  /**
   * Looks at what runs, and kills a slot when that keeps the cell within its memory. To be called every `limits.slot.watchdogTickMs`; it costs
   * about ten microseconds while slots run, and nothing otherwise.
   */
  look(): void {
    const before = this.#lookedBytes
    this.#lookedBytes = this.#running.length === 0 ? undefined : this.#readRss()
    if (this.#lookedBytes === undefined) return
    if (before !== undefined) this.#attribute((this.#lookedBytes - before) / this.#running.length)
    if (this.#lookedBytes > this.#bytesMax * memoryKillShare) this.#killLargest()
  }

  /**
   * Why a version is to get no work now: it has grown beyond its limit of late, and memory is short or would be soon, since another that takes much
   * is at work.
   */
  refusal({ key }: GrowingSlot['plan']): string | undefined {
    const grown = this.#grown.get(key)
    if (grown === undefined) return undefined
    const took = `it has taken ${Math.round(grown.bytes / MB)} MB in one go of late`
    if (this.#source.now() - grown.at > grownMs) this.#grown.delete(key)
    else if (this.#rssBytes > this.#bytesMax * memoryShortShare) return `its cell is short of memory, and ${took}`
    else if (this.#isHeavy(key) && this.#runsHeavy(key)) return `another version that takes much memory is at work in its cell, and ${took}`
    return undefined
  }

  /** Whether a version has taken so much in one go that others like it must not do so at the same time. */
  #isHeavy(key: string): boolean {
    return (this.#grown.get(key)?.bytes ?? 0) > this.#bytesMax * besideGrowthShare
  }

  #runsHeavy(but: string): boolean {
    return this.#running.some(({ slot: { plan } }) => plan.key !== but && this.#isHeavy(plan.key))
  }

  /** All that run may be the cause, so each gets an equal share. What shrinks is given back likewise. */
  #attribute(share: number): void {
    for (const running of this.#running) running.bytes = Math.max(0, running.bytes + share)
    const largest = this.#largest()
    if (largest === undefined) return
    const now = this.#source.now()
    for (const [key, { at }] of this.#grown) if (now - at > grownMs) this.#grown.delete(key)
    this.#grown.set(largest.slot.plan.key, { at: now, bytes: largest.bytes })
  }

  /** The slot that has grown most since it began, if that is beyond its limit. */
  #largest(): RunningSlot | undefined {
    let largest: RunningSlot | undefined
    for (const running of this.#running) {
      if (running.bytes > Math.max(largest?.bytes ?? 0, this.#growthMax(running.slot))) largest = running
    }
    return largest
  }

  #growthMax({ plan }: GrowingSlot): number {
    return Math.min(plan.memoryMB * MB, this.#bytesMax * slotGrowthShare)
  }

  #killLargest(): void {
    const now = this.#source.now()
    if (now - this.#killedAt < killedMemoryMs) return
    const largest = this.#largest()
    if (largest === undefined) return
    this.#killedAt = now
    const grownMB = Math.round(largest.bytes / MB)
    const [usedMB, maxMB] = [this.#rssBytes, this.#bytesMax].map(bytes => Math.round(bytes / MB))
    largest.slot.killForMemory(`its cell uses ${usedMB} of ${maxMB} MB, and it had taken ${grownMB} MB of them in one go`)
    // It may take a while to stop, and must not be chosen again.
    largest.bytes = 0
  }

  /** Bytes. To read them takes a file descriptor: when connections have taken all there are, this is what was read last. */
  #readRss(): number {
    try {
      this.#rssBytes = this.#source.rss()
    } catch (error) {
      if (!/^E[MN]FILE$/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
    return this.#rssBytes
  }
}
