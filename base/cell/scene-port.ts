/** The scene port: routes, bodies, answers. It is plain `node:http`, since every request pays for every layer here. */
import { isUtf8 } from 'node:buffer'
import { createServer, type IncomingHttpHeaders, IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { answerClientError } from '../kernel/client-error.ts'
import { BerthError, toBerthError, toProblem } from '../kernel/errors.ts'
import { hasOneHost, isRequestId } from '../kernel/headers.ts'
import { limits } from '../kernel/limits.ts'
import { linkList, page, pageHeaders, problemPage, wantsPage } from '../kernel/page.ts'
import { describeFault } from '../kernel/text-file.ts'
import type { SlotAnswer } from '../slot/slot-call.ts'
import type { Decision } from '../traffic/decide.ts'
import type { SlotPlan, TokenEntry } from '../traffic/table.ts'
import type { SceneFailure } from '../wire/messages.ts'
import type { SceneRequest } from './answer.ts'
import type { Connection, Connections, Exchange } from './connections.ts'

export interface SceneHandlers {
  /**
   * Takes a place in the cell for a request to the scene. Asked before the body of the request is read.
   * @returns the name under which the request holds its place; `exit` is called with it once
   * @throws SCENE_OVERLOADED when the cell has too much to do
   */
  enter(request: SceneRequest): string
  /** @param bytes what was taken by `hold` */
  exit(name: string, bytes: number): void
  /** Counts bytes that the cell keeps for a request. @throws SCENE_OVERLOADED; then they are not counted */
  hold(name: string, bytes: number): void
  /** Answers a scene request whose body is whole: by `succeed`, but not before this has returned, or by `fail`. */
  serve(request: SceneRequest): void
  /** Logs why a request failed. Resolves with what else the caller may see of it, as members of the problem document, such as a mapped stack. */
  logFailure(error: BerthError, request: SceneRequest): Promise<Readonly<Record<string, unknown>>>
  /** Counts a scene request that has been answered. Called once for each; `code` is `OK` or an error code. */
  count(request: SceneRequest, code: string, seconds: number): void
  /**
   * @returns the scenes that cannot answer, while others can
   * @throws BASE_NOT_READY with the scenes that cannot answer, BASE_DRAINING
   */
  checkReady(): readonly SceneFailure[]
  /** Whether the next answer should end its connection: the cell is retiring, or holds more than its share. */
  shouldClose(): boolean
}

const SCENES = '/scenes/'
const SLASH = 47
/** Refusals answered in one turn of the event loop. They take half a millisecond, while a slot has turns for several milliseconds in hand. */
const REFUSALS_PER_TURN = 8
/** A body over the limit is read up to so many times the limit, and thrown away: a caller that still sends does not read its 413 yet. */
const DISCARD_FACTOR = 4
/** Milliseconds between two looks for callers that do not read their answers. */
const READERS_LOOK_MS = 1000

/**
 * Does so many things in a turn of the event loop, and leaves the rest to the turns to come. In a flood of requests, a turn with a thousand refusals would
 * last so long that the slots run out of work. A connection that waits for its refusal sends nothing, and that slows the flood down.
 */
class Pacer {
  readonly #perTurn: number
  readonly #waiting: (() => void)[] = []
  #done = 0

  constructor(perTurn: number) {
    this.#perTurn = perTurn
  }

  run(work: () => void): void {
    if (this.#done === 0) setImmediate(() => this.#turn())
    if (this.#done++ < this.#perTurn) work()
    else this.#waiting.push(work)
  }

  #turn(): void {
    const due = this.#waiting.splice(0, this.#perTurn)
    this.#done = due.length
    if (due.length > 0) setImmediate(() => this.#turn())
    for (const work of due) work()
  }
}

/** There is one for the process, which has one event loop. */
const refusals = new Pacer(REFUSALS_PER_TURN)

/** What the exchanges of one scene port share. */
interface Port {
  readonly bodyLimitBytes: number
  readonly handlers: SceneHandlers
  readonly connections: Pick<Connections, 'of'>
  /** Exchanges whose answers wait for their callers to read. */
  readonly unread: Set<SceneExchange>
  /** Makes an id for a request that brings none. */
  newId(): string
}

/**
 * A request that gives the parts of its body to whoever reads it as they come. Every part, and the end, would otherwise go through the queue and the events of
 * a stream, which is a tenth of all that this port does for a request.
 */
class SceneMessage extends IncomingMessage {
  #reader: SceneExchange | undefined = undefined

  override push(chunk: Buffer | null): boolean {
    const reader = this.#reader
    if (reader === undefined) return super.push(chunk)
    // Node keeps the last request of a connection, which must not keep its exchange.
    if (chunk === null) this.#reader = undefined
    reader.take(chunk)
    return true
  }

  /** To be called before any part of the body has come. */
  readBy(reader: SceneExchange): void {
    this.#reader = reader
    // Node throws away what nobody has begun to read.
    this.read(0)
  }
}

/** The server, not listening yet. */
export function createSceneServer(bodyLimitBytes: number, handlers: SceneHandlers, connections: Port['connections']): Server {
  const port: Port = { bodyLimitBytes, handlers, connections, unread: new Set(), newId: requestIds() }
  const options = {
    maxHeaderSize: limits.request.headerBytesMax,
    headersTimeout: limits.http.headersTimeoutMs,
    requestTimeout: limits.http.requestTimeoutMs,
    keepAliveTimeout: limits.http.keepAliveMs,
    noDelay: true,
    joinDuplicateHeaders: true,
    connectionsCheckingInterval: 2000,
  }
  const onRequest = (req: SceneMessage, res: ServerResponse) => route(req, res, port)
  const server = createServer({ ...options, IncomingMessage: SceneMessage }, onRequest)
  // A client that stops in the middle of a request must not be kept for ever.
  server.timeout = limits.http.keepAliveMs + limits.http.headersTimeoutMs
  const look = setInterval(() => cutSlowReaders(port.unread), READERS_LOOK_MS).unref()
  server.on('close', () => clearInterval(look))
  server.on('checkContinue', onRequest)
  server.on('clientError', answerClientError)
  return server
}

function route(req: SceneMessage, res: ServerResponse, port: Port): void {
  const url = originForm(req.url ?? '/')
  const query = url.indexOf('?')
  const path = query < 0 ? url : url.slice(0, query)
  const isScene = path.startsWith(SCENES)
  if (!isScene && port.handlers.shouldClose()) endConnection(req, res, port)
  if (!hasOneHost(req.headers.host)) {
    answerError(res, new BerthError('REQUEST_MALFORMED', 'Cannot tell for which host the request is: it has more than one Host header'))
    return
  }
  if (isScene) new SceneExchange(req, res, path.slice(SCENES.length), port).start()
  else if (path === '/healthz') onProbe(req, res, () => [])
  else if (path === '/readyz') onProbe(req, res, port.handlers.checkReady)
  else if (path === '/openapi.json') onDocument(req, res)
  else if (path === '/') onRoot(req, res)
  else answerError(res, new BerthError('ROUTE_NOT_FOUND', `Cannot find ${path.slice(0, 128)}`))
}

/** Has the answer end its connection. */
function endConnection(req: IncomingMessage, res: ServerResponse, { connections }: Port): void {
  res.setHeader('connection', 'close')
  connections.of(req.socket).takeNoMore()
}

/** A proxy may send the whole URL (RFC 9112, 3.2.2). */
function originForm(url: string): string {
  return url.charCodeAt(0) !== SLASH && url.startsWith('http://') ? url.slice(Math.max(url.indexOf('/', 'http://'.length), 0)) : url
}

function onProbe(req: IncomingMessage, res: ServerResponse, check: () => readonly SceneFailure[]): void {
  try {
    if (req.method !== 'GET' && req.method !== 'HEAD') throw wrongMethod(res, req.method, 'GET, HEAD')
    const failures = check()
    answerJson(res, 200, 'application/json', JSON.stringify({ status: 'ok', ...(failures.length > 0 && { failures }) }))
  } catch (error) {
    answerError(res, toBerthError(error))
  }
}

async function onRoot(req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    if (req.method !== 'GET' && req.method !== 'HEAD') throw wrongMethod(res, req.method, 'GET, HEAD')
    const { sceneRoot } = await import('../contract/root-api.ts')
    if (wantsPage(req.headers.accept)) answerPage(res, 200, page('Berth', `<p>This is ${sceneRoot.is}.</p>${linkList(sceneRoot.links)}`))
    else answerJson(res, 200, 'application/json', JSON.stringify(sceneRoot))
  } catch (error) {
    answerError(res, toBerthError(error))
  }
}

/** The document is made when somebody asks for it: cells start and serve without the code that makes it. */
async function onDocument(req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    if (req.method !== 'GET' && req.method !== 'HEAD') throw wrongMethod(res, req.method, 'GET, HEAD')
    const { scenePortDocument } = await import('../contract/scene-port-api.ts')
    answerJson(res, 200, 'application/json', JSON.stringify(scenePortDocument()))
  } catch (error) {
    answerError(res, toBerthError(error))
  }
}

function wrongMethod(res: ServerResponse, method: string | undefined, allowed: string): BerthError {
  res.setHeader('allow', allowed)
  return new BerthError('METHOD_NOT_ALLOWED', `Cannot ${method} here: allowed is ${allowed}`)
}

function cutSlowReaders(unread: ReadonlySet<SceneExchange>): void {
  const since = performance.now() - limits.http.readerStallMsMax
  for (const exchange of unread) exchange.cutIfUnread(since)
}

/** One request to a scene and its answer. */
class SceneExchange implements SceneRequest, Exchange {
  readonly sceneAsked: string
  readonly requestId: string
  readonly headers: IncomingHttpHeaders
  body = ''
  arrivedAt = 0
  decision: Decision | undefined = undefined
  token: TokenEntry | undefined = undefined
  scene: string | undefined = undefined
  capsule: string | undefined = undefined
  readonly #port: Port
  readonly #req: SceneMessage
  readonly #res: ServerResponse
  readonly #connection: Connection
  /** The name under which the request holds its place in the cell, if it has one, and the bytes that it holds. */
  #name: string | undefined = undefined
  #bytes = 0
  /** What of the body is there: most bodies come in one part. */
  #part: Buffer | undefined = undefined
  #moreParts: Buffer[] | undefined = undefined
  #size = 0
  /** Whether what comes of the body is of no use any more. */
  #isRefused = false
  /** Whether a part of the answer has been waiting for the caller to read it, and since when. */
  #isUnread = false
  #unreadSince = 0
  #ended = false
  /** Whether the cell works for the request, and so keeps its body. It goes on with that when the caller has gone. */
  #isServing = false

  constructor(req: SceneMessage, res: ServerResponse, sceneAsked: string, port: Port) {
    const { headers } = req
    const given = headers['x-request-id']
    this.sceneAsked = sceneAsked
    this.requestId = isRequestId(given) ? given : port.newId()
    this.headers = headers
    this.#port = port
    this.#req = req
    this.#res = res
    this.#connection = port.connections.of(req.socket)
  }

  get address(): string {
    return this.#req.socket.remoteAddress ?? ''
  }

  start(): void {
    const { bodyLimitBytes, handlers } = this.#port
    this.#res.on('close', () => this.end())
    const ahead = this.#connection.begin(this)
    // Its caller has been told to send it again, on another connection.
    if (ahead === 0) return
    const fault = faultInHead(this.#req, this.#res, bodyLimitBytes) ?? tooManyAhead(ahead) ?? refusal(() => this.#enter(handlers))
    if (fault !== undefined) {
      this.arrivedAt = performance.now()
      discardBody(this.#req, this.#res, bodyLimitBytes)
      this.fail(fault)
      return
    }
    if (this.headers.expect !== undefined) this.#res.writeContinue()
    this.#req.readBy(this)
  }

  #enter(handlers: SceneHandlers): void {
    this.#name = handlers.enter(this)
  }

  /** Counts bytes that the cell keeps for this request. @throws SCENE_OVERLOADED; then they are not counted */
  #hold(bytes: number): void {
    if (this.#name === undefined) return
    this.#port.handlers.hold(this.#name, bytes)
    this.#bytes += bytes
  }

  /** Idempotent. The answer has left, or never will: the connection may close before the answer is made. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#connection.end(this)
    // Hardly any is there. With a delete for each request, V8's collections of young objects were seen to keep dead requests.
    if (this.#isUnread) this.#port.unread.delete(this)
    if (!this.#isServing) this.#exit()
  }

  /** Idempotent. */
  #endServing(): void {
    this.#isServing = false
    if (this.#ended) this.#exit()
  }

  #exit(): void {
    if (this.#name === undefined) return
    this.#port.handlers.exit(this.#name, this.#bytes)
    this.#name = undefined
  }

  /** Requests that wait behind this one are answered first: Node closes a connection after an answer that ends it, whatever comes behind. */
  #endConnectionIfDue(): void {
    if (this.#connection.isNewest(this) && this.#port.handlers.shouldClose()) endConnection(this.#req, this.#res, this.#port)
  }

  /** Takes the next part of the body, and null at its end, which never comes when the caller goes away first. */
  take(part: Buffer | null): void {
    if (part !== null) this.#takePart(part)
    else if (!this.#isRefused) this.#serve()
  }

  #takePart(part: Buffer): void {
    const { bodyLimitBytes } = this.#port
    this.#size += part.length
    if (this.#size > bodyLimitBytes * DISCARD_FACTOR) this.#req.destroy()
    if (this.#isRefused) return
    const fault = this.#size > bodyLimitBytes ? tooLarge(`over ${bodyLimitBytes} bytes`, bodyLimitBytes) : this.#faultInHolding(part.length)
    if (fault !== undefined) this.#refuse(fault)
    else if (this.#part === undefined) this.#part = part
    else if (this.#moreParts === undefined) this.#moreParts = [part]
    else this.#moreParts.push(part)
  }

  #faultInHolding(bytes: number): BerthError | undefined {
    return this.#size > limits.cell.bytesCountedFrom ? refusal(() => this.#hold(bytes)) : undefined
  }

  #takeBody(): Buffer | undefined {
    const [part, moreParts] = [this.#part, this.#moreParts]
    this.#part = this.#moreParts = undefined
    return part === undefined || moreParts === undefined ? part : Buffer.concat([part, ...moreParts], this.#size)
  }

  #refuse(fault: BerthError): void {
    this.#isRefused = true
    this.#takeBody()
    this.arrivedAt = performance.now()
    this.fail(fault)
  }

  #serve(): void {
    const bytes = this.#takeBody()
    if (bytes !== undefined && !isUtf8(bytes)) {
      this.#refuse(new BerthError('BODY_MALFORMED', `Cannot read the body: ${describeFault(bytes)}`))
      return
    }
    this.arrivedAt = performance.now()
    this.body = bytes === undefined ? '' : bytes.toString('utf8')
    this.#isServing = true
    this.#port.handlers.serve(this)
  }

  succeed(answer: SlotAnswer, decideMs: number): void {
    try {
      this.#answer(answer, decideMs)
    } catch (error) {
      this.fail(error)
    }
  }

  #answer(answer: SlotAnswer, decideMs: number): void {
    this.#endServing()
    const ms = performance.now() - this.arrivedAt
    const { json } = answer
    const bytes = Buffer.byteLength(json)
    // An answer that comes when its caller has gone is counted and no more.
    const isLarge = bytes > limits.http.pieceBytes && !this.#ended
    if (bytes > limits.cell.bytesCountedFrom) this.#hold(bytes)
    this.#endConnectionIfDue()
    writeHead(this.#res, this, answer, bytes, decideMs, ms)
    // Node sets aside three bytes a character for UTF-8, and with more than 16 KiB of them it takes a slower path.
    const encoding = bytes === json.length ? 'latin1' : 'utf8'
    if (isLarge) this.#sendPiece(json, encoding, 0)
    else {
      this.#res.end(json, encoding)
      if (this.#res.writableLength > 0) this.#awaitReader()
    }
    this.#port.handlers.count(this, 'OK', ms / 1000)
  }

  /**
   * Sends a large answer piece by piece, each when the one before has been taken: a caller that does not read costs the cell one piece in addition to the
   * text, and other requests get their turn in between.
   */
  #sendPiece(json: string, encoding: 'latin1' | 'utf8', start: number): void {
    if (this.#ended) return
    const end = endOfPiece(json, start + limits.http.pieceBytes)
    this.#awaitReader()
    if (end === json.length) {
      this.#res.end(json.slice(start), encoding)
      return
    }
    const next = () => this.#sendPiece(json, encoding, end)
    if (this.#res.write(json.slice(start, end), encoding)) setImmediate(next)
    else this.#res.once('drain', () => setImmediate(next))
  }

  #awaitReader(): void {
    if (this.#ended) return
    this.#isUnread = true
    this.#unreadSince = performance.now()
    this.#port.unread.add(this)
  }

  /** Ends the connection when its caller has taken nothing since then. */
  cutIfUnread(since: number): void {
    if (this.#unreadSince < since) this.#req.socket.destroy()
  }

  fail(thrown: unknown): void {
    this.#endServing()
    if (thrown instanceof BerthError && thrown.blame === 'load') refusals.run(() => this.#answerFailure(thrown))
    else this.#answerFailure(thrown)
  }

  /** A failure may come from a module and be such that no answer can be made of it. That must cost neither the cell nor the caller its answer. */
  #answerFailure(thrown: unknown): void {
    this.#tryFailure(thrown).catch(async (defect: unknown) => {
      if (this.#res.headersSent) this.#res.destroy()
      else await this.#tryFailure(toBerthError(defect))
    })
  }

  async #tryFailure(thrown: unknown): Promise<void> {
    const error = toBerthError(thrown)
    const seconds = (performance.now() - this.arrivedAt) / 1000
    const { plan, because } = this.decision ?? {}
    const known = error.code === 'SCENE_NOT_FOUND' ? {} : { scene: this.sceneAsked.slice(0, 128) }
    // That the cell has too much to do is no failure to log, and in a flood the answer that says so has to cost little.
    const more = error.blame === 'load' ? undefined : await this.#port.handlers.logFailure(error, this)
    const headers = ['x-request-id', this.requestId]
    if (plan !== undefined) headers.push('x-scene-version', plan.version)
    if (because !== undefined) headers.push('x-scene-because', because)
    if (this.capsule !== undefined) headers.push('x-scene-capsule', this.capsule)
    this.#endConnectionIfDue()
    answerError(this.#res, error, { ...known, version: plan?.version, requestId: this.requestId, ...more }, headers)
    this.#port.handlers.count(this, error.code, seconds)
  }
}

function refusal(check: () => void): BerthError | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    return toBerthError(error)
  }
}

/** What is wrong with the head of a scene request, before any of its body is read. */
function faultInHead(req: IncomingMessage, res: ServerResponse, bodyLimitBytes: number): BerthError | undefined {
  const { method, headers } = req
  if (method !== 'POST') return wrongMethod(res, method, 'POST')
  const type = headers['content-type']
  if (type !== 'application/json' && !isJsonType(type)) {
    const got = type === undefined ? 'it has no Content-Type' : `its Content-Type is "${type.slice(0, 100)}"`
    return new BerthError('CONTENT_TYPE_UNSUPPORTED', `Cannot read the body: ${got}, not application/json in UTF-8`)
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    return new BerthError('CONTENT_TYPE_UNSUPPORTED', `Cannot read the body: its Content-Encoding is "${encoding.slice(0, 100)}"`)
  }
  const declared = Number(headers['content-length'] ?? 0)
  return declared > bodyLimitBytes ? tooLarge(`${declared} bytes`, bodyLimitBytes) : undefined
}

function isJsonType(type: string | undefined): boolean {
  if (type === undefined) return false
  const [essence = '', ...parameters] = type.toLowerCase().split(';')
  if (essence.trim() !== 'application/json') return false
  return parameters.every(parameter => {
    const [name = '', value = ''] = parameter.trim().split('=')
    return name !== 'charset' || /^"?utf-?8"?$/.test(value)
  })
}

function tooLarge(size: string, limit: number): BerthError {
  return new BerthError('BODY_TOO_LARGE', `Cannot take a body of ${size}: the limit is ${limit} bytes`)
}

/** A text is not cut between the two halves of a character. */
function endOfPiece(json: string, end: number): number {
  if (end >= json.length) return json.length
  const last = json.charCodeAt(end - 1)
  return last >= 0xd800 && last <= 0xdbff ? end - 1 : end
}

function tooManyAhead(ahead: number): BerthError | undefined {
  if (ahead <= limits.http.pipelinedMax) return undefined
  const message = `Cannot take the request: ${limits.http.pipelinedMax} requests before it on the same connection wait for their answers`
  return new BerthError('SCENE_OVERLOADED', message, { retryAfterSeconds: 1 })
}

/** Throws away the body of a request that is refused by its head. */
function discardBody(req: IncomingMessage, res: ServerResponse, limit: number): void {
  // A caller that asked before it sends its body may or may not send it now. What comes next on the connection could be either, so nothing may come.
  if (req.headers.expect !== undefined) res.setHeader('connection', 'close')
  let size = 0
  req.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > limit * DISCARD_FACTOR) req.destroy()
  })
}

/** Ids that no two cells share: a random start and a count. */
function requestIds(): () => string {
  const prefix = crypto.randomUUID().slice(0, 13)
  let count = 0
  return () => `${prefix}-${++count}`
}

function writeHead(res: ServerResponse, request: SceneRequest, answer: SlotAnswer, bytes: number, decideMs: number, ms: number): void {
  const { requestId, decision, capsule } = request
  if (decision === undefined) throw new Error('An answer without a decision')
  const { plan, bucket } = decision
  const headers = [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(bytes),
    'x-scene-version',
    plan.version,
    'x-scene-because',
    decision.because,
    'x-request-id',
    requestId,
    'server-timing',
    serverTiming(plan, answer, decideMs, ms),
  ]
  if (bucket !== undefined) headers.push('x-scene-bucket', String(bucket))
  if (capsule !== undefined) headers.push('x-scene-capsule', capsule)
  if (answer.degraded !== undefined) headers.push('x-scene-degraded', answer.degraded)
  res.writeHead(200, headers)
}

/** Milliseconds: to the decision, in the queue of the slot, in each stage, and from the last byte of the request to now. */
function serverTiming(plan: SlotPlan, { queueMs, tookMs }: SlotAnswer, decideMs: number, ms: number): string {
  const stages = tookMs === undefined ? noTime(plan) : stageTiming(plan, tookMs.split(','))
  return `decide;dur=${inMicros(decideMs)}, queue;dur=${inMicros(queueMs)}, ${stages}, scene;dur=${inMicros(ms)}`
}

/** Thousandths, as they are written behind a whole number. */
const THOUSANDTHS = Array.from({ length: 1000 }, (_, n) => String(n / 1000).slice(1))

/** A number of milliseconds with three decimal places. To write a fraction takes V8 several times as long as two whole numbers. */
function inMicros(ms: number): string {
  const micros = Math.max(0, Math.round(ms * 1000))
  const whole = Math.floor(micros / 1000)
  return `${whole}${THOUSANDTHS[micros - whole * 1000]}`
}

const stageTiming = ({ lock }: SlotPlan, tookMs: readonly string[]): string =>
  lock.map(({ stage }, i) => `${stage};dur=${tookMs[i] ?? 0}`).join(', ')

const noTimes = new WeakMap<SlotPlan, string>()

/** The timing of stages that took less than a millisecond each, as most answers say it: made once for each plan. */
function noTime(plan: SlotPlan): string {
  const known = noTimes.get(plan)
  if (known !== undefined) return known
  const text = stageTiming(plan, [])
  noTimes.set(plan, text)
  return text
}

/** @param headers names and values by turns, which it may add to. Node.js writes such a list faster than headers that are set one by one. */
function answerError(
  res: ServerResponse,
  error: BerthError,
  members: Readonly<Record<string, unknown>> = {},
  headers: string[] = [],
): void {
  if (error.retryAfterSeconds !== undefined) headers.push('retry-after', String(error.retryAfterSeconds))
  if (error.status === 401) headers.push('www-authenticate', 'Bearer')
  const problem = toProblem(error, members)
  if (wantsPage(res.req.headers.accept)) answerPage(res, error.status, problemPage(problem), headers)
  else answerJson(res, error.status, 'application/problem+json', JSON.stringify(problem), headers)
}

function answerJson(res: ServerResponse, status: number, type: string, json: string, headers: string[] = []): void {
  headers.push('content-type', type, 'content-length', String(Buffer.byteLength(json)))
  res.writeHead(status, headers)
  res.end(json)
}

function answerPage(res: ServerResponse, status: number, html: string, headers: string[] = []): void {
  headers.push(...Object.entries(pageHeaders).flat(), 'content-length', String(Buffer.byteLength(html)))
  res.writeHead(status, headers)
  res.end(html)
}
