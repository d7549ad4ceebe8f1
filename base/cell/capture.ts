/**
 * Captures requests: chooses them, sends them into the recorder slots of their versions, and makes capsules of what those have written down.
 *
 * A request that is captured is answered by its recorder as by any slot. Only when it has been answered, its capsule is made: nothing of that is on its way.
 */
import { randomBytes } from 'node:crypto'
import type { Capsule, CapturedAnswer, CaptureReason } from '../capsule/capsule.ts'
import { CAPSULE_FORMAT } from '../capsule/capsule.ts'
import { compilePointers, type Pointer, redact } from '../capsule/redaction.ts'
import type { LogLine } from '../inside/protocol.ts'
import { type BerthError, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Options } from '../kernel/options.ts'
import { ModuleError } from '../slot/module-error.ts'
import type { Recorded, RecordedPending, Recorder } from '../slot/recorder.ts'
import type { NoRecorder } from '../slot/recorders.ts'
import type { Pending, SlotAnswer, SlotCall } from '../slot/slot-call.ts'
import type { Slots } from '../slot/slots.ts'
import { rateShare, TokenBucket } from '../traffic/admission.ts'
import type { Decision } from '../traffic/decide.ts'
import type { CompiledTable, Scene } from '../traffic/scene.ts'
import { type CapsuleSettings, capsuleDefaults } from '../traffic/schema.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { CapsuleFeed } from './capsule-feed.ts'

/** Why a request that chance or its caller has chosen is not captured, or its capsule is lost. */
export type SkipReason = NoRecorder | 'off' | 'loadtest' | 'rate' | 'behind' | 'effect' | 'ended' | 'lost' | 'defect'

export interface CaptureHost {
  readonly mode: Options['capsules']
  readonly cells: number
  readonly slots: Pick<Slots, 'peek' | 'recorderOf' | 'loadRecorder'>
  readonly feed: Pick<CapsuleFeed, 'push' | 'isBehind'>
  countCaptured(why: CaptureReason): void
  countSkipped(reason: SkipReason): void
  onDefect(error: unknown, plan: SlotPlan): void
}

/** A request for which it is known which version answers it. */
export interface DecidedRequest {
  readonly scene: Scene
  readonly decision: Decision
  readonly call: SlotCall
}

/** What is known of a scene as far as its requests are captured. */
interface SceneCapture {
  settings: CapsuleSettings
  pointers: readonly Pointer[]
  /** Both are bounded alike, so that a flood of errors does not keep a sample from being taken, nor the other way round. */
  readonly sampled: TokenBucket
  readonly failed: TokenBucket
}

/** What is known of a recording beside its recorder. */
interface RecordingState {
  readonly recorder: Recorder
  hasSentHead: boolean
  /** Whether something was taken out of its entries, so that nothing that comes later in it can be replayed bit for bit. */
  isRedacted: boolean
  isLost: boolean
  /** Whether a request is in the recorder. */
  isInUse: boolean
}

/** Requests up to the next that is sampled when none ever is. */
const NEVER = Number.MAX_SAFE_INTEGER
/** Milliseconds between two looks for an idle recorder, for a request that asked to be captured. */
const LOOK_MS = 2

export class Captures {
  /** Requests up to the next that chance chooses. Whoever serves one counts it down, which is all that it costs those that are not chosen. */
  untilNext = NEVER
  readonly #host: CaptureHost
  #cells: number
  /** The highest rate of all scenes. Of the requests that it chooses, those of scenes with a lower rate are captured accordingly more rarely. */
  #rate = 0
  #table: CompiledTable | undefined
  readonly #scenes = new Map<string, SceneCapture>()
  readonly #recordings = new Map<string, RecordingState>()

  constructor(host: CaptureHost) {
    this.#host = host
    this.#cells = host.cells
  }

  /** From now on this cell captures its share of `cells`. */
  share(cells: number): void {
    this.#cells = Math.max(1, cells)
  }

