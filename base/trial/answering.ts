/**
 * Answers capsules again, with the version that has answered them or with another, on virtual time: nothing is waited for. Replies that the recording has
 * come after their recorded delays, timers fire in order, and clocks show the recorded readings, then the last one and the CPU used since.
 */
import type { Answered, Chance, Contender, NewCall } from '../capsule/answered.ts'
import type { CapturedAnswer, Entry, KeptCapsule } from '../capsule/capsule.ts'
import { CALL_STRIDE, type LogLine, type Post, REQUEST_STRIDE, type ServiceNames } from '../inside/protocol.ts'
import { limits } from '../kernel/limits.ts'
import { parseLines } from '../slot/from-inside.ts'
import { lockedServices, type SlotPlan } from '../traffic/table.ts'
import { keyOfCall, keyOfFetch, RecordedOutside, type Reply } from './recorded-outside.ts'
import { answerIn, type Entered, type Showing, type TapedParts, TapedSlot } from './taped-slot.ts'

/** Who answers: a version with its parameters. */
export interface Answerer extends Omit<Contender, 'sceneParams' | 'versionParams'> {
  /** Undefined: those that were recorded. Else those of the scene, overridden by those of the version; the arms of the capsule override both. */
  readonly params?: Pick<Contender, 'sceneParams' | 'versionParams'> | undefined
}

/** Where feature tables are asked. */
export interface FeatureSource {
  readonly methods: readonly string[]
  /** Whether they are asked also for what the recording has a reply to. */
  readonly anew: boolean
  /** @returns the values that follow the number of the call: 1 and JSON of the answer, or 0 and JSON of `{ code, message }` */
  ask(method: string, input: string): Promise<readonly [answered: 0 | 1, text: string]>
}

export interface AnsweringParts extends TapedParts {
  readonly features?: FeatureSource | undefined
  /** Other services that the base offers now, with their methods. */
  readonly services?: ServiceNames | undefined
  /** Awaited before each entry is put in. */
  onEntry?(kind: Entry['kind']): Promise<void> | undefined
}

const FEATURES = 'features'
/** Milliseconds after which the reply to a question comes that the recording does not have. */
const NEW_REPLY_MS = 0.1
/** Milliseconds that a timer takes at least: those without a delay that start one another would stop the virtual time. */
const TIMER_MS_MIN = 1
/** Timers of earlier requests that fire before the next request of a shared slot. */
const LEFT_TIMERS_MAX = 10
/** What is done to the seeds of chance, and how far clocks are off. A clock that a module shows in seconds is seen only when it is off by more than one. */
interface OtherChance {
  readonly words: number
  readonly seedDigits: number
  readonly clockMs: number
}
const otherChances: { readonly [C in Chance]: OtherChance | undefined } = {
  recorded: undefined,
  other: { words: 0x9e3779b9, seedDigits: 32, clockMs: 3.7 },
  another: { words: 0x85ebca6b, seedDigits: 16, clockMs: 1234.5 },
}

/** Something that is going to enter the slot. */
type Coming = { /** By the clock of the recording, in milliseconds. */ readonly at: number } & (
  | { readonly what: 'reply'; readonly callNo: unknown; readonly reply: Pick<Reply, 'kind' | 'values'>; readonly entry: number | undefined }
  | { readonly what: 'timer'; readonly no: number; readonly entry: number | undefined }
  | { readonly what: 'abandon'; readonly entry: number | undefined }
)

/** A slot that answers capsules, one after the other. */
export class AnsweringSlot {
  readonly #slot: TapedSlot
  readonly #answerer: Answerer
  readonly #parts: AnsweringParts
  readonly #opened: KeptCapsule
  #requests = 0
  /** The last that clocks have shown. */
  #shownMs: number
  /** Timers that requests, or the load, have left behind, by what clocks of the slot show. */
  #left: { readonly no: number; readonly at: number }[] = []

