/**
 * What modules fetch from other hosts. Only hosts that the modules of the version list are reached, and none at an address inside the
 * operator's network unless the operator says so. Since a listed name may be made to resolve to anything, the address itself is looked at
 * whenever a connection is made. Whatever happens, a fetch ends in an answer or a `BerthError`, at its deadline at the latest, and takes no
 * more memory than its limits say.
 */
import { Buffer, isUtf8 } from 'node:buffer'
import type { LookupAddress, LookupOptions } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { pipeline, type Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { type Trace, traceHeaders } from '../kernel/headers.ts'
import { limits } from '../kernel/limits.ts'
import { FairPool } from '../traffic/admission.ts'
import { lockedHosts, type SlotPlan } from '../traffic/table.ts'

/** A request on its way out, as code in an isolate has made it; header names are lower case. */
export interface Outgoing {
  readonly method: string
  /** JSON of `{ url, redirect, headers }`. */
  readonly head: string
  readonly body: string | ArrayBuffer | undefined
}

export interface Incoming {
  /** JSON of `{ status, statusText, headers, url, redirected }`. */
  readonly head: string
  /** Text when the bytes are UTF-8 without a byte order mark. */
  readonly body: string | ArrayBuffer
}

/** The request that a fetch is made for. */
export interface FetchCaller {
  /** Monotonic, `performance.now()`. */
  readonly deadlineAt: number
  readonly trace: Trace | undefined
}

export interface FetcherHost {
  /** Networks that are not public and may be reached all the same: addresses, or networks such as `10.0.0.0/8`. */
  readonly privateNetworks: readonly string[]
  /** Called when a fetch is over; `host` is an origin that a module may reach, `code` is `OK` or an error code. */
  count(host: string, code: string, seconds: number): void
  /** All addresses of a name. @default the resolver of the machine; tests give another */
  resolve?(hostname: string, options: LookupOptions): Promise<LookupAddress[]>
}

/** A request as it leaves, after the last redirect. */
interface Hop {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | undefined
}

interface Head {
  readonly url: URL
  readonly redirect: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | undefined
}

/** What one fetch may use of its cell. */
interface Way {
  /** Aborts at the deadline, or when nobody waits for the fetch any more. */
  readonly ending: AbortSignal
  /** Accounts for bytes that are kept until the fetch is over. @throws FETCH_OVERLOADED */
  hold(bytes: number): void
}

/** Headers that a module may not set: they say how the bytes go over the wire, or to whom. */
const wireHeaders: ReadonlySet<string> = new Set([
  ...['connection', 'content-length', 'expect', 'host', 'http2-settings', 'keep-alive', 'proxy-authorization', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'via'],
])
/** Headers that are not sent on when a redirect leads to another host. */
const credentials: readonly string[] = ['authorization', 'cookie']
/** Headers of a body, which go when a redirect drops the body. */
const aboutBody: readonly string[] = ['content-encoding', 'content-language', 'content-location', 'content-type']
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const defaults = { accept: '*/*', 'accept-encoding': 'gzip, deflate, br', 'user-agent': 'berth' }

/** Whether a request asks for something and changes nothing. */
export const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD'

export class Fetcher {
  readonly #host: FetcherHost
  readonly #addresses: (address: string) => boolean
  readonly #agents: Readonly<Record<string, HttpAgent>>
  readonly #allowed = new WeakMap<SlotPlan, ReadonlySet<string>>()
  /** Fetches under way, by scene. */
  readonly #open = new FairPool()
  /** Bytes of the bodies of requests, and of what has come of their answers, by scene. */
  readonly #bytes = new FairPool()

  constructor(host: FetcherHost) {
    this.#host = host
    this.#addresses = allowedAddresses(host.privateNetworks)
    const options = {
      keepAlive: true,
      timeout: limits.fetch.keepAliveMs,
      lookup: lookupAllowed(this.#addresses, host.resolve ?? resolveAll),
    }
    this.#agents = { 'http:': new HttpAgent(options), 'https:': new HttpsAgent(options) }
  }

  /**
   * Sends a request and follows its redirects.
   * @param signal aborts the fetch, for when nobody waits any more
   * @throws BerthError FETCH_FORBIDDEN, FETCH_FAILED, FETCH_TOO_LARGE, FETCH_OVERLOADED, DEADLINE_EXCEEDED
   */
  async fetch(plan: SlotPlan, request: Outgoing, caller: FetchCaller, signal: AbortSignal): Promise<Incoming> {
    const startedAt = performance.now()
    const head = readHead(request)
    const { origin } = head.url
    const allowed = this.#allowedOrigins(plan)
    demandAllowed(allowed, head.url, `Cannot fetch from "${origin}"`)
    try {
      const answer = await this.#within(plan.scene, caller, head, signal, way => this.#follow(allowed, request, head, caller, way))
      this.#host.count(origin, 'OK', (performance.now() - startedAt) / 1000)
      return answer
    } catch (error) {
      const failure = asFailure(head.url, error)
      this.#host.count(origin, failure.code, (performance.now() - startedAt) / 1000)
      throw failure
    }
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy()
  }

  /** Does `work` while holding one of the places for fetches that a cell has, until the deadline at the latest. */
  async #within<T>(
    scene: string,
    caller: FetchCaller,
    { url, body }: Head,
    signal: AbortSignal,
    work: (way: Way) => Promise<T>,
  ): Promise<T> {
    const leftMs = caller.deadlineAt - performance.now()
    const late = () => new BerthError('DEADLINE_EXCEEDED', `No answer from "${nameOf(url)}" before the deadline of the request`)
    if (leftMs <= 0) throw late()
    const [open, bytes] = [this.#open, this.#bytes]
    if (!open.mayTake(scene, limits.fetch.perCellMax)) {
      throw overloaded(url, `${open.taken} fetches are under way in the cell already, ${open.heldBy(scene)} of them of scene "${scene}"`)
    }
    let held = 0
    const hold = (more: number): void => {
      if (!bytes.mayTake(scene, limits.fetch.bytesPerCellMax)) {
        throw overloaded(url, `fetches hold ${bytes.taken} bytes of the cell already, ${bytes.heldBy(scene)} of them for scene "${scene}"`)
      }
      held += more
      bytes.take(scene, more)
    }
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(), leftMs)
    open.take(scene)
    try {
      hold(body?.length ?? 0)
      return await work({ ending: AbortSignal.any([signal, deadline.signal]), hold })
    } catch (error) {
      throw deadline.signal.aborted ? late() : error
    } finally {
      clearTimeout(timer)
      open.give(scene)
      bytes.give(scene, held)
    }
  }

  async #follow(
    allowed: ReadonlySet<string>,
    { method }: Outgoing,
    head: Head,
    { trace }: FetchCaller,
    { ending, hold }: Way,
  ): Promise<Incoming> {
    const headers = { ...defaults, ...(trace !== undefined && traceHeaders(trace)), ...head.headers }
    let hop: Hop = { url: head.url, method, headers, body: head.body }
    for (let redirected = 0; ; redirected++) {
      const response = await this.#send(hop, ending)
      const { location } = response.headers
      if (!redirects.has(response.statusCode ?? 0) || location === undefined || head.redirect === 'manual') {
        try {
          return incoming(hop, response, redirected > 0, await readBody(hop, response, hold))
        } finally {
          // A response that was not read to its end would keep its connection open. To one that was read this does nothing.
          response.destroy()
        }
      }
      response.destroy()
      if (head.redirect === 'error') throw new Error('it is a redirect, and the request says not to follow any')
      if (redirected === limits.fetch.redirectsMax) throw new Error(`it redirects more than ${limits.fetch.redirectsMax} times`)
      hop = redirect(hop, response.statusCode ?? 0, location)
      demandAllowed(allowed, hop.url, `Cannot follow a redirect of "${nameOf(head.url)}" to "${hop.url.origin}"`)
    }
  }

  /** Resolves when the head of the response is there. */
  async #send(hop: Hop, signal: AbortSignal): Promise<IncomingMessage> {
    this.#demandAddress(hop.url)
    for (;;) {
      const sent = hop.url.protocol === 'https:' ? httpsRequest : httpRequest
      const { method, body } = hop
      // Node adds this header for some methods only. Without the header, the body of a DELETE would be read as the next request on the
      // connection.
      const headers = body === undefined ? hop.headers : { ...hop.headers, 'content-length': String(body.length) }
      const request = sent(hop.url, { method, headers, signal, agent: this.#agents[hop.url.protocol] })
      try {
        return await new Promise<IncomingMessage>((resolve, reject) => {
          // This handler stays: an error after the head fails the body, and would end the process if there were no handler for it.
          request.on('error', reject)
          // When the host switches protocols, neither a response nor an error is emitted.
          const onClose = () => reject(new Error('it closed the connection without an answer'))
          request.once('close', onClose)
          request.once('response', response => {
            request.off('close', onClose)
            resolve(response)
          })
          request.end(body)
        })
      } catch (error) {
        // The host has closed a kept connection just as it was used again.
        const stale = request.reusedSocket && error instanceof Error && 'code' in error && error.code === 'ECONNRESET'
        if (!stale || !isSafe(method)) throw error
      }
    }
  }

  /** A host that is an address is not looked up, so it is checked here. */
  #demandAddress({ hostname }: URL): void {
    const address = hostname.replace(/^\[|\]$/g, '')
    if (isIP(address) !== 0 && !this.#addresses(address)) throw new PrivateAddress()
  }

  #allowedOrigins(plan: SlotPlan): ReadonlySet<string> {
    const known = this.#allowed.get(plan)
    if (known !== undefined) return known
    const origins = new Set([...lockedHosts(plan.lock)].flatMap(host => originOf(host) ?? []))
    this.#allowed.set(plan, origins)
    return origins
  }
}

