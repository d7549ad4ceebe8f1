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
import { demandShallow } from '../inside/protocol.ts'
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { idAt } from '../kernel/exact-json.ts'
import type { Guesses } from '../kernel/guesses.ts'
import { bearerToken, headerText, type Trace } from '../kernel/headers.ts'
import { limits } from '../kernel/limits.ts'
import type { Slot } from '../slot/slot.ts'
import type { SlotAnswer, SlotCall } from '../slot/slot-call.ts'
import { type Slots, unavailable } from '../slot/slots.ts'
import { type Decision, type DecisionInput, decide } from '../traffic/decide.ts'
import { atPath } from '../traffic/pointer.ts'
import { type CompiledTable, holds, type Scene } from '../traffic/scene.ts'
import type { Right } from '../traffic/schema.ts'
import type { TokenEntry } from '../traffic/table.ts'
import { type Attribute, readAttribute } from '../traffic/targeting.ts'
import type { Admission, Permit } from './scene-admission.ts'
import { NO_TABLE } from './table-in-force.ts'

/** A request to a scene with its headers read and its body whole. */
export interface SceneRequest {
  /** Id of the scene that it asks for. */
  readonly scene: string
  readonly requestId: string
  readonly body: string
  /** The address that it came from; empty for a `ctx.call`. */
  readonly address: string
  /** A header of the request, by its lower-case name. */
  header(name: string): string | undefined
}

export interface Answer extends SlotAnswer {
  readonly decision: Decision
  /** Milliseconds from the body's last byte until the slot was known. */
  readonly decideMs: number
}

/** How far a request has got. It is filled in on the way, for those who count and log how the request ended. */
export interface Progress {
  decision: Decision | undefined
  token: TokenEntry | undefined
  /** Id of the scene; undefined until it is known that there is such a scene. */
  scene: string | undefined
}

/** What every request is served with. */
export interface Serving {
  readonly slots: Slots
  readonly admission: Admission
  readonly guesses: Guesses
}

/**
 * Answers a request from outside against one snapshot of the scene table.
 * @param arrivedAt when its body was whole, by `performance.now()`
 * @throws BerthError for every exit; `progress` says how far it got
 */
export function serve(
  table: CompiledTable,
  serving: Serving,
  request: SceneRequest,
  arrivedAt: number,
  progress: Progress,
): Promise<Answer> {
  return answer(table, serving, new RequestFacts(request, undefined), arrivedAt, progress)
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
  const request = { scene, requestId: caller.requestId, body: input, address: '', header: noHeader }
  const progress = { decision: undefined, token: undefined, scene: undefined }
  return answer(table, serving, new RequestFacts(request, caller), performance.now(), progress).then(jsonOf)
}

const jsonOf = ({ json }: Answer): string => json

async function answer(table: CompiledTable, serving: Serving, facts: RequestFacts, arrivedAt: number, progress: Progress): Promise<Answer> {
  const { request, caller } = facts
  const calls = caller && extendChain(caller.chain, request.scene)
  const scene = findScene(table, request.scene)
  progress.scene = scene.id
  if (caller === undefined) progress.token = authorise(table, serving.guesses, scene, facts)
  else demandCaller(scene, caller)
  const { token } = progress
  let isHurried = false
  const permit = serving.admission.admit(scene, caller && { from: caller.chain.at(-1) ?? '', bytes: countedBytes(request.body) })
  try {
    facts.unit = caller === undefined ? readUnit(scene, facts) : caller.unit
    checkAttributes(scene, facts)
    const decision = decide(scene, facts)
    progress.decision = decision
    permit.pass(decision)
    const deadlineAt = arrivedAt + scene.deadlineMs
    isHurried = caller !== undefined && caller.deadlineAt < deadlineAt
    const call: SlotCall = {
      requestId: request.requestId,
      body: request.body,
      unit: facts.unit,
      deadlineAt: caller === undefined ? deadlineAt : Math.min(caller.deadlineAt, deadlineAt),
      cpuMs: scene.cpuMs,
      deadlineMs: scene.deadlineMs,
      params: decision.params,
      bucket: decision.bucket,
      chain: calls ?? scene.chain,
      trace: caller === undefined ? traceOf(request) : caller.trace,
      loadtest: facts.loadtest,
      mayCall: caller === undefined ? token !== undefined && holds(token, 'call') : caller.mayCall,
    }
    const decideMs = performance.now() - arrivedAt
    const { json, degraded, tookMs, queueMs } = await runInSlot(serving.slots, permit, scene, decision, call)
    permit.leave(undefined)
    return { json, degraded, tookMs, queueMs, decision, decideMs }
  } catch (error) {
    const failure = toBerthError(error)
    // That a caller had less time left than the scene allows says nothing about the version.
    permit.leave(failure, isHurried && failure.code === 'DEADLINE_EXCEEDED')
    throw error
  }
}

