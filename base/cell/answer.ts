/**
 * The data path, from a request whose body has arrived to its answer. In order, with its exits:
 *
 *   scene table ── 404 SCENE_NOT_FOUND · 503 BASE_NOT_READY
 *   caller allowed? ── 401 UNAUTHENTICATED · 403 FORBIDDEN
 *   admission ── 503 SCENE_OVERLOADED · 429 RATE_LIMITED
 *   unit ── 400 UNIT_TOO_LONG · UNIT_INVALID · BODY_MALFORMED
 *   decide ── 404 VERSION_NOT_FOUND · SCENE_WITHOUT_BASELINE
 *   breaker ── 503 BREAKER_OPEN
 *   slot ── 503 SLOT_UNAVAILABLE · SCENE_OVERLOADED · MODULE_KILLED · 504 DEADLINE_EXCEEDED · 500 MODULE_THREW · RESULT_… · 400 BODY_MALFORMED
 *   answer
 */
import { createHash } from 'node:crypto'
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { bearerToken, type Trace } from '../kernel/headers.ts'
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

/** A scene request with its headers read and its body whole. */
export interface SceneRequest {
  readonly scene: string
  readonly requestId: string
  readonly body: string
  /** A header of the request, by its lower-case name. */
  header(name: string): string | undefined
}

export interface Answer extends SlotAnswer {
  readonly decision: Decision
  /** Milliseconds from the body's last byte until the slot was known. */
  readonly decideMs: number
}

/** How far a request got, for whoever reports its outcome. Filled in on the way. */
export interface Progress {
  decision: Decision | undefined
  token: TokenEntry | undefined
  /** Id of the scene, once it is known that there is one. */
  scene: string | undefined
}

/** What every request is served with. */
export interface Serving {
  readonly slots: Slots
  readonly admission: Admission
}

/** What every scene is answered by a cell that has found neither the keeper nor a table that it saved. */
export const NO_TABLE = 'Cannot serve any scene: the cell has no scene table yet'

/**
 * Answers one request against one snapshot of the scene table.
 * @param arrivedAt when its body was whole, by `performance.now()`
 * @throws BerthError for every exit; `progress` says how far it got.
 */
export async function serve(
  table: CompiledTable,
  serving: Serving,
  request: SceneRequest,
  arrivedAt: number,
  progress: Progress,
): Promise<Answer> {
  const scene = findScene(table, request.scene)
  progress.scene = scene.id
  const pin = request.header('x-scene-version')
  const loadtest = request.header('x-scene-loadtest') !== undefined
  progress.token = authorise(table, scene, pin, loadtest, request.header('authorization'))
  const permit = serving.admission.admit(scene)
  try {
    const unit = readUnit(scene, request)
    const decision = decide(scene, new Question(request, unit, pin, loadtest))
    progress.decision = decision
    permit.pass(decision)
    const call: SlotCall = {
      requestId: request.requestId,
      body: request.body,
      unit,
      deadlineAt: arrivedAt + scene.deadlineMs,
      cpuMs: scene.cpuMs,
      params: decision.params,
      bucket: decision.bucket,
      chain: scene.chain,
      trace: traceOf(request),
      loadtest,
    }
    const decideMs = performance.now() - arrivedAt
    const { json, degraded, tookMs, queueMs } = await runInSlot(serving.slots, permit, scene, decision, call)
    permit.leave(undefined)
    return { json, degraded, tookMs, queueMs, decision, decideMs }
  } catch (error) {
    permit.leave(toBerthError(error))
    throw error
  }
}

/**
 * A `ctx.call` from inside a slot: no network, and no token, since `access` is about who comes from outside. The callee sees the caller's unit and request id, and has what is left
 * of the caller's deadline. The limits of the callee hold for it like for anyone; a load test is one there too, so that it opens no breaker.
 * @throws BerthError also `CALL_CYCLE` and `CALL_TOO_DEEP`
 */
export async function serveCall(table: CompiledTable, serving: Serving, sceneId: string, input: string, caller: SlotCall): Promise<string> {
  const chain = [...caller.chain, sceneId]
  const path = chain.join(' → ')
  if (caller.chain.includes(sceneId))
    throw new BerthError('CALL_CYCLE', `Cannot call scene "${sceneId}": it is under way already in ${path}`)
  if (chain.length > limits.calls.depthMax) {
    throw new BerthError(
      'CALL_TOO_DEEP',
      `Cannot call scene "${sceneId.slice(0, 128)}": ${path.slice(0, 1024)} is over the limit of ${limits.calls.depthMax} scenes`,
    )
  }
  const scene = findScene(table, sceneId)
  const deadlineAt = Math.min(caller.deadlineAt, performance.now() + scene.deadlineMs)
  const { requestId, unit, trace, loadtest = false } = caller
  const { cpuMs } = scene
  const call = { requestId, body: input, unit, deadlineAt, cpuMs, chain, trace, loadtest }
  const permit = serving.admission.admit(scene)
  try {
    const decision = decide(scene, new Question({ body: input, requestId, header: noHeader }, unit, undefined, loadtest))
    permit.pass(decision)
    const { json } = await runInSlot(serving.slots, permit, scene, decision, { ...call, params: decision.params, bucket: decision.bucket })
    permit.leave(undefined)
    return json
  } catch (error) {
    permit.leave(toBerthError(error))
    throw error
  }
}