// ── what may be reached ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A host as package.json lists it. Without a scheme it is reached by https. */
function originOf(host: string): string | undefined {
  return URL.parse(host.includes('://') ? host : `https://${host}`)?.origin
}

function demandAllowed(allowed: ReadonlySet<string>, { origin, protocol, host }: URL, action: string): void {
  if (allowed.has(origin)) return
  const entry = protocol === 'https:' ? host : origin
  throw new BerthError('FETCH_FORBIDDEN', `${action}: no module of this version lists it; add "${entry}" to berth.fetch in package.json`)
}

/** Thrown when a host may be reached and its address may not. */
class PrivateAddress extends Error {}

/** Every address that is not on the public internet: the networks in IANA's special-purpose registries, and multicast. */
const special: readonly string[] = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24'],
  ...['192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  ...['::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'],
  ...['5f00::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
]

function allowedAddresses(privateNetworks: readonly string[]): (address: string) => boolean {
  const [blocked, opened] = [networksOf(special), networksOf(privateNetworks)]
  return address => {
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    return opened.check(address, family) || !blocked.check(address, family)
  }
}

function networksOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    list.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family)
  }
  return list
}

const resolveAll = (hostname: string, options: LookupOptions): Promise<LookupAddress[]> => lookup(hostname, { ...options, all: true })

