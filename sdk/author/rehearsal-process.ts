/** Starts the process that runs a module for its tests, and talks to it. While a debugger has this process, the module runs in this process instead. */
import { type ChildProcess, spawn } from 'node:child_process'
import { url as inspectorUrl } from 'node:inspector'
import { launcher } from '../../base/kernel/installation.ts'
import { limits } from '../../base/kernel/limits.ts'
import { roleCommand } from '../../base/process/roles.ts'
import type { DebuggedRehearsal } from '../../base/trial/debugged.ts'
import { dispatcher } from '../../base/wire/dispatch.ts'
import {
  type FakeRequest,
  type FakeResponse,
  type FromRehearsal,
  type FunctionCount,
  OPENING,
  type RehearsalFailure,
  type RehearsalLine,
  type RehearsalPlan,
  type RehearsalRun,
  type ToRehearsal,
} from '../../base/wire/rehearsal-messages.ts'

/** Environment variable that names a folder. Each slot writes a JSON file to it with the counts of the functions that were run. */
export const COVERAGE_FOLDER = 'BERTH_COVERAGE'

export interface Counted {
  /** Absolute path of the module. */
  readonly folder: string
  /** The bundle. */
  readonly code: string
  readonly sourceMap: string
  readonly functions: readonly FunctionCount[]
}

export interface RehearsalHost {
  /** Answers a call of a service, or of a scene when `service` is empty. Input and answer are JSON. An error that it throws may have a `code`. */
  answer(service: string, method: string, input: string): Promise<string>
  fetch(request: FakeRequest): Promise<FakeResponse>
  onLines(lines: readonly RehearsalLine[]): void
}

/** A rehearsal that gave no answer, with the reason. */
export class RehearsalError extends Error {
  readonly failure: RehearsalFailure

  constructor(failure: RehearsalFailure) {
    super(failure.message)
    this.failure = failure
  }
}

/** Whether a debugger has this process, or may come to have it. */
export const isDebugged = (): boolean => inspectorUrl() !== undefined

/** The debugger that has this process stops in the first stage that runs here. */
export async function stopInFirstStage(): Promise<void> {
  const { stopInFirstStage: stop } = await import('../../base/trial/debugged.ts')
  stop()
}

/** Where the module runs. */
interface Place {
  /** Loads the module. The answer comes as that of a rehearsal. */
  open(plan: RehearsalPlan): Promise<void>
  send(message: ToRehearsal): void
  /** Keeps this process running, or lets it end. */
  hold(isNeeded: boolean): void
  close(): void
}

interface PlaceListener {
  readonly onMessage: (message: FromRehearsal) => void
  /** Called when the place is lost, with the reason. */
  readonly onEnd: (why: string) => void
}

/** A process of its own, where the module is confined and limited. */
class OwnProcess implements Place {
  readonly #child: ChildProcess
  readonly #waiting = Promise.withResolvers<void>()