  onTable(table: CompiledTable): void {
    const { scenes } = table
    this.#table = table
    for (const id of this.#scenes.keys()) if (!scenes.has(id)) this.#scenes.delete(id)
    let rate = 0
    if (this.#host.mode === 'sampled') for (const { definition } of scenes.values()) rate = Math.max(rate, rateOf(definition.capsules))
    this.#rate = rate
    // Chance has no memory: what was counted down before is not owed.
    this.untilNext = gapTo(rate)
  }

  /** The recorder for a request that chance has chosen; undefined when it is to be served as any other. To be called when `untilNext` has come to 0. */
  sample({ id, definition }: Scene, { plan }: Decision, isLoadTest: boolean): Recorder | undefined {
    this.untilNext = gapTo(this.#rate)
    const settings = definition.capsules ?? capsuleDefaults
    if (isLoadTest || Math.random() * this.#rate >= rateOf(settings)) return undefined
    if (this.#host.feed.isBehind) return this.#skip('behind')
    const capture = this.#sceneOf(id, settings)
    if (!this.#mayTake(capture.sampled, settings)) return this.#skip('rate')
    const recorder = this.#idleRecorder(plan)
    if (recorder !== undefined) capture.sampled.spend(1)
    return recorder
  }

  /**
   * The recorder for a request that asks to be captured, once there is one that is idle; or why it cannot be captured. It waits for at most the part
   * `limits.capsule.waitShare` of the time that the request has.
   */
  async await({ definition }: Scene, { plan }: Decision, { deadlineAt, loadtest }: SlotCall): Promise<Recorder | SkipReason> {
    const refusal = loadtest ? 'loadtest' : this.#host.mode === 'off' || (definition.capsules ?? capsuleDefaults).off ? 'off' : undefined
    if (refusal !== undefined) return this.#refuse(refusal)
    const until = performance.now() + (deadlineAt - performance.now()) * limits.capsule.waitShare
    for (;;) {
      const recorder = this.#host.slots.recorderOf(plan)
      if (recorder !== undefined) return recorder
      const reason = this.#host.slots.loadRecorder(plan)
      if ((reason !== 'loading' && reason !== 'busy') || performance.now() > until) return this.#refuse(reason)
      await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    }
  }

  /**
   * Runs a request in a recorder, which says by the methods of `pending` what comes of it, as a slot does.
   * @returns the id of its capsule, which will be there a moment after the answer unless it is lost
   * @throws what `Slot.begin` throws; then the recorder has not taken it
   */
  record(recorder: Recorder, request: DecidedRequest, pending: Pick<Pending, 'resolve' | 'reject'>, why: CaptureReason): string {
    const recorded = new CapturedRequest(request, pending, why)
    const done = recorder.record(recorded)
    const state = this.#stateOf(recorder)
    state.isInUse = true
    done
      .then(record => this.#onRecorded(state, recorded, record))
      .catch((error: unknown) => {
        this.#host.countSkipped('defect')
        this.#host.onDefect(error, request.decision.plan)
      })
      .finally(() => {
        state.isInUse = false
      })
    return recorded.id
  }

  /**
   * Runs a request again in a recorder that has failed in an ordinary slot, if it had no effect outside and its module is to blame. Nobody waits for it.
   * What kills its slot is not run again: it would cost the version more than it has done. It may do otherwise this time, but has no effect outside even then.
   */
  runAgain(decision: Decision, call: SlotCall, error: unknown, calledOut: boolean): void {
    if (calledOut || call.loadtest || !(error instanceof ModuleError) || error.blame !== 'module') return
    const scene = this.#table?.scenes.get(decision.plan.scene)
    const settings = scene?.definition.capsules ?? capsuleDefaults
    if (scene === undefined || this.#host.mode !== 'sampled' || rateOf(settings) === 0) return
    const { failed } = this.#sceneOf(scene.id, settings)
    const recorder = this.#mayTake(failed, settings) ? this.#idleRecorder(decision.plan) : this.#skip('rate')
    if (recorder === undefined) return
    failed.spend(1)
    const again = { scene, decision, call: { ...call, deadlineAt: performance.now() + scene.deadlineMs, isRerun: true } }
    try {
      this.record(recorder, again, nobody, 'failed')
    } catch {
      this.#skip('busy')
    }
  }

  /** No more of the recording is of use: a capsule of it is lost. */
  onLost(recording: string): void {
    this.#host.countSkipped('lost')
    const state = this.#recordings.get(recording)
    if (state === undefined || state.isLost) return
    state.isLost = true
    state.recorder.end()
  }

  #onRecorded(state: RecordingState, recorded: CapturedRequest, record: Recorded | undefined): void {
    const isSpoilt = recorded.why === 'failed' && recorded.calledOut
    if (isSpoilt) {
      // It has got an error that it would not have got elsewhere, and its module may keep that for ever.
      state.isLost = true
      state.recorder.end()
    }
    if (isSpoilt || record === undefined || state.isLost) {
      this.#skip(isSpoilt ? 'effect' : state.isLost ? 'lost' : 'ended')
      return
    }
    const { head, from, entries } = record
    const recording = head.id
    const { pointers } = this.#sceneOf(recorded.request.scene.id, recorded.request.scene.definition.capsules ?? capsuleDefaults)
    const captured = redact({ recording, from, entries, capsule: recorded.capsule(record) }, pointers)
    state.isRedacted ||= captured.capsule.redacted.length > 0
    const inexact = state.isRedacted ? ([...captured.capsule.inexact, 'redacted'] as const) : captured.capsule.inexact
    const first = state.hasSentHead ? {} : { head }
    state.hasSentHead = true
    this.#host.countCaptured(recorded.why)
    this.#host.feed.push({ ...first, ...captured, capsule: { ...captured.capsule, inexact } })
  }

  #stateOf(recorder: Recorder): RecordingState {
    const { id: recording } = recorder.head
    const known = this.#recordings.get(recording)
    if (known !== undefined) return known
    for (const [id, { recorder, isInUse }] of this.#recordings) if (recorder.hasEnded && !isInUse) this.#recordings.delete(id)
    const state = { recorder, hasSentHead: false, isRedacted: false, isLost: false, isInUse: false }
    this.#recordings.set(recording, state)
    return state
  }

  #sceneOf(id: string, settings: CapsuleSettings): SceneCapture {
    let known = this.#scenes.get(id)
    if (known === undefined) {
      const [capacity, now] = [this.#share(settings).capacity, performance.now()]
      known = {
        settings,
        pointers: compilePointers(settings.redact),
        sampled: new TokenBucket(capacity, now),
        failed: new TokenBucket(capacity, now),
      }
      this.#scenes.set(id, known)
    }
    if (known.settings !== settings) Object.assign(known, { settings, pointers: compilePointers(settings.redact) })
    return known
  }

  #share({ perSecond }: CapsuleSettings) {
    return rateShare(perSecond, perSecond, this.#cells)
  }

  #mayTake(bucket: TokenBucket, settings: CapsuleSettings): boolean {
    return bucket.fill(this.#share(settings), performance.now()) >= 1
  }

  #idleRecorder(plan: SlotPlan): Recorder | undefined {
    const { slots } = this.#host
    const recorder = slots.recorderOf(plan)
    if (recorder !== undefined) return recorder
    // A scene loads one version at a time, and callers wait for the slot.
    return this.#skip(slots.peek(plan) === undefined ? 'loading' : slots.loadRecorder(plan))
  }

  #skip(reason: SkipReason): undefined {
    this.#host.countSkipped(reason)
  }

  #refuse(reason: SkipReason): SkipReason {
    this.#host.countSkipped(reason)
    return reason
  }
}

const nobody = { resolve: () => undefined, reject: () => undefined }

const rateOf = (settings: CapsuleSettings = capsuleDefaults): number => (settings.off ? 0 : settings.rate)

/** How many requests it takes up to the next that is chosen, when each is chosen with this probability. */
function gapTo(rate: number): number {
  if (rate <= 0) return NEVER
  return rate >= 1 ? 1 : 1 + Math.floor(Math.log(1 - Math.random()) / Math.log(1 - rate))
}

const ID_BYTES = 8
let randomness: Buffer = Buffer.alloc(0)

/** 16 hexadecimal digits. What they are made of is drawn together, as each draw takes microseconds of the request. */
function newId(): string {
  if (randomness.length < ID_BYTES) randomness = randomBytes(ID_BYTES * 256)
  const id = randomness.toString('hex', 0, ID_BYTES)
  randomness = randomness.subarray(ID_BYTES)
  return id
}

/** A request in a recorder. It passes on what the recorder says, and notes it for the capsule. */
class CapturedRequest implements RecordedPending {
  readonly id = newId()
  readonly request: DecidedRequest
  readonly why: CaptureReason
  readonly call: SlotCall
  no = 0
  calledAt = 0
  sentAt = 0
  done = false
  calledOut = false
  calledService = false
  alone: boolean
  readonly #pending: Pick<Pending, 'resolve' | 'reject'>
  readonly #beganAt = performance.now()
  #tookMs = 0
  #answer: CapturedAnswer = { json: '' }
  #stageMs = ''
  readonly #lines: LogLine[] = []

  constructor(request: DecidedRequest, pending: Pick<Pending, 'resolve' | 'reject'>, why: CaptureReason) {
    this.request = request
    this.why = why
    this.call = request.call
    // What runs again is of nobody, and need not go on in another slot when this one is killed.
    this.alone = why === 'failed'
    this.#pending = pending
  }

  resolve(answer: SlotAnswer): void {
    const { json, degraded, tookMs = '' } = answer
    this.#tookMs = performance.now() - this.#beganAt
    this.#answer = { json, degraded }
    this.#stageMs = tookMs
    this.#pending.resolve(answer)
  }

  reject(error: BerthError): void {
    this.#tookMs = performance.now() - this.#beganAt
    const { code, message } = toBerthError(error)
    const { stage, module } = error instanceof ModuleError ? error : {}
    this.#answer = { failure: { code, message, stage, module } }
    this.#pending.reject(error)
  }

  takeLines(lines: readonly LogLine[]): boolean {
    this.#lines.push(...lines.slice(0, limits.capsule.logLinesMax - this.#lines.length))
    return this.why === 'failed'
  }

  capsule({ head, no, first, last, inexact, cpuMs }: Recorded): Capsule {
    const { decision, scene, call } = this.request
    const { plan, because, layers } = decision
    const stageMs = this.#stageMs.split(',')
    return {
      format: CAPSULE_FORMAT,
      id: this.id,
      recording: head.id,
      no,
      entries: [first, last],
      at: new Date().toISOString(),
      requestId: call.requestId,
      scene: scene.id,
      version: plan.version,
      why: this.why,
      unit: call.unit,
      bucket: decision.bucket,
      because,
      arms: layers.map(({ layer, experiment, arm, values }) => ({ layer, experiment, arm, values })),
      deadlineMs: Math.round(call.deadlineAt - this.#beganAt),
      answer: this.#answer,
      tookMs: this.#tookMs,
      cpuMs,
      stageMs: plan.lock.map((_, i) => Number(stageMs[i] ?? 0)),
      logs: this.#lines.map(({ level, message, module, fields }) => ({ level, message, module, fields })),
      inexact,
      redacted: [],
    }
  }
}
