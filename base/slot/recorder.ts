/**
 * A recorder: a slot of a version that writes down everything that enters it, from its load on, so that the same entries give the same bytes elsewhere. Whatever
 * it calls in its isolate goes in one after the other, and it takes one request at a time.
 */
import { createHash, randomBytes } from 'node:crypto'
import { CAPSULE_FORMAT, type Entry, type Inexactness, type Origin, type RecordingHead } from '../capsule/capsule.ts'
import { LAZY_PARTS, type LogLine, SEED_WORDS, type ServiceNames, TapeMark } from '../inside/protocol.ts'
import type { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { type Blank, type BlankListener, makeBlank, type Remotes, type Staging } from './blank.ts'
import type { Entrance } from './entrance.ts'
import { type EntryAfterLoad, enter, type Outcome, Spoken, valuesOf } from './entries.ts'
import { insideScript } from './inside-script.ts'
import { Slot, type SlotHost } from './slot.ts'
import type { Pending, SlotAnswer, SlotCall } from './slot-call.ts'
import { machineClock, SlotClock } from './slot-clock.ts'
import { Tape } from './tape.ts'

/** What a recorder has written down of a request. */
export interface Recorded {
  readonly head: RecordingHead
  /** The place in the recording of the first of `entries`, which are those since the request before. */
  readonly from: number
  readonly entries: readonly Entry[]
  /** The number of the request in the slot, and the places of its first and last entry. */
  readonly no: number
  readonly first: number
  readonly last: number
  readonly inexact: readonly Inexactness[]
  /** Milliseconds of CPU that the slot has used from when the request was put in until its last entry was over. */
  readonly cpuMs: number
}

/** A request that is to be recorded. */
export interface RecordedPending extends Pending {
  /**
   * Takes what the request has written.
   * @returns whether that is in the log already
   */
  takeLines?(lines: readonly LogLine[]): boolean
}

/** What the host of a recorder hears besides. */
export interface RecorderHost extends SlotHost {
  /** Called when the recorder takes no more requests: it is full, was killed, or was ended. To be drained then, and its slot to be disposed of. */
  onEnded(recorder: Recorder): void
}

let ofThisProcess: Origin | undefined

/** Where recordings of this process are made. */
export function originHere(): Origin {
  if (ofThisProcess !== undefined) return ofThisProcess
  const { timeZone, locale } = new Intl.DateTimeFormat().resolvedOptions()
  const inside = createHash('sha256')
  for (const name of ['inside', ...LAZY_PARTS] as const) inside.update(insideScript(name))
  const platform = `${process.platform}-${process.arch}`
  ofThisProcess = { v8: process.versions.v8, platform, zone: timeZone, locale, inside: inside.digest('hex') }
  return ofThisProcess
}

const marks: readonly (readonly [number, Inexactness])[] = [
  [TapeMark.weakReferences, 'weak references'],
  [TapeMark.stackOverflow, 'stack overflow'],
  [TapeMark.tooManyReadings, 'too many readings'],
]

/** A request on its way through a recorder. Its caller is answered as by any slot. */
class RecordedRequest implements Pending {
  readonly call: SlotCall
  no = 0
  calledAt = 0
  sentAt = 0
  done = false
  calledOut = false
  calledService = false
  alone: boolean
  /** Whether it goes on in another slot, since this one was killed. */
  hasLeft = false
  /** Resolves when the request has been answered. */
  readonly answered: Promise<void>
  readonly #pending: RecordedPending
  readonly #onAnswered: () => void

  constructor(pending: RecordedPending) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#pending = pending
    this.call = pending.call
    this.alone = pending.alone
    this.answered = promise
    this.#onAnswered = resolve
  }

  takeLines(lines: readonly LogLine[]): boolean {
    return this.#pending.takeLines?.(lines) ?? false
  }

  resolve(answer: SlotAnswer): void {
    this.#end()
    this.#pending.resolve(answer)
  }

  reject(error: BerthError): void {
    this.#end()
    this.#pending.reject(error)
  }

  #end(): void {
    this.#pending.done = true
    this.#pending.calledOut = this.calledOut
    this.#onAnswered()
  }
}

export class Recorder {
  readonly slot: Slot
  readonly #recording: Recording
  readonly #onEnded: (recorder: Recorder) => void
  readonly #killed: Promise<void>
  /** Resolves when the last request has been written down. */
  #last: Promise<unknown> = Promise.resolve()
  #requests = 0
  #current: RecordedRequest | undefined
  #hasEnded = false

  private constructor(slot: Slot, recording: Recording, killed: Promise<void>, onEnded: (recorder: Recorder) => void) {
    this.slot = slot
    this.#recording = recording
    this.#killed = killed
    this.#onEnded = onEnded
    recording.onGivenUp = () => this.end()
    void killed.then(() => this.end())
  }