/** Bytes of memory that an input takes, as far as they are counted: small inputs are bounded by their number. */
const countedBytes = ({ length }: string): number => (length > limits.cell.bytesCountedFrom ? length : 0)

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
  const parent = request.header('traceparent')
  // It is checked where it is sent on, if it ever is.
  return parent === undefined ? undefined : { parent, state: request.header('tracestate') }
}

function findScene(table: CompiledTable, id: string): Scene {
  const scene = table.scenes.get(id)
  if (scene !== undefined) return scene
  // Without a table it is not known whether there is such a scene.
  if (table.revision === 0) throw new BerthError('BASE_NOT_READY', NO_TABLE, { retryAfterSeconds: 1 })
  throw new BerthError('SCENE_NOT_FOUND', `Cannot serve scene "${id.slice(0, 128)}": no such scene`)
}

function runInSlot(slots: Slots, permit: Permit, scene: Scene, { plan }: Decision, call: SlotCall): Promise<SlotAnswer> {
  const into = (slot: Slot) => {
    permit.use(slot, call.deadlineAt)
    return slot.call(call)
  }
  const slot = slots.peek(plan)
  if (slot !== undefined) return into(slot)
  const askedAt = performance.now()
  const afterLoad = async (loaded: Slot): Promise<SlotAnswer> => {
    const loadMs = performance.now() - askedAt
    const answer = await into(loaded)
    return { ...answer, queueMs: answer.queueMs + loadMs }
  }
  const load = slots.ensure(plan).catch((error: unknown) => {
    throw unavailable(plan, error)
  })
  return withDeadline(load, call.deadlineAt, scene.id).then(afterLoad)
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
function authorise(table: CompiledTable, guesses: Guesses, scene: Scene, { request, pin, loadtest }: RequestFacts): TokenEntry | undefined {
  const token = findToken(table, guesses, request)
  if (scene.definition.access === 'token') demand(token, 'call', `call scene "${scene.id}"`)
  if (pin !== undefined) demand(token, 'pin', 'choose a version with x-scene-version')
  if (loadtest) demand(token, 'pin', 'mark a request with x-scene-loadtest')
  return token
}

function findToken(table: CompiledTable, guesses: Guesses, request: SceneRequest): TokenEntry | undefined {
  const authorization = request.header('authorization')
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
function readUnit(scene: Scene, facts: RequestFacts): string | undefined {
  const unit = unitInHeader(scene, facts) ?? unitInBody(scene, facts)
  if (unit === undefined || unit === '') return undefined
  // A UTF-16 code unit is at least one byte of UTF-8 and at most three.
  if (unit.length * 3 <= limits.request.unitIdBytesMax) return unit
  const bytes = Buffer.byteLength(unit)
  if (bytes <= limits.request.unitIdBytesMax) return unit
  throw new BerthError('UNIT_TOO_LONG', `Cannot use the unit id: it has ${bytes} bytes, the limit is ${limits.request.unitIdBytesMax}`)
}

/** @throws UNIT_INVALID */
function unitInHeader({ unitHeader }: Scene, { request }: RequestFacts): string | undefined {
  const value = request.header(unitHeader)
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
function checkAttributes({ attributeHeaders }: Scene, facts: RequestFacts): void {
  for (const header of attributeHeaders) facts.header(header)
}

const noHeader = (): undefined => undefined

/**
 * What a request says of itself. Its body is parsed once at most, and only when the unit or a condition of a rule has to be read from it.
 */
class RequestFacts implements DecisionInput {
  readonly request: SceneRequest
  /** The request that makes this one by `ctx.call`; undefined for one from outside. */
  readonly caller: SlotCall | undefined
  readonly pin: string | undefined
  readonly loadtest: boolean
  readonly requestId: string
  /** Set once the request has been admitted: to read it may take the body. */
  unit: string | undefined = undefined
  #body: { readonly parsed: unknown } | undefined

  constructor(request: SceneRequest, caller: SlotCall | undefined) {
    this.request = request
    this.caller = caller
    this.pin = request.header('x-scene-version')
    this.loadtest = caller === undefined ? request.header('x-scene-loadtest') !== undefined : caller.loadtest === true
    this.requestId = request.requestId
  }

  attribute(attribute: Attribute): unknown {
    return readAttribute(attribute, this)
  }

  /** @throws HEADER_INVALID */
  header(name: string): string | undefined {
    const value = this.request.header(name)
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

function parseBody(body: string): unknown {
  try {
    demandShallow(body)
    return JSON.parse(body)
  } catch (error) {
    throw new BerthError('BODY_MALFORMED', `Cannot read the body: ${messageOf(error)}`)
  }
}

function unitInBody({ unitPath, definition }: Scene, facts: RequestFacts): string | undefined {
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