  constructor({ onMessage, onEnd }: PlaceListener) {
    const { args, env } = roleCommand('rehearsal', '')
    // Tests may be run by any Node.js, but the slot needs the one that comes with the base. Standard output belongs to the test runner.
    this.#child = spawn(launcher().runtime(), args, { env, stdio: ['ignore', 2, 2, 'ipc'] })
    this.#child.on('message', (message: FromRehearsal) => {
      if (message.type === 'waiting') this.#waiting.resolve()
      else onMessage(message)
    })
    this.#child.on('error', error => onEnd(`it did not start: ${error.message}`))
    this.#child.on('exit', (code, signal) => onEnd(signal === null ? `exit code ${code}` : `signal ${signal}`))
  }

  async open(plan: RehearsalPlan): Promise<void> {
    await this.#waiting.promise
    this.send({ type: 'open', plan })
  }

  send(message: ToRehearsal): void {
    // An error is ignored: the process has ended then, and the event `exit` reports that.
    this.#child.send(message, () => undefined)
  }

  hold(isNeeded: boolean): void {
    const verb = isNeeded ? 'ref' : 'unref'
    this.#child[verb]()
    this.#child.channel?.[verb]()
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

/** This process, where a debugger stops in the module as it does in its tests. */
class ThisProcess implements Place {
  readonly #onMessage: PlaceListener['onMessage']
  #rehearsal: DebuggedRehearsal | undefined
  #isClosed = false

  constructor({ onMessage }: PlaceListener) {
    this.#onMessage = onMessage
  }

  async open(plan: RehearsalPlan): Promise<void> {
    const { rehearseHere } = await import('../../base/trial/debugged.ts')
    this.#rehearsal = await rehearseHere(plan, this.#onMessage)
    if (this.#isClosed) this.#rehearsal.close()
  }

  send(message: Exclude<ToRehearsal, { readonly type: 'open' }>): void {
    this.#rehearsal?.take(message)
  }

  hold(isNeeded: boolean): void {
    this.#rehearsal?.hold(isNeeded)
  }

  close(): void {
    this.#isClosed = true
    this.#rehearsal?.close()
  }
}

export class Rehearsal {
  readonly #place: Place
  readonly #open = new Map<number, PromiseWithResolvers<string>>()
  #last = OPENING
  #ended = false

  /** Starts the process. While nobody waits for it, it does not keep this process running. */
  constructor(host: RehearsalHost) {
    const dispatch = dispatcher<FromRehearsal>(
      'the tests',
      {
        waiting: () => undefined,
        done: ({ no, json }) => this.#open.get(no)?.resolve(json),
        failed: ({ no, failure }) => this.#open.get(no)?.reject(new RehearsalError(failure)),
        logged: ({ lines }) => host.onLines(lines),
        fetch: ({ call, request }) => this.#answer(call, async () => JSON.stringify(await host.fetch(request))),
        call: ({ call, service, method, input }) => this.#answer(call, () => host.answer(service, method, input)),
      },
      sentence => this.#end(sentence),
    )
    const listener: PlaceListener = { onMessage: dispatch, onEnd: why => this.#end(why) }
    this.#place = isDebugged() ? new ThisProcess(listener) : new OwnProcess(listener)
    this.#hold()
  }

  /** Whether the process is gone, so that another has to be started. */
  get ended(): boolean {
    return this.#ended
  }

  /** Loads the module. @throws RehearsalError with the reason why it cannot be loaded */
  async open(plan: RehearsalPlan): Promise<void> {
    const { readyMsMax } = limits.process
    // A debugger may stop in the top level of the module.
    const late = isDebugged() ? undefined : setTimeout(() => this.#end(`it had not started after ${readyMsMax} ms`), readyMsMax)
    try {
      await this.#ask(OPENING, () => this.#place.open(plan))
    } finally {
      clearTimeout(late)
    }
  }

  /** @returns the answer as JSON @throws RehearsalError */
  run(run: RehearsalRun): Promise<string> {
    const no = ++this.#last
    return this.#ask(no, () => this.#send({ type: 'run', no, ...run }))
  }

  async tick(ms: number): Promise<void> {
    const no = ++this.#last
    await this.#ask(no, () => this.#send({ type: 'tick', no, ms }))
  }

  seed(seed: number): void {
    this.#send({ type: 'seed', seed })
  }

  async takeCoverage(): Promise<readonly FunctionCount[]> {
    const no = ++this.#last
    return JSON.parse(await this.#ask(no, () => this.#send({ type: 'takeCoverage', no }))) as readonly FunctionCount[]
  }

  close(): void {
    this.#end('it was closed')
  }

  async #ask(no: number, send: () => void | Promise<void>): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    if (this.#ended) throw new RehearsalError({ code: 'MODULE_KILLED', message: 'The process of the slot is gone' })
    this.#open.set(no, { promise, resolve, reject })
    this.#hold()
    Promise.resolve(send()).catch(reject)
    try {
      return await promise
    } finally {
      this.#open.delete(no)
      this.#hold()
    }
  }

  #send(message: Exclude<ToRehearsal, { readonly type: 'open' }>): void {
    this.#place.send(message)
  }

  /** Keeps this process running only while somebody waits for an answer, so that an idle slot does not keep the tests from ending. */
  #hold(): void {
    this.#place.hold(this.#open.size > 0)
  }

  async #answer(call: number, work: () => Promise<string>): Promise<void> {
    try {
      this.#send({ type: 'answer', call, json: await work() })
    } catch (error) {
      // A fake scene rejects a request by an error as the stage sees it: with the code REQUEST_REJECTED, a reason and details.
      const { code, reason, details }: { code?: unknown; reason?: unknown; details?: unknown } = Object(error)
      const message = error instanceof Error ? error.message : String(error)
      this.#send({ type: 'refuse', call, code: typeof code === 'string' ? code : undefined, message, reason, details })
    }
  }

  #end(why: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#place.close()
    for (const { reject } of this.#open.values()) {
      reject(new RehearsalError({ code: 'MODULE_KILLED', message: `The module ended the process of its slot: ${why}` }))
    }
  }
}
