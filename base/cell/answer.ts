/**
 * The data path leads a request from outside whose body has arrived, or a `ctx.call` of a module, to its answer. In order, with its exits:
 *
 *   chain of calls ── CALL_CYCLE · CALL_TOO_DEEP, for a `ctx.call`
 *   scene table ── 404 SCENE_NOT_FOUND · 503 BASE_NOT_READY
 *   caller allowed? ── 401 UNAUTHENTICATED · 429 RATE_LIMITED · 403 FORBIDDEN, also for a `ctx.call`
 *   admission ── 503 SCENE_OVERLOADED · 429 RATE_LIMITED
 *   unit ── 400 UNIT_TOO_LONG · UNIT_INVALID · HEADER_INVALID · BODY_MALFORMED
 *   decide ── 404 VERSION_NOT_FOUND · SCENE_WITHOUT_BASELINE · 503 VERSION_QUARANTINED
 *   breaker ── 503 BREAKER_OPEN
 *   slot ── 503 SLOT_UNAVAILABLE · SCENE_OVERLOADED · MODULE_KILLED · 504 DEADLINE_EXCEEDED · 500 MODULE_THREW · RESULT_… · 400 BODY_MALFORMED ·
 *     413 BODY_TOO_LARGE · 400 REQUEST_INVALID · 422 REQUEST_REJECTED
 *   answer
 */
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { CaptureReason } from '../capsule/capsule.ts'
import { demandShallow } from '../inside/protocol.ts'
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { idAt } from '../kernel/exact-json.ts'
import type { Guesses } from '../kernel/guesses.ts'
import { bearerToken, headerText, type Trace } from '../kernel/headers.ts'
import { limits } from '../kernel/limits.ts'
import type { Recorder } from '../slot/recorder.ts'
import type { Slot } from '../slot/slot.ts'
import type { Pending, SlotAnswer, SlotCall } from '../slot/slot-call.ts'
import { type Slots, unavailable } from '../slot/slots.ts'
import { type Decision, type DecisionInput, decide } from '../traffic/decide.ts'
import { atPath } from '../traffic/pointer.ts'
import { type CompiledTable, holds, type Scene } from '../traffic/scene.ts'
import type { Right } from '../traffic/schema.ts'
import type { SlotPlan, TokenEntry } from '../traffic/table.ts'
import { type Attribute, readAttribute } from '../traffic/targeting.ts'
import type { Captures } from './capture.ts'
import type { Admission, Permit } from './scene-admission.ts'
import { NO_TABLE } from './table-in-force.ts'

/** How far a request has got. It is filled in on the way, for those who count and log how the request ended. */
export interface Progress {
  decision: Decision | undefined
  token: TokenEntry | undefined
  /** Id of the scene; undefined until it is known that there is such a scene. */
  scene: string | undefined
  /** The id of its capsule, or why it has none though it asked for one; undefined when it is served as most are. */
  capsule: string | undefined
}

/** A request to a scene with its headers read and its body whole. It knows how far it has got, and learns how it ends: by `succeed` or by `fail`, once. */
export interface SceneRequest extends Progress {
  /** What it names as the scene. There may be no such scene. */
  readonly sceneAsked: string
  readonly requestId: string
  readonly body: string
  /** The address that it came from; empty for a `ctx.call`. */
  readonly address: string
  /** By lower-case names. */
  readonly headers: IncomingHttpHeaders
  /** When its body was whole, by `performance.now()`. */
  readonly arrivedAt: number
  /**
   * Must not throw, and neither must `fail`: requests end together, and those behind it would have no answer.
   * @param decideMs milliseconds from the body's last byte until the slot was known
   */
  succeed(answer: SlotAnswer, decideMs: number): void
  /** @param error a BerthError, or a defect */
  fail(error: unknown): void
}

/** What every request is served with. */
export interface Serving {
  readonly slots: Slots
  readonly admission: Admission
  readonly guesses: Guesses
  readonly captures: Captures
}

/** Answers a request from outside against one snapshot of the scene table. Every exit is a call of `request.fail` with a BerthError. */
export function serve(table: CompiledTable, serving: Serving, request: SceneRequest): void {
  new RequestRun(serving, request, undefined).start(table)
}