/**
 * Resolves names to those of their addresses that may be reached. While a name is being looked up, everybody who asks for it shares that
 * look-up: the machine does two at a time, and many look-ups of a name that is slow to resolve would hold up all other names.
 */
function lookupAllowed(isAllowed: (address: string) => boolean, resolve: typeof resolveAll): LookupFunction {
  const underWay = new Map<string, Promise<LookupAddress[]>>()
  const find = (hostname: string, options: LookupOptions): Promise<LookupAddress[]> => {
    const key = `${hostname} ${options.family} ${options.hints}`
    const asked = underWay.get(key) ?? resolve(hostname, options).finally(() => underWay.delete(key))
    underWay.set(key, asked)
    return asked
  }
  return (hostname: string, options: LookupOptions, done) => {
    const onFound = (found: LookupAddress[]): void => {
      const addresses = found.filter(({ address }) => isAllowed(address))
      const [first] = addresses
      if (first === undefined) done(new PrivateAddress(), '', 0)
      else if (options.all) done(null, addresses)
      else done(null, first.address, first.family)
    }
    find(hostname, options).then(onFound, (error: NodeJS.ErrnoException) => done(error, '', 0))
  }
}

// ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function readHead({ head, body }: Outgoing): Head {
  const { url, redirect, headers } = JSON.parse(head) as { url: string; redirect: string; headers: [string, string][] }
  const parsed = URL.parse(url)
  if (parsed?.protocol !== 'https:' && parsed?.protocol !== 'http:')
    throw new BerthError('FETCH_FAILED', `Cannot fetch "${String(url).slice(0, 1024)}": it is no URL of http or https`)
  parsed.hash = ''
  const bytes = body === undefined ? undefined : bytesOf(body)
  if (bytes !== undefined && bytes.length > limits.fetch.requestBytesMax) {
    const sizes = `the request has ${bytes.length} bytes, the limit is ${limits.fetch.requestBytesMax}`
    throw new BerthError('FETCH_TOO_LARGE', `Cannot fetch "${nameOf(parsed)}": ${sizes}`)
  }
  const sent = headers.map(([name, value]) => [String(name).toLowerCase(), String(value)] as const)
  return { url: parsed, redirect, headers: Object.fromEntries(sent.filter(([name]) => !wireHeaders.has(name))), body: bytes }
}

