/** CPU profiles and heap snapshots of slots that serve: one at a time in a cell, bounded in time and size. */
import { setTimeout as delay } from 'node:timers/promises'
import { BerthError, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Inspector } from '../slot/inspector.ts'
import type { Slot } from '../slot/slot.ts'
import type { ProfileFacts, ProfileRequest } from '../wire/messages.ts'

export interface ProfilerParts {
  /** The slot of a version, if it is loaded. */
  slotOf(scene: string, version: string): Slot | undefined
  /** As `Slots.rest`. */
  rest(msMax: number, work: () => void): Promise<boolean>
  /** Bytes of memory that the cell may use beside what it uses now. */
  bytesLeft(): number
}

/** A profile, from when it is begun until it has been fetched or given up. */
interface Job {
  readonly id: number
  readonly stopped: AbortController
  /** Whether its slot is being profiled. If so, the profile ends some time after it was asked to stop. */
  isUnderWay: boolean
  /** JSON documents that V8 wrote. */
  readonly lines: string[]
  chars: number
  /** Characters of the first line that have been fetched. */
  fetched: number
  expiry: NodeJS.Timeout | undefined
}

/** Milliseconds between two tries to bring the cell to rest. This is several times as long as one try may hold up the cell. */
const AGAIN_MS = 500
/** Milliseconds that a slot may take to come to rest before its heap is written out. */
const IDLE_MS_MAX = 1000
/** Bytes that V8 and this process are expected to need for each byte of a heap that is written out. */
const BYTES_PER_HEAP_BYTE = 4

export class Profiler {
  readonly #parts: ProfilerParts
  #job: Job | undefined

  constructor(parts: ProfilerParts) {
    this.#parts = parts
  }

  /**
   * Takes a profile and keeps it to be fetched under `id`.
   * @throws SLOT_IDLE, PROFILE_BUSY, PROFILE_FAILED, HEAP_TOO_LARGE
   */
  async take(id: number, { scene, version, kind, seconds }: ProfileRequest): Promise<ProfileFacts> {
    const action = `Cannot profile version "${version}" of scene "${scene}"`
    const slot = this.#parts.slotOf(scene, version)
    if (slot === undefined) throw new BerthError('SLOT_IDLE', `${action}: the cell has no slot of it loaded`)
    if (this.#job !== undefined) throw new BerthError('PROFILE_BUSY', `${action}: its cell takes another profile`)
    const job: Job = { id, stopped: new AbortController(), isUnderWay: true, lines: [], chars: 0, fetched: 0, expiry: undefined }
    this.#job = job
    try {
      const facts = await (kind === 'cpu' ? this.#takeCpu(slot, job, seconds, action) : this.#takeHeap(slot, job, action))
      job.isUnderWay = false
      job.expiry = setTimeout(() => this.end(id), limits.profile.keptMs)
      if (job.stopped.signal.aborted) this.end(id)
      return facts
    } catch (error) {
      job.isUnderWay = false
      this.end(id)
      throw slot.hasEnded ? new BerthError('PROFILE_FAILED', `${action}: its slot ended meanwhile`, { cause: error }) : toBerthError(error)
    }
  }

  /** The next piece of the profile; undefined after the last. @throws PROFILE_FAILED when the profile is not kept any more */
  fetch(id: number): string | undefined {
    const job = this.#job
    if (job?.id !== id) throw new BerthError('PROFILE_FAILED', 'Cannot fetch the profile: it was not fetched in time')
    job.expiry?.refresh()
    const [line] = job.lines
    if (line === undefined) {
      this.end(id)
      return undefined
    }
    const end = job.fetched + limits.profile.pieceChars
    const piece = line.slice(job.fetched, end)
    job.fetched = end
    if (end < line.length) return piece
    job.lines.shift()
    job.fetched = 0
    return `${piece}\n`
  }

  /** Stops a profile that is being taken, or forgets one that has been taken. Does nothing when there is no such profile. */
  end(id: number): void {
    const job = this.#job
    if (job?.id !== id) return
    job.stopped.abort()
    if (job.isUnderWay) return
    clearTimeout(job.expiry)
    this.#job = undefined
  }

  /**
   * V8's sampler looks only at the thread that it was started on, and an isolate moves between threads. So it is started anew now and then, and
   * all parts together are a fair sample. The cell crashes if the sampler is started on a thread that ends, and the pool makes such threads when
   * all of its own are busy. So it is started at a moment when the whole cell rests.
   */
  async #takeCpu(slot: Slot, job: Job, seconds: number, action: string): Promise<ProfileFacts> {
    keepLateSignals()
    const until = performance.now() + seconds * 1000
    let inspector: Inspector | undefined
    let cpuNs = 0n
    let heldMs = 0
    try {
      while (performance.now() < until && !job.stopped.signal.aborted) {
        const askedAt = performance.now()
        const cpuBefore = slot.cpuNs
        let started: Promise<string> | undefined
        const rested = await this.#parts.rest(limits.profile.restMsMax, () => {
          inspector ??= openProfiler(slot)
          started = inspector.ask('Profiler.start')
          // It is awaited below, once the slots have been released.
          started.catch(() => undefined)
        })
        heldMs += performance.now() - askedAt
        if (rested && inspector !== undefined && started !== undefined) {
          await bounded(started, action)
          await pause(Math.max(1, Math.min(limits.profile.segmentMs, until - performance.now())), job)
          keep(job, await bounded(inspector.ask('Profiler.stop'), action), action)
          cpuNs += slot.cpuNs - cpuBefore
        } else await pause(AGAIN_MS, job)
        if (slot.hasEnded) throw new BerthError('PROFILE_FAILED', `${action}: its slot ended meanwhile`)
      }
    } finally {
      await leave(inspector)
    }
    if (job.lines.length === 0) throw new BerthError('PROFILE_FAILED', `${action}: its cell was too busy to begin, for ${seconds} s`)
    return { cpuMs: Number(cpuNs) / 1e6, heldMs }
  }

  /** To walk the heap stops everything in the slot, so the slot is held: no request enters it meanwhile. */
  async #takeHeap(slot: Slot, job: Job, action: string): Promise<ProfileFacts> {
    const [startedAt, cpuBefore] = [performance.now(), slot.cpuNs]
    let inspector: Inspector | undefined
    let excess: unknown
    slot.hold()
    try {
      await idle(slot, action)
      await this.#checkHeap(slot, action)
      inspector = slot.inspect(text => {
        try {
          if (text.startsWith('{"method":"HeapProfiler.addHeapSnapshotChunk"')) keep(job, text, action)
        } catch (error) {
          excess = error
        }
      })
      const taken = inspector.ask('HeapProfiler.takeHeapSnapshot', { reportProgress: false })
      const late = setTimeout(() => slot.kill(`writing out its heap took over ${limits.profile.heapMsMax} ms`), limits.profile.heapMsMax)
      await taken.finally(() => clearTimeout(late))
      if (excess !== undefined) throw excess
    } finally {
      await leave(inspector)
      slot.release()
    }
    return { cpuMs: Number(slot.cpuNs - cpuBefore) / 1e6, heldMs: performance.now() - startedAt }
  }

  async #checkHeap(slot: Slot, action: string): Promise<void> {
    const heapBytes = await slot.heapBytes()
    const bytesMax = Math.min(limits.profile.heapBytesMax, this.#parts.bytesLeft() / BYTES_PER_HEAP_BYTE)
    if (heapBytes <= bytesMax) return
    const [heapMB, maxMB] = [heapBytes, Math.max(0, bytesMax)].map(bytes => Math.round(bytes / 2 ** 20))
    throw new BerthError('HEAP_TOO_LARGE', `${action}: its heap has ${heapMB} MB, and the cell has memory for one of ${maxMB} MB`)
  }
}