  private constructor(slot: TapedSlot, loaded: Entered, answerer: Answerer, opened: KeptCapsule, parts: AnsweringParts) {
    this.#slot = slot
    this.#answerer = answerer
    this.#opened = opened
    this.#parts = parts
    this.#shownMs = loaded.shownMs
    const loadedAt = atOf(opened, 0)
    for (const { no, delayMs } of timersIn(loaded.posts)) this.#left.push({ no, at: loadedAt + delayMs })
  }

  /**
   * Loads the version. Its clocks are those of the recording of the capsule, and so is what its chance is seeded from.
   * @throws ModuleError when the modules cannot be loaded; errors of `readBundle`
   */
  static async open(answerer: Answerer, opened: KeptCapsule, parts: AnsweringParts): Promise<AnsweringSlot> {
    const { head, entries } = opened
    const [load] = entries
    if (load === undefined) throw new TypeError(`Recording "${head.id}" has no entries`)
    // What a module sees of its version, and what errors say of it, is to be alike for all that answer.
    const plan = { ...answerer.plan, version: head.version }
    const other = otherChances[answerer.chance]
    const settings = {
      seed: other === undefined ? head.seed : otherSeed(head.seed, other),
      services: servicesOf(plan, opened, parts),
      cpuMs: answerer.cpuMs,
    }
    const { slot, loaded } = await TapedSlot.load(plan, settings, showing(load, { other }), parts)
    return new AnsweringSlot(slot, loaded, answerer, opened, parts)
  }

  /** Whether it can answer more capsules. */
  get isAlive(): boolean {
    return this.#slot.isAlive
  }