const bytesOf = (body: string | ArrayBuffer): Buffer => (typeof body === 'string' ? Buffer.from(body) : Buffer.from(body))

/** Follows a redirect as the Fetch standard has it: https://fetch.spec.whatwg.org/#http-redirect-fetch */
function redirect(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(location, hop.url)
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') throw new Error('it redirects to what is no URL of http or https')
  url.hash = ''
  const drops = status === 303 ? !isSafe(hop.method) : (status === 301 || status === 302) && hop.method === 'POST'
  const leave = new Set([...(drops ? aboutBody : []), ...(url.origin === hop.url.origin ? [] : credentials)])
  const headers = Object.fromEntries(Object.entries(hop.headers).filter(([name]) => !leave.has(name.toLowerCase())))
  return { url, headers, method: drops ? 'GET' : hop.method, body: drops ? undefined : hop.body }
}

// ── responses ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const CODINGS_MAX = 3
const decoders: Readonly<Record<string, () => NodeJS.ReadWriteStream & Readable>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
}

async function readBody({ url, method }: Hop, response: IncomingMessage, hold: Way['hold']): Promise<Buffer> {
  const tooLarge = () =>
    new BerthError('FETCH_TOO_LARGE', `Cannot fetch "${nameOf(url)}": its answer has over ${limits.fetch.responseBytesMax} bytes`)
  if (Number(response.headers['content-length'] ?? 0) > limits.fetch.responseBytesMax && method !== 'HEAD') throw tooLarge()
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of decoded(response, method)) {
    size += (chunk as Buffer).length
    if (size > limits.fetch.responseBytesMax) throw tooLarge()
    hold((chunk as Buffer).length)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks, size)
}

function decoded(response: IncomingMessage, method: string): Readable {
  const codings = (response.headers['content-encoding'] ?? '').toLowerCase().split(',')
  if (method === 'HEAD' || response.statusCode === 204 || response.statusCode === 304) return response
  // Each coding takes memory before its first byte comes.
  if (codings.length > CODINGS_MAX) throw new Error(`its answer is packed ${codings.length} times`)
  let stream: Readable = response
  for (const coding of codings.reverse()) {
    const decoder = decoders[coding.trim()]?.()
    // Any of the streams may fail: the last one reports it.
    if (decoder !== undefined) stream = pipeline(stream, decoder, () => undefined)
  }
  return stream
}

function incoming({ url }: Hop, response: IncomingMessage, redirected: boolean, body: Buffer): Incoming {
  const { rawHeaders, statusCode: status = 0, statusMessage: statusText = '' } = response
  if (status < 200 || status > 599) throw new Error(`its status is ${status}`)
  const headers: [string, string][] = []
  for (let i = 0; i < rawHeaders.length; i += 2) headers.push([rawHeaders[i] ?? '', rawHeaders[i + 1] ?? ''])
  const marked = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf
  const text = isUtf8(body) && !marked ? body.toString() : Uint8Array.from(body).buffer
  return { head: JSON.stringify({ status, statusText, headers, url: url.href, redirected }), body: text }
}

// ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The URL without its query, which may hold keys. */
const nameOf = ({ origin, pathname }: URL): string => (origin + pathname).slice(0, 1024)

const overloaded = (url: URL, why: string): BerthError =>
  new BerthError('FETCH_OVERLOADED', `Cannot fetch "${nameOf(url)}": ${why}`, { retryAfterSeconds: 1 })

/** The message names no address, because it may reach whoever called the scene. */
function asFailure(url: URL, error: unknown): BerthError {
  if (error instanceof BerthError) return error
  if (error instanceof PrivateAddress) {
    const fix = 'whoever runs the base may list its network under "fetchPrivate" in the config'
    return new BerthError('FETCH_FORBIDDEN', `Cannot fetch "${nameOf(url)}": its host has no public address; ${fix}`)
  }
  const { code, syscall } = error as NodeJS.ErrnoException
  const why = typeof code === 'string' ? [syscall, code].filter(Boolean).join(' ') : messageOf(error)
  return new BerthError('FETCH_FAILED', `Cannot fetch "${nameOf(url)}": ${why}`, { cause: error })
}
