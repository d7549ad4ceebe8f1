/**
 * How much CPU a slot uses. Neither isolated-vm nor Node.js says that: `isolate.cpuTime` is the time for which a thread has held the isolate,
 * and it goes on while the thread waits for a processor that other threads or processes have. What is known exactly is how much CPU all threads
 * of this process have used beside this one. It is shared out among the isolates that were held meanwhile, by how long each was held, and an
 * isolate never gets more than that.
 *
 * What is left: the compiler and the garbage collector of V8 have threads of their own. What they use counts for the isolates that run at that
 * moment, and so an isolate may be charged up to the time for which it was held.
 */
import type ivm from 'isolated-vm'

/** Milliseconds for which what was read last is good enough. The watchdog looks less often, so what it reads is fresh. */
const FRESH_MS = 5
/** Milliseconds of CPU without an isolate to charge that are kept: the system counts what a thread uses some milliseconds late. */
const CREDIT_MS_MAX = 20

/** What the meter reads. */
export interface CpuSource {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /** Milliseconds of CPU that all threads of the process but this one have used. */
  threadsMs(): number
}

/** Shares out the CPU of the threads of a process among its clocks. */
export class CpuMeter {
  readonly #source: CpuSource
  /** The clocks of isolates that may have been held since the last reading. */
  readonly #clocks = new Set<CpuClock>()
  #at: number
  #threadsMs: number
  #creditMs = 0
  #share = 1

  constructor(source: CpuSource) {
    this.#source = source
    this.#at = source.now()
    this.#threadsMs = source.threadsMs()
  }

  /** The part of the time for which isolates are held that they use a processor, of late: 1 when the machine has nothing else to do. */
  get share(): number {
    return this.#share
  }

  add(clock: CpuClock): void {
    this.#clocks.add(clock)
  }

  /** Charges the clocks for the time since the last reading, unless that is fresh. */
  read(): void {
    const now = this.#source.now()
    if (now - this.#at >= FRESH_MS) this.#read(now)
  }

  #read(now: number): void {
    const threadsMs = this.#source.threadsMs()
    this.#creditMs += Math.max(0, threadsMs - this.#threadsMs)
    this.#threadsMs = threadsMs
    this.#at = now
    let claimedMs = 0
    for (const clock of this.#clocks) claimedMs += clock.claim()
    const share = claimedMs > 0 ? Math.min(1, this.#creditMs / claimedMs) : 1
    for (const clock of this.#clocks) if (!clock.settle(share)) this.#clocks.delete(clock)
    this.#creditMs = Math.min(CREDIT_MS_MAX, this.#creditMs - share * claimedMs)
    if (claimedMs > 0) this.#share += (share - this.#share) / 8
  }
}

const sumMs = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1000

/** Milliseconds of CPU that all threads of this process have used. */
export const processCpuMs = (): number => sumMs(process.cpuUsage())

const threadsMs = (): number => processCpuMs() - sumMs(process.threadCpuUsage())

/** There is one for the process. It measures what really runs, also where the rest of the process is given another clock. */
const meterOfProcess = new CpuMeter({ now: performance.now.bind(performance), threadsMs })

/** The CPU of one isolate. */
export class CpuClock {
  readonly #isolate: Pick<ivm.Isolate, 'cpuTime'>
  readonly #meter: CpuMeter
  #usedMs: number
  /** Milliseconds for which the isolate was held: as it was seen last, at the last charge, between that and the one before, and uncharged earlier. */
  #seenMs: number
  #heldMs: number
  #claimMs = 0
  #unpaidMs = 0
  #runs = false
  #hasEnded = false
  /** Whether the meter has it among its clocks. */
  #isKnown = false

  /** What the isolate has been held so far counts as CPU. */
  constructor(isolate: Pick<ivm.Isolate, 'cpuTime'>, meter = meterOfProcess) {
    this.#isolate = isolate
    this.#meter = meter
    this.#seenMs = Number(isolate.cpuTime) / 1e6
    this.#heldMs = this.#seenMs
    this.#usedMs = this.#seenMs
  }

  /** To be called when the isolate is called, and `rest` when it has come back from all calls. */
  run(): void {
    this.#runs = true
    if (this.#isKnown) return
    this.#isKnown = true
    this.#meter.add(this)
  }

  rest(): void {
    this.#runs = false
  }

  /** Charges nothing that the isolate uses from then on. To be called before the isolate is disposed of, since its time cannot be read afterwards. */
  end(): void {
    this.#seenMs = this.heldMs
    this.#hasEnded = true
    this.#runs = false
  }

  /** Whether it may be charged for something more though the isolate is not called. */
  get isOpen(): boolean {
    return this.#isKnown
  }

  /** Milliseconds of CPU that the isolate has used since it was made, as of some milliseconds ago. After its end this does not change any more. */
  readMs(): number {
    if (this.#isKnown) this.#meter.read()
    return this.#usedMs
  }

  /** Milliseconds for which the isolate has been held, as of now. After its end this stays what was read last. */
  get heldMs(): number {
    if (this.#hasEnded) return this.#seenMs
    try {
      this.#seenMs = Number(this.#isolate.cpuTime) / 1e6
    } catch {
      // An isolate that is out of memory ends on its own thread, at any moment. The next check whether it is alive finds that out.
    }
    return this.#seenMs
  }

  /** The part of such a time that was CPU, of late. */
  get share(): number {
    return this.#meter.share
  }

  /** For the meter: milliseconds that the isolate may have to be charged for. */
  claim(): number {
    const { heldMs } = this
    const claimMs = heldMs - this.#heldMs
    this.#heldMs = heldMs
    this.#claimMs = claimMs
    return claimMs + this.#unpaidMs
  }

  /** For the meter: charges a part of what was claimed. What is left may be charged next time. @returns whether it may claim more */
  settle(share: number): boolean {
    const claimMs = this.#claimMs + this.#unpaidMs
    this.#usedMs += share * claimMs
    this.#unpaidMs = Math.min(this.#claimMs, (1 - share) * claimMs)
    this.#isKnown = this.#runs || this.#unpaidMs > 0
    return this.#isKnown
  }
}
