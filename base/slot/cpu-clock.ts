/** How much CPU a slot uses. */
import type ivm from 'isolated-vm'

/** Two CPU times that were read together. The use since then is at most what either of them has grown by. */
export interface CpuMark {
  /** Nanoseconds of the isolate. While other threads have the processor, this time goes on for an isolate that is in the middle of its code. */
  readonly isolateNs: bigint
  /** Microseconds of all threads of this process. */
  readonly processUs: number
}

export class CpuClock {
  readonly #isolate: ivm.Isolate
  #lastNs: bigint

  constructor(isolate: ivm.Isolate) {
    this.#isolate = isolate
    this.#lastNs = isolate.cpuTime
  }

  /** Nanoseconds that the isolate has used since it was made. After its end this stays what was read last. */
  readNs(): bigint {
    try {
      this.#lastNs = this.#isolate.cpuTime
    } catch {
      // An isolate that is out of memory ends on its own thread, at any moment. The next check whether it is alive finds that out.
    }
    return this.#lastNs
  }

  mark(): CpuMark {
    return { isolateNs: this.readNs(), processUs: processCpuUs() }
  }

  /** Milliseconds of CPU that the isolate has used since the mark, at most: time in which a busy machine ran other processes does not count. */
  usedMs(since: CpuMark): number {
    return Math.min(Number(this.readNs() - since.isolateNs) / 1e6, (processCpuUs() - since.processUs) / 1e3)
  }
}

/** Microseconds of all threads. */
function processCpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