function traceOf(request: SceneRequest): Trace | undefined {
  const parent = request.header('traceparent')
  // Looked at by who asks others on behalf of the request, if anyone does.
  return parent === undefined ? undefined : { parent, state: request.header('tracestate') }
}

function findScene(table: CompiledTable, id: string): Scene {
  const scene = table.scenes.get(id)
  if (scene !== undefined) return scene
  // Whether there is such a scene nobody knows yet.
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
  const load = slots.ensure(plan).then(afterLoad, (error: unknown) => {
    throw unavailable(plan, error)
  })
  return withDeadline(load, call.deadlineAt, scene.id)
}

/** A slot keeps its requests' deadlines itself; this is for the wait until there is one. */
function withDeadline(answer: Promise<SlotAnswer>, deadlineAt: number, scene: string): Promise<SlotAnswer> {
  return new Promise((resolve, reject) => {
    const late = () =>
      reject(new BerthError('DEADLINE_EXCEEDED', `No answer from scene "${scene}" before its deadline: its version was still loading`))
    const timer = setTimeout(late, Math.max(0, deadlineAt - performance.now()))
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** The caller's token when it sent a valid one, provided that it has every right the request needs. */
function authorise(
  table: CompiledTable,
  scene: Scene,
  pin: string | undefined,
  loadtest: boolean,
  authorization: string | undefined,
): TokenEntry | undefined {
  const token = findToken(table, authorization)
  if (scene.definition.access === 'token') demand(token, 'call', `call scene "${scene.id}"`)
  if (pin !== undefined) demand(token, 'pin', 'choose a version with x-scene-version')
  if (loadtest) demand(token, 'pin', 'mark a request with x-scene-loadtest')
  return token
}

function findToken(table: CompiledTable, authorization: string | undefined): TokenEntry | undefined {
  if (authorization === undefined) return undefined
  const secret = bearerToken(authorization)
  // Looked up by digest: how long that takes says nothing about the token.
  const token = secret === undefined ? undefined : table.tokens.get(createHash('sha256').update(secret).digest('hex'))
  if (token === undefined) throw new BerthError('UNAUTHENTICATED', 'Cannot accept the Authorization header: it holds no valid bearer token')
  return token
}

function demand(token: TokenEntry | undefined, right: Right, what: string): void {
  if (token === undefined) throw new BerthError('UNAUTHENTICATED', `Cannot ${what} without a token with the right "${right}"`)
  if (!holds(token, right)) throw new BerthError('FORBIDDEN', `Cannot ${what}: token "${token.id}" lacks the right "${right}"`)
}

function readUnit(scene: Scene, request: SceneRequest): string | undefined {
  const header = request.header(scene.unitHeader)
  const unit = header === undefined ? unitInBody(scene, request.body) : fromHeader(header)
  if (unit === undefined || unit === '') return undefined
  // A UTF-16 code unit is at least one byte of UTF-8 and at most three.
  if (unit.length * 3 <= limits.request.unitIdBytesMax) return unit
  const bytes = Buffer.byteLength(unit)
  if (bytes <= limits.request.unitIdBytesMax) return unit
  throw new BerthError('UNIT_TOO_LONG', `Cannot use the unit id: it has ${bytes} bytes, the limit is ${limits.request.unitIdBytesMax}`)
}

/** Node reads header bytes as Latin-1; unit ids and attributes are UTF-8. */
function fromHeader(value: string): string {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 127) return Buffer.from(value, 'latin1').toString('utf8')
  return value
}

const noHeader = (): undefined => undefined

/** What a request says of itself. Its body is parsed at most once, and only when a rule asks for something in it. */
class Question implements DecisionInput {
  readonly pin: string | undefined
  readonly loadtest: boolean
  readonly unit: string | undefined
  readonly requestId: string
  readonly #request: Pick<SceneRequest, 'body' | 'header'>
  #body: { readonly parsed: unknown } | undefined

  constructor(
    request: Pick<SceneRequest, 'body' | 'header' | 'requestId'>,
    unit: string | undefined,
    pin: string | undefined,
    loadtest: boolean,
  ) {
    this.pin = pin
    this.loadtest = loadtest
    this.unit = unit
    this.requestId = request.requestId
    this.#request = request
  }

  attribute(attribute: Attribute): unknown {
    return readAttribute(attribute, this)
  }

  header(name: string): string | undefined {
    const value = this.#request.header(name)
    return value === undefined ? undefined : fromHeader(value)
  }

  body(): unknown {
    this.#body ??= { parsed: parseBody(this.#request.body) }
    return this.#body.parsed
  }
}

function parseBody(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch (error) {
    throw new BerthError('BODY_MALFORMED', `Cannot read the body: ${messageOf(error)}`)
  }
}

function unitInBody(scene: Scene, body: string): string | undefined {
  if (scene.unitPath === undefined) return undefined
  const found = atPath(parseBody(body), scene.unitPath)
  if (found === undefined || found === null) return undefined
  if (typeof found === 'string') return found
  if (typeof found === 'number') return String(found)
  throw new BerthError('UNIT_INVALID', `Cannot use the unit id at /${scene.unitPath.join('/')}: it is not a string or number`)
}
