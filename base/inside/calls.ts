/**
 * What modules ask of the cell: other scenes, base services, other hosts. The cell takes the text of `installCalls` and compiles it in every
 * isolate, so it may use nothing from outside its own body.
 */
import type { Send } from './globals.ts'
import type { InsideLimits, Post, ServiceNames } from './protocol.ts'

/** A request as far as its calls go. */
export interface Caller {
  readonly no: number
  readonly deadlineAt: number
  done: boolean
  /** Calls under way. */
  calls: number
}

/** Who may be calling. */
export interface Callers {
  /** The request whose stage runs synchronously, when one does. */
  running(): Caller | undefined
  /** Those that wait for something. */
  open(): Iterable<Caller>
}

export type Services = Readonly<Record<string, Readonly<Record<string, (...values: unknown[]) => Promise<unknown>>>>>

export interface Calls {
  /** Asks a service, or when its name is empty the scene that `method` names. What is asked in one go leaves together. */
  ask(caller: Caller, service: string, method: string, input: unknown): Promise<unknown>
  /** The services that callers may use from now on. */
  offer(services: ServiceNames): void
  servicesFor(caller: Caller): Services
  /** `owner` is a `Caller`, or undefined when the code that fetches did not say. */
  readonly fetch: Send
  /** Posts what was asked while a turn ran. */
  flush(): void
  settleCalls(...values: (string | number)[]): void
  settleFetch(callNo: number, head: string, body: string | ArrayBuffer): void
  /** Drops what the caller waits for. */
  forget(caller: Caller): void
  /** The code with which a failed call fails the whole request, when it does. */
  codeOf(thrown: unknown): string | undefined
}