/**
 * Answers a `ctx.call` from inside a slot: no network. What the request from outside may call, the scenes that serve it may call for it. The callee sees
 * the unit and the request id of the caller, and has what is left of the caller's deadline. The limits of the callee hold as for any request. In a load test
 * the call is a load test too, so that it opens no breaker.
 * @param input JSON
 * @returns JSON
 * @throws BerthError for every exit
 */
export function serveCall(table: CompiledTable, serving: Serving, scene: string, input: string, caller: SlotCall): Promise<string> {
  return new Promise((resolve, reject) => {
    const request: SceneRequest = {
      sceneAsked: scene,
      requestId: caller.requestId,
      body: input,
      address: '',
      headers: noHeaders,
      arrivedAt: performance.now(),
      decision: undefined,
      token: undefined,
      scene: undefined,
      capsule: undefined,
      succeed: ({ json }) => resolve(json),
      fail: reject,
    }
    new RequestRun(serving, request, caller).start(table)
  })
}

const noHeaders: IncomingHttpHeaders = {}

/**
 * One request on its way to its answer. All that is known of it only here is in one object, which the slot takes too: each request makes one, and objects, promises
 * and functions that are made for each request are most of what this path costs.
 */
class RequestRun implements DecisionInput, Pending {
  readonly request: SceneRequest
  /** The request that makes this one by `ctx.call`; undefined for one from outside. */
  readonly caller: SlotCall | undefined
  readonly pin: string | undefined
  readonly loadtest: boolean
  readonly asksForCapsule: boolean
  readonly requestId: string
  /** Set once the request has been admitted: to read it may take the body. */
  unit: string | undefined = undefined
  /** Set once it is known which slot the request goes into. */
  call!: SlotCall
  no = 0
  calledAt = 0
  sentAt = 0
  done = false
  calledOut = false
  calledService = false
  alone = false
  readonly #serving: Serving
  #permit: Permit | undefined = undefined
  /** Whether the caller had less time left than the scene allows. That a request is late then says nothing about the version. */
  #isHurried = false
  #decideMs = 0
  /** Milliseconds that it took to load the slot. */
  #loadMs = 0
  /** What came of it: one of the two. */
  #answer: SlotAnswer | undefined = undefined
  #error: unknown = undefined
  /** The body is parsed once at most, and only when the unit or a condition of a rule has to be read from it. */
  #body: { readonly parsed: unknown } | undefined = undefined

  constructor(serving: Serving, request: SceneRequest, caller: SlotCall | undefined) {
    const { headers } = request
    this.request = request
    this.caller = caller
    this.pin = headers['x-scene-version'] as string | undefined
    this.loadtest = caller === undefined ? headers['x-scene-loadtest'] !== undefined : caller.loadtest === true
    this.asksForCapsule = caller === undefined && headers['x-scene-capture'] !== undefined
    this.requestId = request.requestId
    this.#serving = serving
  }

  start(table: CompiledTable): void {
    const { request, caller } = this
    try {
      const chain = caller && extendChain(caller.chain, request.sceneAsked)
      const scene = findScene(table, request.sceneAsked)
      request.scene = scene.id
      if (caller === undefined) request.token = authorise(table, this.#serving.guesses, scene, this)
      else demandCaller(scene, caller)
      const permit = this.#serving.admission.admit(scene, caller && { from: caller.chain.at(-1) ?? '', bytes: countedBytes(request.body) })
      this.#permit = permit
      const decision = this.#decide(scene, permit)
      this.call = this.#callOf(scene, decision, chain ?? scene.chain)
      this.#decideMs = performance.now() - request.arrivedAt
      const { captures } = this.#serving
      if (this.asksForCapsule) this.#askForCapsule(scene, decision, permit)
      else if (--captures.untilNext > 0) this.#goOn(decision.plan, permit)
      else this.#beSampled(captures.sample(scene, decision, this.loadtest), scene, decision, permit)
    } catch (error) {
      this.#fail(error)
    }
  }

  #goOn(plan: SlotPlan, permit: Permit): void {
    const slot = this.#serving.slots.peek(plan)
    if (slot === undefined) this.#load(plan, permit)
    else this.#goInto(slot, permit)
  }

