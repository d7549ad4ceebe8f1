/** A session of V8's inspector with an isolate that was made for it. */
import { setTimeout as delay } from 'node:timers/promises'
import ivm from 'isolated-vm'
import { BerthError } from '../kernel/errors.ts'

/** Milliseconds that an isolate gets to end a session: this many, and in addition so many times what the last command took. */
const END_MS_MIN = 50
const END_FACTOR = 20
/** Milliseconds between two commands to an isolate that has not ended a session yet, and how many there are. */
const NUDGE_MS = 20
const NUDGES_MAX = 100

export class Inspector {
  readonly #isolate: ivm.Isolate
  readonly #context: ivm.Context
  readonly #session: ivm.InspectorSession
  readonly #onNotification: (text: string) => void
  readonly #replies = new Map<number, { resolve: (text: string) => void; reject: (error: BerthError) => void }>()
  #last = 0
  /** When the last command was sent, by `performance.now()`. */
  #askedAt = 0
  #closing: Promise<void> | undefined
  #isOver = false

  /**
   * Opens a session. No code may run in the isolate: this thread would wait for it.
   * @param onNotification is given what the isolate says unasked, as JSON
   */
  constructor(isolate: ivm.Isolate, context: ivm.Context, onNotification: (text: string) => void = () => undefined) {
    this.#isolate = isolate
    this.#context = context
    this.#onNotification = onNotification
    this.#session = openSession(isolate, context)
    // This is called outside of any turn of the event loop. If a promise were settled there, its reactions would wait for whatever happens
    // next in this process.
    this.#session.onResponse = (no, text) => void setImmediate(() => this.#onResponse(no, text))
    this.#session.onNotification = text => this.#onNotification(text)
  }

  /**
   * Sends a command; the isolate obeys also while code runs in it.
   * @returns the whole response, as JSON that is not parsed: it may be long
   * @throws PROFILE_FAILED when the isolate refuses or has ended
   */
  ask(method: string, params: object = {}): Promise<string> {
    return this.#closing === undefined ? this.#post(method, params) : Promise.reject(ended(method))
  }

  /**
   * Ends the session, and resolves when the isolate may be disposed of. Do not dispose of it before: V8 crashes when a session is ended that
   * owes an answer, or that ends while its isolate does, and it never returns from the disposal of an isolate that has a session. So this
   * never resolves when the isolate does not answer any more. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Sends a command whose answer is of no interest, also while the session is being closed. */
  wake(method: string): void {
    if (!this.#isOver) this.#post(method).catch(() => undefined)
  }

  get isOpen(): boolean {
    return !this.#isOver
  }

  /**
   * Whether the isolate has ended by itself while the session was open. V8 never returns from that, so a thread of this process is lost.
   */
  get hasLostThread(): boolean {
    return !this.#isOver && this.#isolate.isDisposed
  }

  async #close(): Promise<void> {
    // Commands are obeyed in order, even while code runs: when this one is answered, all before it are, and no sampler looks at the isolate any more.
    const nudge = this.#nudge()
    do await this.#post('Profiler.disable').catch(() => undefined)
    while (this.#replies.size > 0 && !this.#isolate.isDisposed)
    clearInterval(nudge)
    const tookMs = performance.now() - this.#askedAt
    for (const { reject } of this.#replies.values()) reject(ended('finish'))
    // An isolate that is stuck in its end must not be called, because this thread would be stuck in the call, too.
    if (this.#isolate.isDisposed) return
    this.#isOver = true
    this.#session.dispose()
    // V8 ends the session before it answers what is asked after it. If code loops in the isolate, the session ends as well, but the answer never comes.
    const answered = this.#context.eval('0').catch(() => undefined)
    const late = new AbortController()
    await Promise.race([answered, delay(END_MS_MIN + END_FACTOR * tookMs, undefined, { signal: late.signal }).catch(() => undefined)])
    late.abort()
  }

  /** A thread that the debugger is about to pause may not notice what it is sent at that moment, but it notices what it is sent after that. */
  #nudge(): NodeJS.Timeout {
    let left = NUDGES_MAX
    const timer = setInterval(() => {
      if (left-- === 0) clearInterval(timer)
      else this.wake('Profiler.disable')
    }, NUDGE_MS)
    return timer
  }

  #post(method: string, params: object = {}): Promise<string> {
    if (this.#isolate.isDisposed) return Promise.reject(ended(method))
    const id = ++this.#last
    this.#askedAt = performance.now()
    return new Promise((resolve, reject) => {
      this.#replies.set(id, { resolve, reject })
      this.#session.dispatchProtocolMessage(JSON.stringify({ id, method, params }))
    })
  }

  #onResponse(no: number, text: string): void {
    const reply = this.#replies.get(no)
    this.#replies.delete(no)
    if (!text.startsWith(`{"id":${no},"error"`)) reply?.resolve(text)
    else reply?.reject(new BerthError('PROFILE_FAILED', `Cannot profile the slot: V8 refused: ${text.slice(0, 300)}`))
  }
}

const ended = (what: string): BerthError => new BerthError('PROFILE_FAILED', `Cannot ${what}: the slot has ended meanwhile`)

/** Opens the session in a call that the isolate makes: V8 ends the process when a thread that is not in the isolate opens one. */
function openSession(isolate: ivm.Isolate, context: ivm.Context): ivm.InspectorSession {
  let session: ivm.InspectorSession | undefined
  context.evalClosureSync('$0()', [
    new ivm.Callback(() => {
      session = isolate.createInspectorSession()
    }),
  ])
  if (session === undefined) throw new BerthError('INTERNAL', 'The inspector of an isolate gave no session')
  return session
}