function openProfiler(slot: Slot): Inspector {
  const inspector = slot.inspect()
  for (const asked of [
    inspector.ask('Profiler.enable'),
    inspector.ask('Profiler.setSamplingInterval', { interval: limits.profile.intervalUs }),
  ]) {
    // Commands are answered in order: if this one fails, those after it fail too, and they are awaited.
    asked.catch(() => undefined)
  }
  return inspector
}

/** Waits until nothing runs in a slot that is held. */
async function idle(slot: Slot, action: string): Promise<void> {
  for (const until = performance.now() + IDLE_MS_MAX; slot.isRunning && !slot.hasEnded; await delay(1)) {
    if (performance.now() > until) throw new BerthError('PROFILE_FAILED', `${action}: it does not come to rest`)
  }
}

/** Closes the session. Waits for that no longer than `limits.profile.restMsMax`: a session that cannot be ended yet ends later. */
async function leave(inspector: Inspector | undefined): Promise<void> {
  await Promise.race([inspector?.close(), delay(limits.profile.restMsMax)])
}

async function pause(ms: number, { stopped }: Job): Promise<void> {
  await delay(ms, undefined, { signal: stopped.signal }).catch(() => undefined)
}

function keep(job: Job, line: string, action: string): void {
  job.chars += line.length
  if (job.chars <= limits.profile.charsMax) job.lines.push(line)
  else {
    job.lines.length = 0
    throw new BerthError('HEAP_TOO_LARGE', `${action}: it came to over ${limits.profile.charsMax / 2 ** 20} MB`)
  }
}

async function bounded<T>(work: Promise<T>, action: string): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new BerthError('PROFILE_FAILED', `${action}: its slot does not answer`)),
    limits.profile.answerMsMax,
  )
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

let keepsLateSignals = false

/** V8's sampler sends signals to a thread, and removes its handler when it stops. Without this handler a signal that comes late would end the process. */
function keepLateSignals(): void {
  if (keepsLateSignals || process.platform === 'win32') return
  process.on('SIGPROF', () => undefined)
  keepsLateSignals = true
}
