/** A session of V8's inspector with an isolate that was made for it. */
import { setTimeout as delay } from 'node:timers/promises'
import ivm from 'isolated-vm'
import { BerthError } from '../kernel/errors.ts'

/** Milliseconds that the end of a session may take on the isolate's thread before the isolate is disposed of all the same. */
const CLOSE_MS_MAX = 50

export class Inspector {
  readonly #isolate: ivm.Isolate
  readonly #context: ivm.Context
  readonly #session: ivm.InspectorSession
  readonly #onNotification: (text: string) => void
  readonly #replies = new Map<number, { resolve: (text: string) => void; reject: (error: BerthError) => void }>()
  #last = 0
  #closing: Promise<void> | undefined
  #isBereft = false

  /**
   * Opens a session. No code may run in the isolate: this thread would wait for it.
   * @param onNotification is given what the isolate says unasked, as JSON
   */
  constructor(isolate: ivm.Isolate, context: ivm.Context, onNotification: (text: string) => void = () => undefined) {
    this.#isolate = isolate
    this.#context = context
    this.#onNotification = onNotification
    this.#session = openSession(isolate, context)
    this.#session.onResponse = (no, text) => this.#onResponse(no, text)
    this.#session.onNotification = text => this.#onNotification(text)
  }

  /**
   * Sends a command; the isolate obeys also while code runs in it.
   * @returns the whole response, as JSON that is not parsed: it may be long
   * @throws PROFILE_FAILED when the isolate refuses or has ended
   */
  ask(method: string, params: object = {}): Promise<string> {
    if (this.#closing !== undefined || this.#isolate.isDisposed) return Promise.reject(ended(method))
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#replies.set(id, { resolve, reject })
      this.#session.dispatchProtocolMessage(JSON.stringify({ id, method, params }))
    })
  }

  /**
   * Ends the session; what was asked and has no answer is rejected. Dispose of the isolate only after that: V8 crashes when both happen at
   * once, and never returns from the disposal of an isolate that has a session. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Whether the isolate has ended by itself under the open session: V8 never returns from that, and a thread of this process is lost. */
  get isBereft(): boolean {
    return this.#isBereft || (this.#closing === undefined && this.#isolate.isDisposed)
  }

  async #close(): Promise<void> {
    for (const { reject } of this.#replies.values()) reject(ended('finish'))
    this.#replies.clear()
    this.#isBereft = this.#isolate.isDisposed
    // Not a word to an isolate that is stuck in its end: this thread would be, too.
    if (this.#isBereft) return
    this.#session.dispose()
    // What is asked after the session was ended is answered after its end.
    const over = this.#context.eval('0').then(
      () => undefined,
      () => undefined,
    )
    await Promise.race([over, delay(CLOSE_MS_MAX, undefined, { ref: false })])
  }

  #onResponse(no: number, text: string): void {
    const reply = this.#replies.get(no)
    this.#replies.delete(no)
    if (!text.startsWith(`{"id":${no},"error"`)) reply?.resolve(text)
    else reply?.reject(new BerthError('PROFILE_FAILED', `Cannot profile the slot: V8 refused: ${text.slice(0, 300)}`))
  }
}

const ended = (what: string): BerthError => new BerthError('PROFILE_FAILED', `Cannot ${what}: the slot has ended meanwhile`)

/** From within a call out of the isolate: V8 ends the process when a session is opened by a thread that is not in the isolate. */
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