  /**
   * Makes an isolate, and loads the modules of a version into it.
   * @throws ModuleError saying which module cannot be loaded and why
   */
  static async load(plan: SlotPlan, host: RecorderHost): Promise<Recorder> {
    const recording = new Recording(plan, host.servicesOf(plan))
    const { promise: killed, resolve: onKilled } = Promise.withResolvers<void>()
    const blank = recording.listenTo(await makeBlank(plan.memoryMB, host.codeCache, recording.staging))
    let recorder: Recorder | undefined
    const slotHost: SlotHost = {
      ...host,
      onLog: (plan, requestId, lines) => {
        // Lines of what earlier requests have left behind are of no request.
        if (requestId === undefined || recorder === undefined || !recorder.#current?.takeLines(lines)) host.onLog(plan, requestId, lines)
      },
      onKilled: (slot, kill, survivors) => {
        for (const pending of survivors) if (pending instanceof RecordedRequest) pending.hasLeft = true
        onKilled()
        host.onKilled(slot, kill, survivors)
      },
    }
    const slot = await Slot.load(plan, blank, slotHost, () => recording.entrance())
    recorder = new Recorder(slot, recording, killed, host.onEnded)
    return recorder
  }

  /** What does not change about the recording. */
  get head(): RecordingHead {
    return this.#recording.head
  }

  /** Whether it takes no more requests, for good. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Whether it would take a request. */
  get isIdle(): boolean {
    return !this.#hasEnded && this.#current === undefined
  }

  /**
   * Runs a request, which is answered as by any slot, and does not wait for what happens here afterwards. Only an idle recorder takes one.
   * @returns what was written down, once it is complete; undefined when the request has never begun here, or goes on in another slot because this one was killed
   * @throws SCENE_OVERLOADED, BODY_TOO_LARGE; then the recorder has not taken it
   */
  record(pending: RecordedPending): Promise<Recorded | undefined> {
    const request = new RecordedRequest(pending)
    const fromMs = this.slot.heldMs
    this.slot.begin(request)
    this.#current = request
    this.#requests++
    const recorded = this.#recorded(request, fromMs)
    this.#last = recorded
    return recorded
  }

  async #recorded(request: RecordedRequest, fromMs: number): Promise<Recorded | undefined> {
    await Promise.race([request.answered, this.#killed])
    // A request that is past its deadline is given up in the isolate right after it was answered.
    await this.#recording.settled()
    this.#current = undefined
    const recorded = request.hasLeft ? undefined : this.#recording.take((this.slot.heldMs - fromMs) * this.slot.cpuShare)
    if (this.#requests >= limits.capsule.requestsMax || this.#recording.isFull) this.end()
    return recorded
  }

  /** Takes no more requests. */
  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#onEnded(this)
  }

  /** Resolves when it has no request, and has written down the last one. It writes nothing down afterwards. End it first. */
  async drain(): Promise<void> {
    await this.#last
    this.#recording.stop()
    await this.slot.drain()
  }
}

/** What has been written down of one slot. */
class Recording {
  readonly head: RecordingHead
  /** Called when the entries took too much memory before they were taken: they are gone then. */
  onGivenUp: () => void = () => undefined
  readonly #clock = new SlotClock({ monotonic: () => performance.now(), wall: () => performance.now() + machineClock().wallMinusMonotonic })
  readonly #tape = new Tape()
  /** What chance is seeded from, for each request. They are drawn together, as each draw takes microseconds. */
  readonly #seeds = crypto.getRandomValues(new Uint32Array(limits.capsule.requestsMax * SEED_WORDS))
  #seedsUsed = 0
  #inside: Remotes | undefined
  #hasIsolateEnded = (): boolean => false
  /** What the isolate has said since the last entry was over. */
  #spoken = new Spoken()
  #beganAt: number
  /** Resolves when the last call that was made has come back. */
  #last: Promise<unknown> = Promise.resolve()
  #entries: Entry[] = []
  #from = 0
  /** The turn that was put in last, and its place. */
  #turn: { readonly no: number; readonly place: number } | undefined
  #bytes = 0
  /** Bytes of the entries that have not been taken. */
  #bytesHeld = 0
  #isStopped = false
  readonly #inexact = new Set<Inexactness>()

  constructor({ scene, version, memoryMB, lock, schemas }: SlotPlan, services: ServiceNames) {
    this.#beganAt = this.#begin()
    const startedAt = new Date(this.#beganAt + this.#clock.wallMinusMonotonic).toISOString()
    const [id, seed] = [randomBytes(8).toString('hex'), randomBytes(32).toString('hex')]
    const what = { scene, version, memoryMB, lock, ...(schemas !== undefined && { schemas }), services }
    this.head = { format: CAPSULE_FORMAT, id, startedAt, startedAtMs: this.#beganAt, ...what, seed, origin: originHere() }
  }

  /** How the isolate is to be made. */
  get staging(): Staging {
    return { seed: this.head.seed, clock: this.#clock, tape: this.#tape }
  }

  /** The blank with a listener behind which this one listens. */
  listenTo(blank: Blank): Blank {
    this.#inside = blank.inside
    this.#hasIsolateEnded = () => blank.isolate.isDisposed
    for (const posted of blank.earlyPosts) this.#spoken.post(...posted)
    const listener: BlankListener = { onPost: blank.listener.onPost, onLost: () => undefined }
    blank.listener.onPost = (...posted) => {
      // Bytes that are passed on may be handed over to somebody.
      if (!this.#isStopped) this.#spoken.post(...posted)
      listener.onPost(...posted)
    }
    blank.listener.onLost = (...lost) => listener.onLost(...lost)
    return { ...blank, listener }
  }

  /** Ends the first entry, the load. What is called through the entrance goes in one after the other, each as an entry. */
  entrance(): Entrance {
    this.#end('load', [], undefined, { returned: undefined })
    const inside = this.#inside as Remotes
    return {
      turn: (...args) => this.#putIn('turn', args),
      reportOf: (...args) => this.#putIn('reportOf', args),
      abandon: (...args) => void this.#putIn('abandon', args).catch(() => undefined),
      settleCalls: (...args) => this.#putIn('settleCalls', args),
      settleFetch: (...args) => this.#putIn('settleFetch', args),
      fireTimer: (...args) => this.#putIn('fireTimer', args),
      probe: () => inside.probe.apply(undefined, []),
    }
  }

  /** Whether the recorder has to end because of what the entries take. */
  get isFull(): boolean {
    return this.#bytes > limits.capsule.recordingBytesMax
  }

  /** Writes nothing down any more. */
  stop(): void {
    this.#isStopped = true
  }

  /** Resolves when all calls that were made have come back. */
  async settled(): Promise<void> {
    // Whoever has answered the request may be about to make another call.
    await undefined
    await this.#last
  }

  /** The entries since they were taken last; undefined when no turn is among them. */
  take(cpuMs: number): Recorded | undefined {
    if (this.#turn === undefined || this.#turn.place < this.#from) return undefined
    const { no, place } = this.#turn
    const [from, entries] = [this.#from, this.#entries]
    this.#from += entries.length
    this.#entries = []
    this.#bytesHeld = 0
    return { head: this.head, from, entries, no, first: place, last: this.#from - 1, inexact: [...this.#inexact], cpuMs }
  }

  async #putIn(kind: EntryAfterLoad, args: readonly unknown[]): Promise<unknown> {
    const entered = this.#last.then(() => this.#enter(kind, args))
    this.#last = entered
    const outcome = await entered
    if ('threw' in outcome) throw outcome.threw
    return outcome.returned
  }

  async #enter(kind: EntryAfterLoad, args: readonly unknown[]): Promise<Outcome> {
    const inside = this.#inside
    if (inside === undefined || this.#hasIsolateEnded()) return { returned: undefined, threw: new Error('The isolate has ended') }
    // Bytes are handed over to the isolate.
    const values = valuesOf(args)
    this.#beganAt = this.#begin()
    const seed = kind === 'turn' ? this.#reseed() : undefined
    const entered = enter(inside, kind, args)
    // It goes in right behind the timer, as in other slots.
    if (kind === 'fireTimer') inside.probe.applyIgnored(undefined, [])
    const outcome = await entered
    this.#end(kind, values, seed, outcome)
    return outcome
  }

  /** What a module leaves behind, such as a timer that repeats, goes on between requests too, and without end. */
  #giveUp(): void {
    this.stop()
    this.#entries = []
    this.#turn = undefined
    this.onGivenUp()
  }

  #reseed(): readonly number[] {
    const from = (this.#seedsUsed++ % limits.capsule.requestsMax) * SEED_WORDS
    const words = [...this.#seeds.subarray(from, from + SEED_WORDS)]
    this.#tape.reseed(words)
    return words
  }

  /** @returns when the entry begins, by `performance.now()` */
  #begin(): number {
    machineClock().write()
    this.#clock.hold(machineClock().wallMinusMonotonic)
    this.#tape.record()
    return this.#clock.write()
  }

  #end(kind: Entry['kind'], values: readonly unknown[], seed: readonly number[] | undefined, outcome: Outcome): void {
    if (this.#isStopped) return
    for (const [mark, reason] of marks) if ((this.#tape.marks & mark) !== 0) this.#inexact.add(reason)
    const { asked, said } = this.#spoken.end(outcome)
    this.#spoken = new Spoken()
    if (this.#hasIsolateEnded()) this.#inexact.add('killed')
    if (kind === 'turn') this.#turn = { no: values[0] as number, place: this.#from + this.#entries.length }
    const entry: Entry = {
      kind,
      atMs: this.#beganAt - this.head.startedAtMs,
      values,
      readings: this.#tape.readings,
      wallMinusMonotonic: this.#clock.wallMinusMonotonic,
      ...(seed !== undefined && { seed }),
      asked,
      // What it had said when it was killed depends on when that was.
      said: this.#hasIsolateEnded() ? '' : said,
    }
    this.#entries.push(entry)
    const bytes = sizeOf(entry)
    this.#bytes += bytes
    this.#bytesHeld += bytes
    if (this.#bytesHeld > limits.capsule.recordingBytesMax) this.#giveUp()
  }
}

/** About how many bytes a value takes as JSON. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 3
  if (typeof value === 'number') return 18
  return typeof value !== 'object' || value === null ? 5 : Object.values(value).reduce((sum: number, part) => sum + sizeOf(part) + 8, 2)
}