  async answer(recorded: KeptCapsule): Promise<Answered> {
    const turn = recorded.entries[recorded.capsule.entries[0]] as Entry
    const shiftMs = this.#shiftOf(recorded, turn)
    await this.#fireLeft(atOf(recorded, recorded.capsule.entries[0]) + shiftMs)
    const run = new AnsweringRun(this.#slot, ++this.#requests, recorded, this.#answerer, this.#parts, { shiftMs, ...this.#wall(recorded) })
    const answered = await run.answer()
    this.#shownMs = Math.max(this.#shownMs, run.shownMs)
    this.#left.push(...run.timersLeft)
    return answered
  }

  /** Has it answer with other stages of the modules that are loaded. */
  runStages(plan: SlotPlan): Promise<void> {
    return this.#slot.runStages(plan, servicesOf(plan, this.#opened, this.#parts))
  }

  /** Bytes that its heap holds once all garbage is collected. */
  heapBytes(): Promise<number> {
    return this.#slot.heapBytes()
  }

  end(): void {
    this.#slot.end()
  }

  /** Capsules of another recording have clocks that began elsewhere. They are shown by the wall clock of the first. */
  #wall({ head }: KeptCapsule): { readonly wallMinusMonotonic: number | undefined } {
    return { wallMinusMonotonic: head.id === this.#opened.head.id ? undefined : (this.#opened.entries[0]?.wallMinusMonotonic ?? 0) }
  }

  /** What to add to the times of a recording so that they fit those that the slot has been shown: time never goes back. */
  #shiftOf(recorded: KeptCapsule, turn: Entry): number {
    const { wallMinusMonotonic = turn.wallMinusMonotonic } = this.#wall(recorded)
    const byWall = turn.wallMinusMonotonic - wallMinusMonotonic + (otherChances[this.#answerer.chance]?.clockMs ?? 0)
    const first = turn.readings[0] ?? atOf(recorded, recorded.capsule.entries[0])
    return Math.max(byWall, this.#requests === 0 ? byWall : this.#shownMs - first)
  }

  /** Fires the timers that are due by now. */
  async #fireLeft(nowMs: number): Promise<void> {
    for (let fired = 0; fired < LEFT_TIMERS_MAX && this.#slot.isAlive; fired++) {
      const next = this.#left.toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > nowMs) return
      this.#left.splice(this.#left.indexOf(next), 1)
      this.#shownMs = Math.max(this.#shownMs, next.at)
      const wallMinusMonotonic = this.#opened.entries[0]?.wallMinusMonotonic ?? 0
      const { posts } = await this.#slot.enter('fireTimer', [next.no], { readings: [], beyond: this.#shownMs, wallMinusMonotonic })
      for (const { no, delayMs } of timersIn(posts)) this.#left.push({ no, at: this.#shownMs + delayMs })
    }
  }
}

/** When an entry was put in, by the monotonic clock of the cell that recorded it. */
const atOf = ({ head, entries }: Pick<KeptCapsule, 'head' | 'entries'>, place: number): number =>
  head.startedAtMs + (entries[place]?.atMs ?? 0)

interface Shift {
  readonly shiftMs?: number
  readonly other?: OtherChance | undefined
  readonly wallMinusMonotonic?: number | undefined
}

/** What clocks show while an entry runs that was recorded. */
function showing(entry: Entry, { shiftMs = 0, other, wallMinusMonotonic = entry.wallMinusMonotonic }: Shift): Showing {
  const all = shiftMs === 0 ? entry.readings : entry.readings.map(reading => reading + shiftMs)
  const readings = other ? [] : all
  const seed = other === undefined ? entry.seed : entry.seed?.map(word => (word ^ other.words) >>> 0)
  return { readings, beyond: (other ? all[0] : all.at(-1)) ?? 0, wallMinusMonotonic, seed }
}

const otherSeed = (seed: string, { seedDigits }: OtherChance): string => `${seed.slice(seedDigits)}${seed.slice(0, seedDigits)}`

function servicesOf(plan: SlotPlan, { head }: KeptCapsule, { features, services = {} }: AnsweringParts): ServiceNames {
  const methodsOf = (name: string) => head.services[name] ?? (name === FEATURES ? features?.methods : services[name]) ?? []
  return Object.fromEntries([...lockedServices(plan.lock)].map(name => [name, methodsOf(name)]))
}

function timersIn(posts: readonly Parameters<Post>[]): { readonly no: number; readonly delayMs: number }[] {
  return posts.flatMap(([kind, no, delayMs]) =>
    kind === 'timer' ? [{ no: Number(no), delayMs: Math.max(TIMER_MS_MIN, Number(delayMs)) }] : [],
  )
}

/** One capsule on its way through a slot. */
class AnsweringRun {
  readonly #slot: TapedSlot
  readonly #no: number
  readonly #recorded: KeptCapsule
  readonly #outside: RecordedOutside
  readonly #answerer: Answerer
  readonly #parts: AnsweringParts
  readonly #shift: Shift & { readonly shiftMs: number }
  #coming: Coming[] = []
  #nowMs: number
  readonly #beganMs: number
  /** Places of recorded entries whose readings have been given. */
  readonly #given = new Set<number>()
  /** Questions whose reply had not come when the recorded answer was there. */
  readonly #unanswered: NewCall[] = []
  #entries = 0
  #answer: CapturedAnswer | undefined
  /** Whether all that belongs to the answer has been said. */
  #isOver = false
  #killed = false
  readonly #newCalls: NewCall[] = []
  readonly #hosts = new Set<string>()
  readonly #logs: LogLine[] = []
  #stageMs: readonly number[]
  #cpuMs = 0
  #tookMs = 0
  /** The last that clocks have shown. */
  shownMs: number

  constructor(
    slot: TapedSlot,
    no: number,
    recorded: KeptCapsule,
    answerer: Answerer,
    parts: AnsweringParts,
    shift: Shift & { readonly shiftMs: number },
  ) {
    this.#slot = slot
    this.#no = no
    this.#recorded = recorded
    this.#outside = new RecordedOutside(recorded)
    this.#answerer = answerer
    this.#parts = parts
    this.#shift = { ...shift, other: otherChances[answerer.chance] }
    this.#stageMs = answerer.plan.lock.map(() => 0)
    this.#nowMs = this.#beganMs = this.#at(recorded.capsule.entries[0])
    this.shownMs = this.#nowMs + shift.shiftMs
  }

  async answer(): Promise<Answered> {
    const place = this.#recorded.capsule.entries[0]
    const values = this.#turnValues(this.#recorded.entries[place] as Entry)
    await this.#enter('turn', [this.#no, values], place)
    this.#expectDeadline(values)
    while (this.#answer === undefined) await this.#goOn()
    const [waitedMs, cpuMs, tookMs] = [this.#nowMs - this.#beganMs, this.#cpuMs, this.#tookMs]
    this.#isOver = true
    if (!this.#killed) await this.#deliverRest()
    return {
      capsule: this.#recorded.capsule.id,
      answer: this.#answer,
      newCalls: this.#newCalls,
      hosts: [...this.#hosts],
      cpuMs,
      tookMs,
      waitedMs,
      stageMs: this.#stageMs,
      killed: this.#killed,
      logs: this.#logs.map(({ level, message, module }) => ({ level, message, module })),
    }
  }

  /** Timers that it leaves behind, by what clocks of the slot show. */
  get timersLeft(): { readonly no: number; readonly at: number }[] {
    return this.#coming.flatMap(coming => (coming.what === 'timer' ? [{ no: coming.no, at: coming.at + this.#shift.shiftMs }] : []))
  }

  // ── what enters ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #at(place: number): number {
    return atOf(this.#recorded, place)
  }

  #turnValues({ values: [, recorded] }: Entry): (string | number)[] {
    const [id = '', body = '', unit = '', deadlineAt = 0, params = '{}', bucket = -1] = recorded as (string | number)[]
    const values = [id, body, unit, Number(deadlineAt) + this.#shift.shiftMs, this.#paramsOf(params), bucket]
    if (values.length !== REQUEST_STRIDE) throw new TypeError('A turn has other values than its request')
    return values
  }

  #paramsOf(recorded: string | number): string | number {
    const { params } = this.#answerer
    if (params === undefined) return recorded
    return JSON.stringify(
      Object.assign({}, params.sceneParams, params.versionParams, ...this.#recorded.capsule.arms.map(({ values }) => values)),
    )
  }

  #expectDeadline(values: readonly (string | number)[]): void {
    const place = this.#outside.abandonedIn(this.#recorded.capsule.no)
    const at = place === undefined ? Number(values[3]) - this.#shift.shiftMs : this.#at(place)
    this.#coming.push({ what: 'abandon', at, entry: place })
  }

  /** Puts in what comes next. */
  async #goOn(): Promise<void> {
    const next = this.#takeNext()
    const [first] = next
    if (first === undefined) return this.#fail('MODULE_KILLED', 'nothing was left that it could wait for', false)
    if (++this.#entries > limits.capsule.answerEntriesMax) {
      return this.#fail('MODULE_KILLED', `it went on after ${limits.capsule.answerEntriesMax} replies and timers`, true)
    }
    this.#nowMs = Math.max(this.#nowMs, first.at)
    if (first.what === 'abandon') {
      await this.#enter('abandon', [this.#no], first.entry)
      this.#newCalls.push(...this.#unanswered)
      const message = `No answer from scene "${this.#answerer.plan.scene}" before its deadline`
      this.#answer ??= { failure: { code: 'DEADLINE_EXCEEDED', message } }
    } else if (first.what === 'timer') await this.#enter('fireTimer', [first.no], first.entry)
    else await this.#enter(first.reply.kind, valuesOfReplies(next), first.entry)
  }

  /** What is due first: one thing, or the replies that went in together. */
  #takeNext(): Coming[] {
    this.#coming.sort((a, b) => a.at - b.at || (a.entry ?? Infinity) - (b.entry ?? Infinity))
    const [first] = this.#coming
    if (first === undefined) return []
    const isWithFirst = (coming: Coming) =>
      coming === first || (isCallReply(first) && isCallReply(coming) && coming.at === first.at && coming.entry === first.entry)
    const taken = this.#coming.filter(isWithFirst)
    this.#coming = this.#coming.filter(coming => !isWithFirst(coming))
    return taken
  }

  /** Modules may keep a promise of a reply for later requests. */
  async #deliverRest(): Promise<void> {
    this.#coming = this.#coming.filter(({ what }) => what !== 'abandon')
    while (this.#slot.isAlive && this.#coming.some(({ what }) => what === 'reply') && this.#entries < limits.capsule.answerEntriesMax)
      await this.#goOn()
  }

  async #enter(kind: Exclude<Entry['kind'], 'load'>, values: readonly unknown[], place: number | undefined): Promise<Entered> {
    await this.#parts.onEntry?.(kind)
    const entered = await this.#slot.enter(kind, values, this.#showing(place))
    this.shownMs = entered.shownMs
    this.#cpuMs += entered.cpuMs
    this.#tookMs += entered.tookMs
    this.#takeAnswer(entered)
    for (const post of entered.posts) await this.#take(post)
    if (entered.killed !== undefined) this.#fail('MODULE_KILLED', entered.killed, true)
    return entered
  }

  #showing(place: number | undefined): Showing {
    const entry = place === undefined || this.#given.has(place) ? undefined : this.#recorded.entries[place]
    const {
      wallMinusMonotonic = this.#recorded.entries[this.#recorded.capsule.entries[0]]?.wallMinusMonotonic ?? 0,
      shiftMs,
      other,
    } = this.#shift
    const soonest = Math.max(this.#nowMs + shiftMs, this.shownMs)
    if (entry === undefined || place === undefined) return { readings: [], beyond: soonest, wallMinusMonotonic }
    this.#given.add(place)
    // What is on time finds the readings that were recorded, bit for bit.
    const lateMs = this.#nowMs - this.#at(place)
    const shown = showing(entry, { shiftMs: shiftMs + lateMs, other, wallMinusMonotonic: this.#shift.wallMinusMonotonic })
    return entry.readings.length === 0 ? { ...shown, beyond: soonest } : shown
  }

  // ── what it says ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #take([kind, ...values]: Parameters<Post>): Promise<void> {
    if (kind === 'log') this.#takeLines(values)
    else if (kind === 'timer') this.#startTimer(Number(values[0]), Number(values[1]))
    else if (kind === 'unfetch') this.#coming = this.#coming.filter(coming => coming.what !== 'reply' || coming.callNo !== values[0])
    else if (kind === 'broken') this.#fail('MODULE_KILLED', 'a module has changed a built-in for good', true)
    else if (kind === 'fetch') this.#takeFetch(values)
    else if (kind === 'calls') {
      for (let i = 0; i < values.length; i += CALL_STRIDE) {
        const [callNo, , service, method, input] = values.slice(i, i + CALL_STRIDE)
        await this.#takeCall(callNo, String(service), String(method), String(input))
      }
    }
  }

  #takeAnswer(entered: Entered): void {
    const found = this.#answer === undefined ? answerIn(entered, this.#no, this.#answerer.plan) : undefined
    if (found === undefined) return
    this.#answer = found.answer
    this.#stageMs = found.stageMs ?? this.#stageMs
  }

  #takeLines([no, json]: readonly unknown[]): void {
    if (no === this.#no) this.#logs.push(...(parseLines(json) ?? []).slice(0, limits.slot.logLinesPerSecondMax))
  }

  #startTimer(no: number, delayMs: number): void {
    const recorded = this.#outside.takeTimer(delayMs)
    if (recorded === undefined)
      this.#coming.push({ what: 'timer', no, at: this.#nowMs + Math.max(TIMER_MS_MIN, delayMs), entry: undefined })
    else this.#coming.push({ what: 'timer', no, at: this.#whenAfter(recorded.askedIn, recorded.firedIn), entry: recorded.firedIn })
  }

  /** When something is due that came with the entry `then`, after it was asked for in the entry `asked`. */
  #whenAfter(asked: number, then: number): number {
    const lateMs = this.#nowMs - this.#at(asked)
    return lateMs === 0 ? this.#at(then) : this.#nowMs + (this.#at(then) - this.#at(asked))
  }

