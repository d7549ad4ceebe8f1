/**
 * Looks at an isolate whose code runs, and says where that code is. V8's debugger pauses code that runs, also in a loop or a regular expression, within a
 * millisecond. Code inside one built-in function, such as `JSON.parse`, is paused only when that returns.
 *
 * While the debugger is on, an `await` costs about 0.3 microseconds more. And an isolate that ends by itself, out of memory, while it has a session of the
 * inspector takes its thread along; for most code the debugger notices in time that memory runs out, and pauses it. So only slots that have a reason to be
 * looked at have a lookout.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type ivm from 'isolated-vm'
import { limits } from '../kernel/limits.ts'
import type { Blank } from './blank.ts'
import { processCpuMs } from './cpu-clock.ts'
import { Inspector } from './inspector.ts'

/** What a look has found: the stack of the code that ran, in the words of V8, or why it is not known. */
export type Sight = { readonly stack: string } | { readonly unseen: string }

interface CallFrame {
  readonly functionName: string
  readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number }
}

interface Paused {
  readonly reason: string
  readonly callFrames: readonly CallFrame[]
}

/** Characters of what V8 says when it pauses that are read. It says some hundred of each frame of the stack. */
const PAUSED_CHARS_MAX = 1024 * 1024
const FRAMES_MAX = 50
/** Scripts whose names are kept: those of the modules come first, and a module may make any number by "eval". */
const SCRIPTS_MAX = 1000
/** How often code is paused again that was paused where no function ran. */
const TRIES_MAX = 10
/** How many times as long a look may take on a busy machine. */
const BUSY_FACTOR = 5

export class Lookout {
  readonly #inspector: Inspector
  /** Is called when code is paused because its heap is full. The isolate has to be ended then: it goes on with no more code. */
  onOutOfMemory: () => void = () => undefined
  /** Names of the scripts of the isolate by the ids that V8 gives them. */
  readonly #scripts = new Map<string, string>()
  readonly #paused = Promise.withResolvers<Sight>()
  #isPaused = false
  #isOutOfMemory = false
  #isAsked = false
  #triesLeft = TRIES_MAX
  #isClosing = false

  private constructor(isolate: ivm.Isolate, context: ivm.Context) {
    this.#inspector = new Inspector(isolate, context, text => void setImmediate(() => this.#onNotification(text)))
  }

  /** No code may run in the isolate, because this thread would wait for it. Takes about 3 ms. */
  static async open({ isolate, context }: Pick<Blank, 'isolate' | 'context'>): Promise<Lookout> {
    const lookout = new Lookout(isolate, context)
    await lookout.#inspector.ask('Debugger.enable')
    // Otherwise a `debugger` statement of a module would pause it.
    await lookout.#inspector.ask('Debugger.setBreakpointsActive', { active: false })
    return lookout
  }

  /** Pauses the code that runs, and resolves with where it is, or with why that is not known. To be called once, before `close`. */
  async look(): Promise<Sight> {
    this.#isAsked = true
    // The answer says only that V8 has heard. When the isolate has ended, there is none.
    if (!this.#isPaused) this.#inspector.ask('Debugger.pause').catch(() => undefined)
    return Promise.race([this.#paused.promise, this.#late()])
  }

  /**
   * On a busy machine the code may get no time in which it could stop, so this process must have used some CPU, too. And this thread may get none in which
   * it could hear that the code has stopped, so it counts how often it has come round.
   */
  async #late(): Promise<Sight> {
    const { lookMsMax, watchdogTickMs } = limits.slot
    const [since, sinceMs] = [performance.now(), processCpuMs()]
    const hasHadTime = () => processCpuMs() - sinceMs >= lookMsMax / 2 || performance.now() - since >= BUSY_FACTOR * lookMsMax
    for (let rounds = 0; !this.#isPaused && (rounds * watchdogTickMs < lookMsMax || !hasHadTime()); rounds++) await delay(watchdogTickMs)
    return { unseen: `it did not stop within ${lookMsMax} ms, as happens inside a built-in function` }
  }

  /** Whether the isolate has ended by itself. V8 never returns from that, so a thread of this process is lost. */
  get hasLostThread(): boolean {
    return this.#inspector.hasLostThread
  }

  /**
   * Ends the session: code that was paused runs on. Resolves when the isolate may be disposed of, which is never when it does not answer any more; see
   * `Inspector.close`. Idempotent.
   */
  close(): Promise<void> {
    this.#isClosing = true
    // With the debugger off code runs on, and an isolate that is out of memory would end before its session does.
    if (!this.#isOutOfMemory) this.#inspector.wake('Debugger.disable')
    return this.#inspector.close()
  }

  #onNotification(text: string): void {
    if (text.startsWith('{"method":"Debugger.scriptParsed"')) {
      if (this.#scripts.size >= SCRIPTS_MAX) return
      const { scriptId, url } = (JSON.parse(text) as { readonly params: { readonly scriptId: string; readonly url: string } }).params
      this.#scripts.set(scriptId, url)
    } else if (text.startsWith('{"method":"Debugger.paused"')) this.#onPaused(text)
  }

  #onPaused(text: string): void {
    if (this.#isClosing) return
    const paused = text.length > PAUSED_CHARS_MAX ? undefined : (JSON.parse(text) as { readonly params: Paused }).params
    const isUnasked = !this.#isAsked && paused?.reason !== 'OOM'
    if (isUnasked) {
      this.#inspector.wake('Debugger.resume')
      return
    }
    // Between two promise reactions there is nothing to see.
    if (this.#isAsked && paused?.callFrames.length === 0 && this.#triesLeft-- > 0) {
      this.#inspector.wake('Debugger.resume')
      this.#inspector.wake('Debugger.pause')
      return
    }
    this.#isPaused = true
    this.#paused.resolve(paused === undefined ? { unseen: 'its stack is too deep to be read' } : this.#sightOf(paused))
    if (paused?.reason !== 'OOM') return
    this.#isOutOfMemory = true
    if (!this.#isAsked) this.onOutOfMemory()
  }

  #sightOf({ callFrames }: Paused): Sight {
    if (callFrames.length === 0) return { unseen: 'no function ran at that moment, as happens between promise reactions' }
    const lines = callFrames.slice(0, FRAMES_MAX).map(frame => this.#lineOf(frame))
    return { stack: lines.join('\n') }
  }

  /** Lines and columns of V8's inspector count from 0, those of stacks from 1. */
  #lineOf({ functionName, location: { scriptId, lineNumber, columnNumber = 0 } }: CallFrame): string {
    const place = `${this.#scripts.get(scriptId) ?? ''}:${lineNumber + 1}:${columnNumber + 1}`
    return `    at ${functionName === '' ? place : `${functionName} (${place})`}`
  }
}