  #beSampled(recorder: Recorder | undefined, scene: Scene, decision: Decision, permit: Permit): void {
    if (recorder === undefined) this.#goOn(decision.plan, permit)
    else this.#beRecorded(recorder, scene, decision, permit, 'sampled')
  }

  #askForCapsule(scene: Scene, decision: Decision, permit: Permit): void {
    this.#serving.captures
      .await(scene, decision, this.call)
      .then(recorder => {
        if (typeof recorder === 'string') {
          this.request.capsule = `none; ${recorder}`
          this.#goOn(decision.plan, permit)
        } else if (recorder.isIdle) this.#beRecorded(recorder, scene, decision, permit, 'asked')
        // Another request has taken it since.
        else this.#askForCapsule(scene, decision, permit)
      })
      .catch((error: unknown) => this.#fail(error))
  }

  /** @throws BerthError when the recorder does not take it */
  #beRecorded(recorder: Recorder, scene: Scene, decision: Decision, permit: Permit, why: CaptureReason): void {
    permit.use(recorder.slot, this.call.deadlineAt)
    this.request.capsule = this.#serving.captures.record(recorder, { scene, decision, call: this.call }, this, why)
  }

  #decide(scene: Scene, permit: Permit): Decision {
    this.unit = this.caller === undefined ? readUnit(scene, this) : this.caller.unit
    checkAttributes(scene, this)
    const decision = decide(scene, this)
    this.request.decision = decision
    permit.pass(decision)
    return decision
  }

  #callOf(scene: Scene, { params, bucket }: Decision, chain: readonly string[]): SlotCall {
    const { request, caller } = this
    const deadlineAt = request.arrivedAt + scene.deadlineMs
    this.#isHurried = caller !== undefined && caller.deadlineAt < deadlineAt
    return {
      requestId: request.requestId,
      body: request.body,
      unit: this.unit,
      deadlineAt: caller === undefined ? deadlineAt : Math.min(caller.deadlineAt, deadlineAt),
      cpuMs: scene.cpuMs,
      deadlineMs: scene.deadlineMs,
      params,
      bucket,
      chain,
      trace: caller === undefined ? traceOf(request) : caller.trace,
      loadtest: this.loadtest,
      mayCall: caller === undefined ? request.token !== undefined && holds(request.token, 'call') : caller.mayCall,
    }
  }

  #load(plan: SlotPlan, permit: Permit): void {
    const askedAt = performance.now()
    const load = this.#serving.slots.ensure(plan).catch((error: unknown) => {
      throw unavailable(plan, error)
    })
    withDeadline(load, this.call.deadlineAt, plan.scene)
      .then(slot => {
        this.#loadMs = performance.now() - askedAt
        this.#goInto(slot, permit)
      })
      .catch((error: unknown) => this.#fail(error))
  }

  /** @throws BerthError when the slot does not take it */
  #goInto(slot: Slot, permit: Permit): void {
    permit.use(slot, this.call.deadlineAt)
    slot.begin(this)
  }

  /** What the slot says. */
  resolve(answer: SlotAnswer): void {
    this.#answer = answer
    endSoon(this)
  }

  /** What the slot says. */
  reject(error: BerthError): void {
    this.#error = error
    endSoon(this)
  }

  /** Passes on what the slot has said. */
  end(): void {
    const answer = this.#answer
    if (answer === undefined) {
      this.#endFailed(this.#error)
      return
    }
    this.#permit?.leave(undefined)
    // The wait for the slot was part of the wait in it.
    this.request.succeed(this.#loadMs === 0 ? answer : { ...answer, queueMs: answer.queueMs + this.#loadMs }, this.#decideMs)
  }

  #endFailed(error: unknown): void {
    const { decision, capsule } = this.request
    this.#fail(error)
    if (decision !== undefined && capsule === undefined)
      this.#serving.captures.runAgain(decision, this.call, error, this.calledOut || this.calledService)
  }

  #fail(error: unknown): void {
    const failure = toBerthError(error)
    this.#permit?.leave(failure, this.#isHurried && failure.code === 'DEADLINE_EXCEEDED')
    this.request.fail(error)
  }

  attribute(attribute: Attribute): unknown {
    return readAttribute(attribute, this)
  }

  /** @throws HEADER_INVALID */
  header(name: string): string | undefined {
    const value = headerOf(this.request, name)
    try {
      return value === undefined ? undefined : headerText(value)
    } catch (error) {
      throw new BerthError('HEADER_INVALID', `Cannot read the header "${name}": ${messageOf(error)}`)
    }
  }

  get text(): string | undefined {
    return this.caller === undefined ? this.request.body : undefined
  }

  /** @throws BODY_MALFORMED */
  body(): unknown {
    this.#body ??= { parsed: parseBody(this.request.body) }
    return this.#body.parsed
  }
}