/** @param turning whether a turn runs now, whose end will flush */
export function installCalls(post: Post, limits: InsideLimits, callers: Callers, turning: () => boolean): Calls {
  interface OpenCall {
    /** Undefined for a fetch of nobody knows whom. */
    readonly caller: Caller | undefined
    readonly resolve: (value: never) => void
    readonly reject: (reason: Error) => void
    readonly kind: 'call' | 'fetch'
  }

  const { parse, stringify } = JSON
  const { create, entries, freeze, fromEntries } = Object
  const stride = 5
  /** Values of the calls that are posted as one: there is an end to how many arguments V8 can pass. */
  const together = 500 * stride
  const open = new Map<number, OpenCall>()
  let lastCall = 0
  /** Not posted yet. */
  let callbox: (string | number)[] = []
  /** Fetches under way of nobody knows whom. */
  let strays = 0

  function ask(caller: Caller, service: string, method: string, input: unknown): Promise<unknown> {
    const what = service === '' ? 'ctx.call' : `ctx.services.${service}.${method}`
    return new Promise((resolve, reject) => {
      admit(caller, what)
      const json = stringify(input)
      if (json === undefined) throw new TypeError(`${what}: the input must be data that JSON can hold`)
      if (json.length > limits.callChars)
        throw new RangeError(`${what}: the input has ${json.length} characters of JSON, over ${limits.callChars}`)
      if (method.length > 128) throw new RangeError(`${what.slice(0, 140)}: the name is too long`)
      const no = enter({ caller, resolve, reject, kind: 'call' })
      callbox.push(no, caller.no, service, method, json)
      if (callbox.length === stride && !turning()) Promise.resolve().then(flush)
    })
  }

  function admit(caller: Caller, what: string): void {
    if (caller.done) throw new Error(`${what}: the request has been answered already`)
    if (caller.calls >= limits.requestCalls) throw new RangeError(`${what}: ${limits.requestCalls} calls are open in this request already`)
  }

  function enter(call: OpenCall): number {
    if (call.caller === undefined) strays++
    else call.caller.calls++
    open.set(++lastCall, call)
    return lastCall
  }

  function leave(callNo: number): OpenCall | undefined {
    const call = open.get(callNo)
    if (call === undefined) return undefined
    open.delete(callNo)
    if (call.caller === undefined) strays--
    else call.caller.calls--
    return call
  }

  function flush(): void {
    const values = callbox
    callbox = []
    for (let i = 0; i < values.length; i += together) post('calls', ...values.slice(i, i + together))
  }

  function settleCalls(...values: (string | number)[]): void {
    for (let i = 0; i < values.length; i += 3) settleCall(values[i] as number, values[i + 1] === 1, values[i + 2] as string)
  }

  function settleCall(callNo: number, answered: boolean, text: string): void {
    const call = leave(callNo)
    if (call === undefined) return
    try {
      const value = parse(text) as { code: string; message: string }
      if (answered) call.resolve(value as never)
      else call.reject(call.kind === 'fetch' ? fetchError(value) : callError(value))
    } catch (error) {
      // Those that are settled with it must not be lost for a service that gives what is not JSON.
      call.reject(error as Error)
    }
  }

  function forget(caller: Caller): void {
    for (const [callNo, call] of open) if (call.caller === caller) leave(callNo)
  }

  // ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Codes of failed calls that stay what they are when the stage lets them through: the scenes have called each other wrongly, not this module thrown. */
  const passedOn = ['CALL_CYCLE', 'CALL_TOO_DEEP']
  const codes = new WeakMap<object, string>()

  function callError({ code, message }: { code: string; message: string }): Error {
    const error = Object.assign(new Error(message), { code })
    if (passedOn.includes(code)) codes.set(error, code)
    return error
  }

  /** A `TypeError` is what the Fetch standard has for requests that fail, whatever the reason. Its deadline is that of the whole request. */
  function fetchError({ code, message }: { code: string; message: string }): Error {
    const error = Object.assign(new TypeError(message), { code })
    if (code === 'DEADLINE_EXCEEDED') codes.set(error, code)
    return error
  }

  const codeOf = (thrown: unknown) => (typeof thrown === 'object' && thrown !== null ? codes.get(thrown) : undefined)

  // ── services ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  let offered: ServiceNames = {}
  /** Stand behind the services and behind the methods of each, and say what is missing. Made once: a request makes only what it asks. */
  let noService: object | null = null
  const noMethods = new Map<string, object>()

  function offer(services: ServiceNames): void {
    offered = services
    noService = sayingNo(
      name => `Cannot use ctx.services.${name}: no module of this group declares it; add "${name}" to berth.services in package.json`,
    )
    noMethods.clear()
    for (const [service, methods] of entries(services)) {
      const has = methods.join(', ')
      noMethods.set(
        service,
        sayingNo(name => `Cannot call ctx.services.${service}.${name}: the service has no such method, only ${has}`),
      )
    }
  }

  /** What the language itself looks for, in order to await or print an object, is not there as with any other. */
  function sayingNo(why: (name: string) => string): object {
    return new Proxy(freeze({}), {
      get(target, name, receiver) {
        if (typeof name === 'symbol' || name === 'then' || name === 'toJSON' || name in target) return Reflect.get(target, name, receiver)
        throw new Error(why(name))
      },
    })
  }

  function servicesFor(caller: Caller): Services {
    const method = (service: string, name: string) => [name, (...values: unknown[]) => ask(caller, service, name, values)] as const
    const methodsOf = ([service, names]: [string, readonly string[]]) =>
      [service, own(noMethods.get(service) ?? null, fromEntries(names.map(name => method(service, name))))] as const
    return own(noService, fromEntries(entries(offered).map(methodsOf)))
  }

  const own = <T extends object>(behind: object | null, members: T): T => freeze(Object.assign(create(behind), members))

  // ── fetch ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * After an `await` nobody can tell which request code belongs to, unless it says so. Then the one with the latest deadline stands for all: no
   * fetch is cut short by the deadline of another request, and the cell knows that it is not sure.
   */
  function send(owner: unknown, method: string, head: string, body: string | ArrayBuffer | undefined): ReturnType<Send> {
    const caller = (owner as Caller | undefined) ?? callers.running()
    const stands = caller ?? latest()
    if (caller !== undefined) admit(caller, 'fetch')
    else if (strays >= limits.requestCalls) throw new RangeError(`fetch: ${limits.requestCalls} are under way already`)
    if (stands === undefined) throw new Error('fetch: no request is under way; fetch in a stage')
    const size = body === undefined ? 0 : typeof body === 'string' ? body.length : body.byteLength
    if (head.length + size > limits.fetchBytes) {
      const message = `Cannot fetch: the request has ${head.length + size} bytes, the limit is ${limits.fetchBytes}`
      throw fetchError({ code: 'FETCH_TOO_LARGE', message })
    }
    let callNo = 0
    const answer = new Promise<Awaited<ReturnType<Send>['answer']>>((resolve, reject) => {
      callNo = enter({ caller, resolve, reject, kind: 'fetch' })
    })
    post('fetch', callNo, stands.no, caller === undefined ? 0 : 1, method, head, ...(body === undefined ? [] : [body]))
    return { answer, abort: () => leave(callNo) !== undefined && post('unfetch', callNo) }
  }

  function latest(): Caller | undefined {
    let found: Caller | undefined
    for (const caller of callers.open()) if (found === undefined || caller.deadlineAt > found.deadlineAt) found = caller
    return found
  }

  function settleFetch(callNo: number, head: string, body: string | ArrayBuffer): void {
    leave(callNo)?.resolve({ head, body } as never)
  }

  return { ask, offer, servicesFor, fetch: send, flush, settleCalls, settleFetch, forget, codeOf }
}