  async #takeCall(callNo: unknown, service: string, method: string, input: string): Promise<void> {
    const found = this.#outside.take(keyOfCall(service, method, input))
    const { features } = this.#parts
    if (service === FEATURES && features !== undefined && (features.anew || found?.reply === undefined)) {
      const values = await features.ask(method, input)
      this.#reply(callNo, { ...(found?.reply ?? { askedIn: undefined }), kind: 'settleCalls', values })
      return
    }
    const isScene = service === ''
    const call: NewCall = { kind: isScene ? 'call' : 'service', target: isScene ? method : `${service}.${method}` }
    this.#answerWith(callNo, found, call, isScene ? 'SLOT_UNAVAILABLE' : 'SERVICE_FAILED')
  }

  #takeFetch([callNo, , , method, head, body]: readonly unknown[]): void {
    const host = hostOf(String(head))
    this.#hosts.add(host)
    const found = this.#outside.take(keyOfFetch(method, head, body))
    this.#answerWith(callNo, found, { kind: 'fetch', target: host }, 'FETCH_FAILED')
  }

  #answerWith(callNo: unknown, found: { readonly reply: Reply | undefined } | undefined, call: NewCall, code: string): void {
    if (found?.reply !== undefined) this.#reply(callNo, found.reply)
    // The recorded answer did not wait for it.
    else if (found !== undefined) this.#unanswered.push(call)
    else {
      if (!this.#isOver) this.#newCalls.push(call)
      const text = JSON.stringify({ code, message: `The capsule has no reply of "${call.target}"` })
      this.#reply(callNo, { kind: 'settleCalls', values: [0, text], askedIn: undefined })
    }
  }

  #reply(
    callNo: unknown,
    reply: Pick<Reply, 'kind' | 'values'> & ({ readonly askedIn: undefined } | Pick<Reply, 'askedIn' | 'cameWith'>),
  ): void {
    if (reply.askedIn === undefined) {
      this.#coming.push({ what: 'reply', callNo, reply, at: this.#nowMs + NEW_REPLY_MS, entry: undefined })
      return
    }
    const isOwn = reply.cameWith >= this.#recorded.capsule.entries[0] && reply.askedIn >= this.#recorded.capsule.entries[0]
    const at = this.#whenAfter(reply.askedIn, reply.cameWith)
    this.#coming.push({ what: 'reply', callNo, reply, at, entry: isOwn ? reply.cameWith : undefined })
  }

  #fail(code: string, why: string, killed: boolean): void {
    this.#killed ||= killed
    this.#answer ??= { failure: { code, message: `The slot of scene "${this.#answerer.plan.scene}" was killed: ${why}` } }
  }
}

const isCallReply = (coming: Coming): boolean => coming.what === 'reply' && coming.reply.kind === 'settleCalls'

/** The values of an entry that brings these replies. */
function valuesOfReplies(coming: readonly Coming[]): readonly unknown[] {
  const replies = coming.flatMap(one => (one.what === 'reply' ? [[one.callNo, ...one.reply.values]] : []))
  return coming.some(isCallReply) ? [replies.flat()] : (replies[0] ?? [])
}

function hostOf(head: string): string {
  try {
    return new URL((JSON.parse(head) as { readonly url: string }).url).host
  } catch {
    return ''
  }
}