/** Requests of which the slot has said how they ended. */
const ending: RequestRun[] = []
const resolved = Promise.resolve()

/** Ends the request when the code of the slot is through with what the isolate has said, and has given it more to do: to write answers takes longer than that. */
function endSoon(run: RequestRun): void {
  if (ending.push(run) === 1) resolved.then(endAll)
}

function endAll(): void {
  for (const run of ending.splice(0)) run.end()
}

/** Bytes of memory that an input takes, as far as they are counted: small inputs are bounded by their number. */
const countedBytes = ({ length }: string): number => (length > limits.cell.bytesCountedFrom ? length : 0)

/** A header by its lower-case name. */
function headerOf({ headers }: SceneRequest, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/** @throws CALL_CYCLE, CALL_TOO_DEEP */
function extendChain(callers: readonly string[], scene: string): readonly string[] {
  const chain = [...callers, scene]
  const isCycle = callers.includes(scene)
  if (!isCycle && chain.length <= limits.calls.depthMax) return chain
  const path = chain.join(' → ')
  if (isCycle) throw new BerthError('CALL_CYCLE', `Cannot call scene "${scene}": it is under way already in ${path}`)
  throw new BerthError(
    'CALL_TOO_DEEP',
    `Cannot call scene "${scene.slice(0, 128)}": ${path.slice(0, 1024)} is over the limit of ${limits.calls.depthMax} scenes`,
  )
}

function traceOf(request: SceneRequest): Trace | undefined {
  const { traceparent: parent, tracestate: state } = request.headers as Readonly<Record<string, string | undefined>>
  // It is checked where it is sent on, if it ever is.
  return parent === undefined ? undefined : { parent, state }
}

function findScene(table: CompiledTable, id: string): Scene {
  const scene = table.scenes.get(id)
  if (scene !== undefined) return scene
  // Without a table it is not known whether there is such a scene.
  if (table.revision === 0) throw new BerthError('BASE_NOT_READY', NO_TABLE, { retryAfterSeconds: 1 })
  throw new BerthError('SCENE_NOT_FOUND', `Cannot serve scene "${id.slice(0, 128)}": no such scene`)
}

/** Bounds the wait for a slot that is being loaded. Once a request is in a slot, the slot keeps its deadline. */
function withDeadline(slot: Promise<Slot>, deadlineAt: number, scene: string): Promise<Slot> {
  return new Promise((resolve, reject) => {
    const late = () =>
      reject(new BerthError('DEADLINE_EXCEEDED', `No answer from scene "${scene}" before its deadline: its version was still loading`))
    const timer = setTimeout(late, Math.max(0, deadlineAt - performance.now()))
    slot.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/**
 * The token of whoever sent the request; undefined when none was sent.
 * @throws UNAUTHENTICATED, RATE_LIMITED; FORBIDDEN when the request needs a right that the token does not have
 */
function authorise(
  table: CompiledTable,
  guesses: Guesses,
  scene: Scene,
  { request, pin, loadtest, asksForCapsule }: RequestRun,
): TokenEntry | undefined {
  const token = findToken(table, guesses, request)
  if (scene.definition.access === 'token') demand(token, 'call', `call scene "${scene.id}"`)
  if (pin !== undefined) demand(token, 'pin', 'choose a version with x-scene-version')
  if (loadtest) demand(token, 'pin', 'mark a request with x-scene-loadtest')
  if (asksForCapsule) demand(token, 'pin', 'have a request captured with x-scene-capture')
  return token
}

function findToken(table: CompiledTable, guesses: Guesses, request: SceneRequest): TokenEntry | undefined {
  const { authorization } = request.headers
  if (authorization === undefined) return undefined
  const secret = bearerToken(authorization)
  // The token is looked up by its digest, so how long the look-up takes says nothing about the secret.
  const token = secret === undefined ? undefined : table.tokens.get(createHash('sha256').update(secret).digest('hex'))
  if (token === undefined) throw guesses.refuse(request.address, 'Cannot accept the Authorization header: it holds no valid bearer token')
  return token
}

/**
 * Of the scenes for token holders, a scene may call those that list it. It may call the others only when whoever sent the request could have called them
 * too: otherwise a public scene would lend its callers a right that nobody gave them.
 * @throws FORBIDDEN
 */
function demandCaller({ id, definition }: Scene, { chain, mayCall }: SlotCall): void {
  const from = chain.at(-1) ?? ''
  if (definition.access !== 'token' || mayCall || definition.callers?.includes(from)) return
  const fix = `list "${from}" under "callers" of scene "${id}", or send the request with a token that has the right "call"`
  throw new BerthError('FORBIDDEN', `Cannot call scene "${id}" from scene "${from}": it is for callers with a token; ${fix}`)
}

function demand(token: TokenEntry | undefined, right: Right, what: string): void {
  if (token === undefined) throw new BerthError('UNAUTHENTICATED', `Cannot ${what} without a token with the right "${right}"`)
  if (!holds(token, right)) throw new BerthError('FORBIDDEN', `Cannot ${what}: token "${token.id}" lacks the right "${right}"`)
}

/** @throws UNIT_TOO_LONG, UNIT_INVALID, BODY_MALFORMED */
function readUnit(scene: Scene, facts: RequestRun): string | undefined {
  const unit = unitInHeader(scene, facts) ?? unitInBody(scene, facts)
  if (unit === undefined || unit === '') return undefined
  // A UTF-16 code unit is at least one byte of UTF-8 and at most three.
  if (unit.length * 3 <= limits.request.unitIdBytesMax) return unit
  const bytes = Buffer.byteLength(unit)
  if (bytes <= limits.request.unitIdBytesMax) return unit
  throw new BerthError('UNIT_TOO_LONG', `Cannot use the unit id: it has ${bytes} bytes, the limit is ${limits.request.unitIdBytesMax}`)
}

/** @throws UNIT_INVALID */
function unitInHeader({ unitHeader }: Scene, { request }: RequestRun): string | undefined {
  const value = headerOf(request, unitHeader)
  if (value === undefined) return undefined
  try {
    return headerText(value)
  } catch (error) {
    throw new BerthError('UNIT_INVALID', `Cannot use the header "${unitHeader}" as a unit id: ${messageOf(error)}`)
  }
}

/**
 * Checks the headers that hold attributes, whether a rule asks for them at present or not: otherwise the start of an experiment would refuse callers
 * who have been answered so far.
 * @throws HEADER_INVALID
 */
function checkAttributes({ attributeHeaders }: Scene, facts: RequestRun): void {
  for (const header of attributeHeaders) facts.header(header)
}

function parseBody(body: string): unknown {
  try {
    demandShallow(body)
    return JSON.parse(body)
  } catch (error) {
    throw new BerthError('BODY_MALFORMED', `Cannot read the body: ${messageOf(error)}`)
  }
}

function unitInBody({ unitPath, definition }: Scene, facts: RequestRun): string | undefined {
  if (unitPath === undefined) return undefined
  const found = atPath(facts.body(), unitPath)
  if (found === undefined || found === null) return undefined
  if (typeof found === 'string') return found
  const refuse = (why: string) => new BerthError('UNIT_INVALID', `Cannot use the unit id at ${definition.traffic.unit.pointer}: ${why}`)
  if (typeof found !== 'number') throw refuse('it is not a string or number')
  try {
    return idAt(facts.request.body, unitPath, found)
  } catch (error) {
    throw refuse(messageOf(error))
  }
}
